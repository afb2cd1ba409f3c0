// Ethernet frames on a byte stream: each is its length, 32 bits big-endian, then its bytes, from the
// destination address to the end of the payload (no checksum). QEMU's stream netdev and passt speak
// the same.
//
// The bytes come from outside: a length no frame can have ends the stream with a reason, since
// nothing after it can be found again.

export const FRAME_HEAD_BYTES = 4;
export const FRAME_BYTES_MIN = 14;
export const FRAME_BYTES_MAX = 65_535;

export function encodeFrame(frame: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(FRAME_HEAD_BYTES + frame.length);
  bytes.writeUInt32BE(frame.length, 0);
  bytes.set(frame, FRAME_HEAD_BYTES);
  return bytes;
}

export class FrameDecoder {
  /** Why the stream is of no more use. */
  problem: string | undefined;
  private readonly pieces: Uint8Array[] = [];
  private piecesBytes = 0;
  /** What must be there before anything is joined: a slow sender costs no copying. */
  private neededBytes = FRAME_HEAD_BYTES;

  /** The frames that became whole, each in memory of its own. */
  push(bytes: Uint8Array): Uint8Array[] {
    const frames: Uint8Array[] = [];
    if (this.problem !== undefined) return frames;
    this.pieces.push(bytes);
    this.piecesBytes += bytes.length;
    while (this.problem === undefined && this.piecesBytes >= this.neededBytes) {
      const joined = this.join();
      if (this.neededBytes === FRAME_HEAD_BYTES) this.readHead(joined);
      else frames.push(this.takeFrame(joined));
    }
    return frames;
  }

  private readHead(joined: Buffer): void {
    const length = joined.readUInt32BE(0);
    const isFrame = length >= FRAME_BYTES_MIN && length <= FRAME_BYTES_MAX;
    if (isFrame) this.neededBytes = FRAME_HEAD_BYTES + length;
    else this.problem = `a frame of ${length} bytes was announced`;
  }

  private takeFrame(joined: Buffer): Uint8Array {
    const end = this.neededBytes;
    this.pieces[0] = joined.subarray(end);
    this.piecesBytes -= end;
    this.neededBytes = FRAME_HEAD_BYTES;
    return Uint8Array.from(joined.subarray(FRAME_HEAD_BYTES, end));
  }

  private join(): Buffer {
    const joined = this.pieces.length === 1 ? this.pieces[0]! : Buffer.concat(this.pieces);
    this.pieces.splice(0, this.pieces.length, joined);
    return Buffer.from(joined.buffer, joined.byteOffset, joined.length);
  }
}
