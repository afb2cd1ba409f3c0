// The memory of a sync-up as the leader brings it over: what the target begins with is told by its surveys, what
// differs goes out, then what the guest wrote meanwhile. A target without a memory to begin with tells of zeros, and
// gets all that is none. The looking is done by sync-up's own thread.
import { type GuestMemory, RUN_WORDS, type SyncWorker } from '../../../native/index.ts';
import { HASH_BYTES, PAGE_BYTES } from './bulk-messages.ts';
import type { LogLink, StopSignal } from './log-link.ts';
import { PagePacker } from './page-packer.ts';
import type { Surveys } from './surveys.ts';

export interface SourcePagesOptions {
  readonly surveys: Surveys;
  readonly link: LogLink;
  readonly worker: SyncWorker;
  readonly memory: GuestMemory;
  readonly pages: number;
  /** Of the target's hashes. */
  readonly key: Uint8Array;
  readonly signal: StopSignal;
  /** Throws Stopped when nobody wants it any more. */
  readonly check: () => void;
  /** So much was looked at, and so much sent, for the comparison. */
  readonly worked: (bytes: number) => Promise<void>;
  readonly pace: (bytes: number) => Promise<void>;
}

export class SourcePages {
  /** By their hashes: those that are zeros on neither board. */
  compared = 0;
  sent = 0;
  private readonly options: SourcePagesOptions;
  private readonly packer = new PagePacker();

  constructor(options: SourcePagesOptions) {
    this.options = options;
  }

  /** As far as the target's surveys go: in order, over all of the memory. */
  async compare(): Promise<void> {
    const { surveys, pages } = this.options;
    for (let next = 0; next < pages; ) {
      const survey = await surveys.next();
      const count = survey.zeros + survey.hashes.length / HASH_BYTES;
      const fits = survey.type === 'page-hashes' && survey.first === next && next + count <= pages;
      if (!fits || count === 0) {
        throw new Error('the target sends hashes of other pages than it was asked for');
      }
      await this.compareSome(next, survey.zeros, survey.hashes);
      next += count;
    }
    await this.flush();
  }

  private async compareSome(first: number, zeros: number, hashes: Uint8Array): Promise<void> {
    const { worker, memory, key, check, worked } = this.options;
    const end = first + zeros + hashes.length / HASH_BYTES;
    for (let from = first; from < end; ) {
      const past = Math.max(0, from - first - zeros);
      const left = Math.max(0, first + zeros - from);
      const theirs = hashes.subarray(past * HASH_BYTES);
      const { next, runs, compared } = await worker.comparePages(memory, from, left, theirs, key);
      check();
      this.compared += compared;
      await this.packRuns(runs);
      await worked((next - from) * PAGE_BYTES);
      from = next;
    }
  }

  /** The pages of the bitmap. */
  async sendWritten(bitmap: Uint8Array): Promise<void> {
    const { worker, memory, pages, check } = this.options;
    for (let from = 0; from < pages; ) {
      check();
      const { next, runs } = await worker.scanPages(memory, from, bitmap);
      await this.packRuns(runs);
      from = next;
    }
    await this.flush();
  }

  private async packRuns(runs: number): Promise<void> {
    const { worker, pace } = this.options;
    const table = new Uint32Array(worker.runs, 0, runs * RUN_WORDS);
    const buffer = new Uint8Array(worker.buffer);
    let bytesSent = 0;
    for (let at = 0; at < table.length; at += RUN_WORDS) {
      const [first = 0, count = 0, offset = 0, bytes = 0] = table.subarray(at, at + RUN_WORDS);
      const data = bytes === 0 ? undefined : buffer.subarray(offset, offset + bytes);
      this.sent += count;
      for (let done = 0; done < count; ) {
        const left = data?.subarray(done * PAGE_BYTES);
        done += this.packer.addRun(first + done, count - done, left);
        if (done < count) await this.flush();
      }
      bytesSent += bytes;
    }
    await pace(bytesSent);
  }

  /** No bytes: zeros. */
  async send(page: number, bytes: Uint8Array | undefined): Promise<void> {
    this.sent++;
    if (this.packer.add(page, bytes)) return;
    await this.flush();
    this.packer.add(page, bytes);
  }

  async flush(): Promise<void> {
    const message = this.packer.take();
    if (message !== undefined) await this.options.link.sendBulk(message, this.options.signal);
  }
}
