// Pages of guest memory on their way into `pages` messages of bounded size. Pure.
import { BULK_TYPE, PAGE_BYTES, PIECE_BYTES_MAX } from './bulk-messages.ts';

const RUN_HEAD_BYTES = 7;
const RUN_PAGES_MAX = 0xffff;

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
    let done = 0;
    for (let some = -1; some !== 0 && done < count; done += some) {
      some = this.addSome(first + done, count - done, bytes?.subarray(done * PAGE_BYTES));
    }
    return done;
  }

  /** False: it is full; take() first. */
  add(page: number, bytes: Uint8Array | undefined): boolean {
    return this.addRun(page, 1, bytes) === 1;
  }

  /** As many as one run takes. */
  private addSome(first: number, count: number, bytes: Uint8Array | undefined): number {
    const isData = bytes !== undefined;
    const room = this.buffer.length - this.length - RUN_HEAD_BYTES;
    const fits = isData ? Math.floor(room / PAGE_BYTES) : RUN_PAGES_MAX;
    if (room < 0 || fits < 1) return 0;
    const follows = this.isData === isData && first === this.first + this.count;
    if (this.count === 0 || this.count === RUN_PAGES_MAX || !follows) this.openRun(first, isData);
    const some = Math.min(count, fits, RUN_PAGES_MAX - this.count);
    this.count += some;
    this.view.setUint16(this.runAt + 4, this.count, true);
    if (bytes === undefined) return some;
    this.buffer.set(bytes.subarray(0, some * PAGE_BYTES), this.length);
    this.length += some * PAGE_BYTES;
    return some;
  }

  private openRun(page: number, isData: boolean): void {
    [this.runAt, this.first, this.count, this.isData] = [this.length, page, 0, isData];
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
