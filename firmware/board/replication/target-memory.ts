// Guest memory that sync-up fills, with its digest, which follows behind on a thread of its own: the machine that is
// made of it finds the digest there, and need not look at gigabytes before it moves.
import {
  type MemoryDigest as Digest,
  GuestMemory,
  type GuestMemory as Memory,
  MemoryDigest,
  SyncWorker,
  type SyncWorker as Worker,
} from '../../../native/index.ts';
import { PAGE_BYTES } from './bulk-messages.ts';

/** What is worth a job: 4 MiB. */
const PAGES_A_JOB = 1024;
const ALL = 0xff;

export class TargetMemory {
  readonly memory: Memory;
  readonly digest: Digest;
  private readonly bytes: number;
  private worker: Worker | undefined;
  /** Pages that the digest does not have as they are, one bit each, and how often one was named. */
  private stale: Uint8Array;
  private spare: Uint8Array;
  private staleCount = 0;
  private job: Promise<void> | undefined;
  private isClosed = false;

  /** `digest`: of all that is in it; undefined: of nothing yet. */
  constructor(memory: Memory, digest?: Digest) {
    this.memory = memory;
    this.bytes = memory.bytes;
    this.digest = digest ?? new MemoryDigest(memory);
    const bitmapBytes = Math.ceil(this.bytes / PAGE_BYTES / 64) * 8;
    this.stale = new Uint8Array(bitmapBytes);
    this.spare = new Uint8Array(bitmapBytes);
    if (digest === undefined) this.nothingIsKnown();
  }

  /** Zeros. */
  static fresh(bytes: number): TargetMemory {
    const memory = new GuestMemory({ bytes });
    return new TargetMemory(memory, new MemoryDigest(memory));
  }

  /** Pages from `first` on; no bytes: zeros. They must lie inside. */
  put(first: number, count: number, bytes: Uint8Array | undefined): void {
    if (bytes === undefined) this.memory.clearPages(first, count);
    else this.memory.write(first * PAGE_BYTES, bytes);
    for (let page = first; page < first + count; page++) {
      this.stale[page >> 3] = (this.stale[page >> 3] as number) | (1 << (page & 7));
    }
    this.staleCount += count;
    if (this.staleCount >= PAGES_A_JOB && this.job === undefined) this.follow().catch(() => {});
  }

  /** Resolves when the digest has all that was put in; rejects when it cannot be made. */
  async settled(): Promise<void> {
    while ((this.job !== undefined || this.staleCount > 0) && !this.isClosed)
      await (this.job ?? this.follow());
    this.worker?.close();
    this.worker = undefined;
  }

  /** May be called twice. */
  close(): void {
    this.isClosed = true;
    this.worker?.close();
    this.worker = undefined;
    this.digest.close();
    this.memory.close();
  }

  private follow(): Promise<void> {
    const job = this.digestStale().finally(() => {
      this.job = undefined;
    });
    this.job = job;
    return job;
  }

  private async digestStale(): Promise<void> {
    this.worker ??= new SyncWorker();
    // What is put in from here on is named again.
    const { stale } = this;
    this.stale = this.spare.fill(0);
    this.spare = stale;
    this.staleCount = 0;
    try {
      await this.worker.digestPages(this.digest, stale);
    } catch (error) {
      this.nothingIsKnown();
      throw error;
    }
  }

  private nothingIsKnown(): void {
    this.stale.fill(ALL);
    this.staleCount = this.bytes / PAGE_BYTES;
  }
}
