// Little-endian reads from a file of unknown length: beyond the end is undefined, never an exception.

export class FileView {
  readonly bytes: Uint8Array;
  private readonly view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get length(): number {
    return this.bytes.length;
  }

  u8(at: number): number | undefined {
    return this.has(at, 1) ? this.view.getUint8(at) : undefined;
  }

  u16(at: number): number | undefined {
    return this.has(at, 2) ? this.view.getUint16(at, true) : undefined;
  }

  u32(at: number): number | undefined {
    return this.has(at, 4) ? this.view.getUint32(at, true) : undefined;
  }

  // As a number; what exceeds 2^53 is no length or address of ours anyway.
  u64(at: number): number | undefined {
    if (!this.has(at, 8)) return undefined;
    return this.view.getUint32(at + 4, true) * 2 ** 32 + this.view.getUint32(at, true);
  }

  // undefined unless all of it is there.
  part(at: number, bytes: number): Uint8Array | undefined {
    return this.has(at, bytes) ? this.bytes.subarray(at, at + bytes) : undefined;
  }

  private has(at: number, bytes: number): boolean {
    return at >= 0 && bytes >= 0 && at + bytes <= this.bytes.length;
  }
}

export function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

export function alignDown(value: number, alignment: number): number {
  return Math.floor(value / alignment) * alignment;
}

// Command lines are bytes; what is not ASCII goes as UTF-8.
export function commandLineBytes(commandLine: string): Uint8Array {
  return new TextEncoder().encode(`${commandLine}\0`);
}
