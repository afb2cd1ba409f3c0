// Consistent overhead byte stuffing: bytes without zeros, so that a zero ends a frame and a reader
// that lost its place finds it again at the next one. Cheshire and Baker, 1999.

/** The encoding of `bytes`, without the closing zero. */
export function cobsEncode(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes.length + Math.floor(bytes.length / 254) + 1);
  let block = 0;
  let at = 1;
  for (const byte of bytes) {
    if (byte !== 0) out[at++] = byte;
    if (byte === 0 || at - block === 255) {
      out[block] = at - block;
      block = at;
      at += 1;
    }
  }
  out[block] = at - block;
  return out.subarray(0, at);
}

/** Null when the bytes are no encoding. */
export function cobsDecode(bytes: Uint8Array): Uint8Array | null {
  const out = new Uint8Array(bytes.length);
  let length = 0;
  for (let at = 0; at < bytes.length; ) {
    const block = bytes[at] as number;
    if (block === 0 || at + block > bytes.length) return null;
    for (let i = 1; i < block; i++) {
      const byte = bytes[at + i] as number;
      if (byte === 0) return null;
      out[length++] = byte;
    }
    at += block;
    if (block < 255 && at < bytes.length) out[length++] = 0;
  }
  return out.subarray(0, length);
}

/** Cuts a byte stream at zeros. Bounded: a line full of noise costs no memory. */
export class CobsReader {
  private readonly buffer: Uint8Array;
  private length = 0;
  /** The frame being collected has outgrown the bound: skip to the next zero. */
  private skipping = false;
  overlong = 0;
  broken = 0;

  constructor(frameBytesMax: number) {
    this.buffer = new Uint8Array(frameBytesMax + Math.ceil(frameBytesMax / 254) + 1);
  }

  /** The whole frames that end in `chunk`, decoded. */
  push(chunk: Uint8Array): Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (const byte of chunk) {
      if (byte !== 0) this.collect(byte);
      else {
        const frame = this.end();
        if (frame !== null) frames.push(frame);
      }
    }
    return frames;
  }

  private collect(byte: number): void {
    if (this.length === this.buffer.length) this.skipping = true;
    else this.buffer[this.length++] = byte;
  }

  private end(): Uint8Array | null {
    const { length, skipping } = this;
    this.length = 0;
    this.skipping = false;
    if (skipping) {
      this.overlong += 1;
      return null;
    }
    // A zero before each frame, and between them on an idle line, costs nothing.
    if (length === 0) return null;
    const frame = cobsDecode(this.buffer.subarray(0, length));
    if (frame === null) this.broken += 1;
    return frame;
  }
}
