// Variable-length integers of the entry codec: seven bits a byte, least significant first, high bit
// set on all but the last (LEB128). One value has one encoding: a longer one than needed is
// refused, so that equal logs are equal bytes.

/** 64 bits need ten bytes of seven bits. */
export const VARINT_BYTES_MAX = 10;
const U64_MAX = (1n << 64n) - 1n;

/** Grows as needed; `take()` gives the bytes written and starts anew. */
export class ByteWriter {
  private bytes = new Uint8Array(256);
  private length = 0;

  u8(value: number): void {
    this.reserve(1);
    this.bytes[this.length++] = value;
  }

  raw(from: Uint8Array): void {
    this.reserve(from.length);
    this.bytes.set(from, this.length);
    this.length += from.length;
  }

  /** Unsigned, 0 to 2^64 - 1. */
  varint(value: bigint): void {
    if (value < 0n || value > U64_MAX) throw new Error(`varint: ${value} is not 64 bits unsigned`);
    this.reserve(VARINT_BYTES_MAX);
    while (value > 0x7fn) {
      this.bytes[this.length++] = Number(value & 0x7fn) | 0x80;
      value >>= 7n;
    }
    this.bytes[this.length++] = Number(value);
  }

  /** Signed, small magnitudes short: 0, -1, 1, -2 become 0, 1, 2, 3. */
  zigzag(value: bigint): void {
    this.varint(value >= 0n ? value << 1n : (-value << 1n) - 1n);
  }

  take(): Uint8Array {
    const taken = this.bytes.slice(0, this.length);
    this.length = 0;
    return taken;
  }

  private reserve(count: number): void {
    if (this.length + count <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.length + count));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }
}

/** Reads what ByteWriter wrote. Never throws: after the first failure `ok` is false and stays so. */
export class ByteReader {
  ok = true;
  private readonly bytes: Uint8Array;
  private at: number;

  constructor(bytes: Uint8Array, at = 0) {
    // A Buffer's slice() is a view, a Uint8Array's a copy; callers hand in either.
    this.bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    this.at = at;
  }

  get position(): number {
    return this.at;
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  u8(): number {
    const value = this.bytes[this.at];
    if (value === undefined) return this.fail(0);
    this.at++;
    return value;
  }

  /** A copy: what enters the machine must not change with a receive buffer. */
  raw(count: number): Uint8Array {
    if (count > this.left) return this.fail(new Uint8Array());
    this.at += count;
    return this.bytes.slice(this.at - count, this.at);
  }

  varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.bytes[this.at];
      if (byte === undefined) return this.fail(0n);
      this.at++;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) {
        const padded = byte === 0 && shift > 0n;
        return padded || value > U64_MAX ? this.fail(0n) : value;
      }
    }
    return this.fail(0n);
  }

  zigzag(): bigint {
    const value = this.varint();
    return (value & 1n) === 0n ? value >> 1n : -((value + 1n) >> 1n);
  }

  /** A count of things that take at least a byte each: more than is left cannot be true. */
  count(): number {
    const value = this.varint();
    return value > BigInt(this.left) ? this.fail(0) : Number(value);
  }

  private fail<T>(value: T): T {
    this.ok = false;
    return value;
  }
}
