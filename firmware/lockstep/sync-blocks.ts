// Which blocks of a disk have to travel. Pure. The target says what each of its blocks hashes to, the
// source compares: equal blocks stay where they are, whoever wrote them and why. Writes of the guest
// meanwhile are kept in a set of blocks, marked when they are handed to the disk.

/** Of one part of a set: 2 GiB of a disk in 4 KiB. */
const PART_WORDS = 1024;
const PART_BLOCKS = PART_WORDS * 32;

interface Part {
  readonly words: Uint32Array;
  marked: number;
}

/** A disk may be large and what is written of it little: parts of the set that nobody marked are not there. */
export class BlockSet {
  private readonly blocks: number;
  private readonly parts: (Part | undefined)[];
  private marked = 0;
  /** Below this nothing is marked. */
  private lowest = 0;

  constructor(blocks: number) {
    this.blocks = blocks;
    this.parts = new Array(Math.ceil(blocks / PART_BLOCKS));
  }

  get size(): number {
    return this.marked;
  }

  /** Every block that the bytes touch. */
  markBytes(offset: number, bytes: number, blockBytes: number): void {
    if (bytes <= 0) return;
    const last = Math.min(this.blocks - 1, Math.floor((offset + bytes - 1) / blockBytes));
    for (let block = Math.floor(offset / blockBytes); block <= last; block++) this.mark(block);
  }

  mark(block: number): void {
    if (block >= this.blocks) return;
    const at = Math.floor(block / PART_BLOCKS);
    this.parts[at] ??= { words: new Uint32Array(PART_WORDS), marked: 0 };
    const part = this.parts[at];
    const index = (block % PART_BLOCKS) >>> 5;
    const bit = 1 << (block & 31);
    const word = part.words[index] as number;
    if ((word & bit) !== 0) return;
    part.words[index] = word | bit;
    part.marked++;
    this.marked++;
    this.lowest = Math.min(this.lowest, block);
  }

  has(block: number): boolean {
    const part = this.parts[Math.floor(block / PART_BLOCKS)];
    const word = part?.words[(block % PART_BLOCKS) >>> 5] ?? 0;
    return (word & (1 << (block & 31))) !== 0;
  }

  /** The lowest marked block, which is no longer marked. */
  take(): number | undefined {
    if (this.marked === 0) return undefined;
    let at = Math.floor(this.lowest / PART_BLOCKS);
    while (this.parts[at] === undefined) at++;
    const part = this.parts[at] as Part;
    const first = at * PART_BLOCKS;
    let index = Math.max(0, this.lowest - first) >>> 5;
    while (part.words[index] === 0) index++;
    const word = part.words[index] as number;
    const bit = 31 - Math.clz32(word & -word);
    part.words[index] = word & ~(1 << bit);
    if (--part.marked === 0) this.parts[at] = undefined;
    this.marked--;
    this.lowest = first + index * 32 + bit;
    return this.lowest;
  }
}

/** Pages whose bit is set, in order; the bitmap has one bit a page, least significant first. */
export function* pagesOf(bitmap: Uint8Array, pages: number): Generator<number> {
  for (let at = 0; at < bitmap.length; at++) {
    let byte = bitmap[at] as number;
    while (byte !== 0) {
      const page = at * 8 + (31 - Math.clz32(byte & -byte));
      if (page >= pages) return;
      yield page;
      byte &= byte - 1;
    }
  }
}

export function countPages(bitmap: Uint8Array, pages: number): number {
  let count = 0;
  for (let at = 0; at < bitmap.length && at * 8 < pages; at++) {
    let byte = bitmap[at] as number;
    if ((at + 1) * 8 > pages) byte &= (1 << (pages - at * 8)) - 1;
    for (; byte !== 0; byte &= byte - 1) count++;
  }
  return count;
}
