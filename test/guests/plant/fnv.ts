// FNV-1a of 64 bits, a byte at a time, in two halves: the sum the plant's programs make.
// Source: Fowler, Noll, Vo; draft-eastlake-fnv.

const PRIME_LOW = 0x1b3; // the prime is 2^40 + this
const WORD = 2 ** 32;

export class Fnv64 {
  high = 0xcbf29ce4;
  low = 0x84222325;

  add(bytes: Uint8Array): this {
    let { high, low } = this;
    for (let i = 0; i < bytes.length; i++) {
      low = (low ^ (bytes[i] as number)) >>> 0;
      const product = low * PRIME_LOW;
      high = (high * PRIME_LOW + Math.floor(product / WORD) + low * 256) % WORD;
      low = product >>> 0;
    }
    this.high = high;
    this.low = low;
    return this;
  }

  get hex(): string {
    const word = (value: number) => (value >>> 0).toString(16).padStart(8, '0');
    return word(this.high) + word(this.low);
  }
}
