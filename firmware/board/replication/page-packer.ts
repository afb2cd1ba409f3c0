// Pages of guest memory on their way into `pages` messages of bounded size. Pure.
import { BULK_TYPE, PAGE_BYTES, PIECE_BYTES_MAX } from './bulk-messages.ts';

const RUN_HEAD_BYTES = 7;

/** Gathers pages, in ascending order, into `pages` messages of bounded size. */
export class PagePacker {
  private readonly buffer = new Uint8Array(PIECE_BYTES_MAX / 2);
  private readonly view = new DataView(this.buffer.buffer);
  private length = 1;
  /** Where the head of the open run lies, what it says. */
  private runAt = 0;
  private first = 0;
  private count = 0;
  private isData = false;

  constructor() {
    this.buffer[0] = BULK_TYPE.pages;
  }

  /** Pages that follow each other, `bytes` of all of them or zeros; how many fitted: take() before the others. */
  addRun(first: number, count: number, bytes: Uint8Array | undefined): number {
    for (let at = 0; at < count; at++) {
      const page = bytes?.subarray(at * PAGE_BYTES, (at + 1) * PAGE_BYTES);
      if (!this.add(first + at, page)) return at;
    }
    return count;
  }

  /** False: it is full; take() first. */
  add(page: number, bytes: Uint8Array | undefined): boolean {
    const isData = bytes !== undefined;
    const room = this.buffer.length - this.length;
    if (room < RUN_HEAD_BYTES + (isData ? PAGE_BYTES : 0)) return false;
    const continues = this.count > 0 && this.isData === isData && page === this.first + this.count;
    if (continues && this.count < 0xffff) this.count++;
    else this.openRun(page, isData);
    this.view.setUint16(this.runAt + 4, this.count, true);
    if (bytes === undefined) return true;
    this.buffer.set(bytes, this.length);
    this.length += PAGE_BYTES;
    return true;
  }

  private openRun(page: number, isData: boolean): void {
    [this.runAt, this.first, this.count, this.isData] = [this.length, page, 1, isData];
    this.view.setUint32(this.runAt, page, true);
    this.view.setUint8(this.runAt + 6, Number(isData));
    this.length += RUN_HEAD_BYTES;
  }

  /** The message so far, a view that is good until the next add(); undefined when there is nothing. */
  take(): Uint8Array | undefined {
    if (this.length === 1) return undefined;
    const message = this.buffer.subarray(0, this.length);
    this.length = 1;
    this.count = 0;
    return message;
  }
}
