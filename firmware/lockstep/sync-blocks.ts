// Which blocks of a disk have to travel. Pure. The target says what each of its blocks hashes to, the
// source compares: equal blocks stay where they are, whoever wrote them and why. Writes of the guest
// meanwhile are kept in a set of blocks, marked when they are handed to the disk.

export class BlockSet {
  private readonly words: Uint32Array;
  private readonly blocks: number;
  private marked = 0;
  /** Below this nothing is marked. */
  private lowest = 0;

  constructor(blocks: number) {
    this.blocks = blocks;
    this.words = new Uint32Array(Math.ceil(blocks / 32));
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
    const bit = 1 << (block & 31);
    const word = this.words[block >>> 5];
    if (word === undefined || (word & bit) !== 0) return;
    this.words[block >>> 5] = word | bit;
    this.marked++;
    this.lowest = Math.min(this.lowest, block);
  }

  has(block: number): boolean {
    return ((this.words[block >>> 5] ?? 0) & (1 << (block & 31))) !== 0;
  }

  /** The lowest marked block, which is no longer marked. */
  take(): number | undefined {
    if (this.marked === 0) return undefined;
    let index = this.lowest >>> 5;
    while (this.words[index] === 0) index++;
    const word = this.words[index] as number;
    const bit = 31 - Math.clz32(word & -word);
    this.words[index] = word & ~(1 << bit);
    this.marked--;
    this.lowest = index * 32 + bit;
    return this.lowest;
  }
}

/** Numbers of the blocks, from `first` on, whose hashes differ between the two lists. */
export function differingBlocks(
  first: number,
  theirs: Uint8Array,
  ours: Uint8Array,
  hashBytes: number,
): number[] {
  if (theirs.length !== ours.length) throw new Error('hashes of unlike numbers of blocks');
  const differing: number[] = [];
  for (let at = 0; at < ours.length; at += hashBytes) {
    for (let i = at; i < at + hashBytes; i++) {
      if (ours[i] === theirs[i]) continue;
      differing.push(first + at / hashBytes);
      break;
    }
  }
  return differing;
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
