// A board's replica of a disk, with two users: the guest, and sync-up, which reads and writes whole blocks.
// Both go through one DiskFile and its order: a block read after a write of the guest was handed in has that
// write in it. What the guest writes while somebody watches is marked in a set. Sync-up looks at the whole disk on
// a thread of its own, past that order: what may be written while it looks is marked.
import { stat } from 'node:fs/promises';
import type { SyncWorker } from '../../native/index.ts';
import type { DiskOperation, DiskRequest } from '../devices/contracts.ts';
import type { ByteRange } from '../lockstep/region-map.ts';
import { BlockSet } from '../lockstep/sync-blocks.ts';
import { DiskError } from './disk-errors.ts';
import { type DiskCompletion, DiskFile } from './disk-file.ts';
import type { DiskSpec } from './guest-notation.ts';
import { HeldErrors } from './held-errors.ts';

export const REPLICA_BLOCK_BYTES = 64 << 10;
export const BLOCK_HASH_BYTES = 16;
/** How soon a file that was deleted, moved or cut is noticed. */
const LOOK_MS = 250;
const ZERO_BLOCK = Buffer.alloc(REPLICA_BLOCK_BYTES);

export interface ReplicaOptions extends DiskSpec {
  readonly nowMs: () => number;
  readonly onTrouble: (words: string) => void;
  /** Asked often: an error waits for as long as this answers true, and not for ever. Absent: it never waits. */
  readonly holdsErrors?: () => boolean;
  /** Asked before anything is written; what it answers is waited for. */
  readonly beforeWrite?: (range: ByteRange) => Promise<void> | undefined;
  /** A write failed: what lies there now nobody knows. */
  readonly onWriteFailed?: () => void;
}

type Done = (status: DiskCompletion['status'], data: Uint8Array | undefined) => void;

interface UnderWay {
  readonly done: Done;
  readonly sinceMs: number;
  readonly isGuest: boolean;
  /** That it succeeds shows that the disk is well. */
  readonly isProof: boolean;
  /** What it writes. */
  readonly written: Pick<DiskRequest, 'offset' | 'bytes'> | undefined;
}

/** What lies from a block on: so many of zeros, and behind them those of the hashes. */
export interface BlockSurvey {
  readonly zeros: number;
  readonly hashes: Uint8Array;
}

export class DiskReplica {
  /** The last thing that went wrong, in words; nothing of it is forgotten until a request succeeds. */
  trouble: string | null = null;
  /** Why the file at its path is not what is open here, in words. */
  displaced: string | null = null;
  /** The request that failed last. */
  private failed: Pick<DiskRequest, 'offset' | 'bytes'> | null = null;
  /** Under way: whether what failed would succeed now. */
  private trial: Promise<void> | undefined;
  private readonly options: ReplicaOptions;
  private readonly underWay = new Map<number, UnderWay>();
  private file!: DiskFile;
  private lastId = 0;
  private timer: NodeJS.Timeout | undefined;
  private isClosed = false;
  /** One of a sync-up that has just been stopped may still stand beside that of the next. */
  private readonly watched = new Set<BlockSet>();
  private idleWaiters: (() => void)[] = [];
  /** What the guest is not told yet. */
  private readonly errors: HeldErrors;
  private doneWaiters: (() => void)[] = [];
  /** Looks of sync-up's thread under way. */
  private looks = 0;

  /** Throws a DiskError: one clear line. */
  static async open(options: ReplicaOptions): Promise<DiskReplica> {
    const replica = new DiskReplica(options);
    replica.file = await replica.openFile();
    replica.lookLater();
    return replica;
  }

  private openFile(): Promise<DiskFile> {
    const { options } = this;
    return DiskFile.open({
      ...options,
      onCompletion: ({ id, status, data }) => this.completed(id, status, data),
      onTrouble: ({ message }, request) => {
        this.failed = request;
        this.trouble = message;
        // A trial that fails is no news.
        if (this.trial === undefined) options.onTrouble(message);
      },
    });
  }

  /**
   * Takes the file that lies at its path now, which no guest knows: `empty` is called when it can be had. Throws a
   * DiskError, and keeps what it has.
   */
  async reopen(empty: () => Promise<void> = async () => {}): Promise<void> {
    const file = await this.openFile();
    await empty();
    await this.idle();
    const before = this.file;
    this.file = file;
    this.trouble = null;
    this.displaced = null;
    await before.close();
  }

  /** One look at a time: on a disk that hangs it comes back late. */
  private lookLater(): void {
    this.timer = setTimeout(async () => {
      const { file } = this;
      const displaced = await file.displaced();
      if (this.isClosed) return;
      const words = displaced === null ? null : `disk ${this.path}: ${displaced}`;
      if (file === this.file) this.displaced = words;
      this.lookLater();
    }, LOOK_MS);
    this.timer.unref();
  }

  private constructor(options: ReplicaOptions) {
    this.options = options;
    const { nowMs, holdsErrors } = options;
    this.errors = new HeldErrors(nowMs, holdsErrors ?? (() => false));
  }

  get path(): string {
    return this.options.path;
  }

  get isReadOnly(): boolean {
    return this.options.isReadOnly;
  }

  get sectors(): number {
    return this.file.sectors;
  }

  get bytes(): number {
    return this.file.sectors * 512;
  }

  get blocks(): number {
    return Math.ceil(this.bytes / REPLICA_BLOCK_BYTES);
  }

  /** Since when the oldest request of the guest has been under way. */
  get busySinceMs(): number | null {
    let oldest: number | null = null;
    for (const { isGuest, sinceMs } of this.underWay.values()) {
      if (isGuest && (oldest === null || sinceMs < oldest)) oldest = sinceMs;
    }
    return oldest;
  }

  /** A request of the guest; `done` gets what its completion says. */
  request(request: DiskRequest, done: Done): void {
    const changes = request.operation !== 'read' && request.operation !== 'flush';
    if (changes) {
      const { offset, bytes } = request;
      for (const set of this.watched) set.markBytes(offset, bytes, REPLICA_BLOCK_BYTES);
    }
    const answer: Done = (status, data) => {
      if (status === 'io-error') this.errors.add(() => done(status, undefined));
      else done(status, data);
    };
    this.submit({ ...request, id: this.nextId() }, answer, true);
  }

  /** The guest that waits for them is gone, or is to have them now. */
  tellErrors(): void {
    this.errors.tell();
  }

  /** From now on writes of the guest are marked in the set that this answers, and those that are under way. */
  watch(): BlockSet {
    const set = new BlockSet(this.blocks);
    this.watched.add(set);
    for (const { written } of this.underWay.values()) {
      if (written !== undefined) set.markBytes(written.offset, written.bytes, REPLICA_BLOCK_BYTES);
    }
    return set;
  }

  unwatch(set: BlockSet): void {
    this.watched.delete(set);
  }

  blockBytes(block: number): number {
    return this.blocksBytes(block, 1);
  }

  blocksBytes(first: number, count: number): number {
    return Math.min(count * REPLICA_BLOCK_BYTES, this.bytes - first * REPLICA_BLOCK_BYTES);
  }

  async readBlock(block: number): Promise<Uint8Array> {
    const data = await this.perform('read', block, undefined);
    if (data === undefined) throw new Error(`disk ${this.path}: a read without data`);
    return data;
  }

  /** No bytes: zeros. */
  async writeBlock(block: number, bytes: Uint8Array): Promise<void> {
    await this.writeBlocks(block, 1, bytes);
  }

  /** Blocks that follow each other; no bytes: zeros. */
  async writeBlocks(first: number, count: number, bytes: Uint8Array): Promise<void> {
    if (this.trial !== undefined) await this.trial;
    if (bytes.length === 0) await this.perform('write-zeroes', first, undefined, { count });
    else await this.perform('write', first, bytes, { count });
  }

  /** Everything written before is on the medium. */
  async flush(): Promise<void> {
    await this.perform('flush', 0, undefined);
  }

  /** What lies from `first` on, before `end`, as far as one look goes. */
  async survey(worker: SyncWorker, first: number, end: number): Promise<BlockSurvey> {
    const { zeros, hashed } = await this.look(() =>
      worker.survey(this.file.fd, this.bytes, first, end),
    );
    // A copy: the thread uses its room again.
    const hashes = new Uint8Array(worker.buffer, 0, hashed * BLOCK_HASH_BYTES).slice();
    return { zeros, hashes };
  }

  /** Another board's survey against what is here: the blocks here that differ are runs of the worker's, up to `next`. */
  compare(worker: SyncWorker, first: number, { zeros, hashes }: BlockSurvey) {
    return this.look(() => worker.compare(this.file.fd, this.bytes, first, zeros, hashes));
  }

  /** What a survey of all of it has to read. */
  allocatedBytes(): Promise<number> {
    return this.file.allocatedBytes();
  }

  private async look<Found>(job: () => Promise<Found>): Promise<Found> {
    this.looks++;
    try {
      return await job();
    } catch (error) {
      throw this.troubled(error as Error & { code?: string; block?: number });
    } finally {
      this.looks--;
      this.tellIdle();
    }
  }

  private troubled(error: Error & { code?: string; block?: number }): Error {
    const { block } = error;
    if (block === undefined) return error;
    const offset = block * REPLICA_BLOCK_BYTES;
    this.failed = { offset, bytes: this.blockBytes(block) };
    const words = error.code === 'E_SHORT' ? 'became shorter while it was open' : error.message;
    const { message } = new DiskError('E_DISK_FAILED', this.path, words);
    this.trouble = message;
    this.options.onTrouble(message);
    return new ReplicaError(message);
  }

  /**
   * After trouble, where no guest uses the disk: the blocks of the request that failed last are written over themselves,
   * and put on the medium. When that succeeds the trouble is over.
   */
  async tryAgain(): Promise<void> {
    const { failed } = this;
    if (this.trouble === null || failed === null || this.trial !== undefined) return;
    this.trial = this.writeOver(failed).catch(() => {});
    await this.trial;
    this.trial = undefined;
  }

  private async writeOver({ offset, bytes }: Pick<DiskRequest, 'offset' | 'bytes'>): Promise<void> {
    const how = { isProof: false };
    const endAt = Math.min(offset + Math.max(bytes, 1), this.bytes);
    const first = Math.floor(offset / REPLICA_BLOCK_BYTES);
    for (let block = first; block * REPLICA_BLOCK_BYTES < endAt; block++) {
      const there = await this.perform('read', block, undefined, how);
      if (!this.isReadOnly) await this.perform('write', block, there, how);
    }
    await this.flush();
  }

  /** Resolves when all that was handed in before is done. */
  async settled(): Promise<void> {
    // What waits for it was handed in, too.
    await this.trial;
    const before = [...this.underWay.keys()];
    while (before.some((id) => this.underWay.has(id))) {
      await new Promise<void>((resolve) => this.doneWaiters.push(resolve));
    }
  }

  /** Which file it is, as long as nobody puts another in its place. */
  identity(): Promise<string> {
    return this.file.identity();
  }

  /** When the file was written last, in milliseconds since 1970. */
  async writtenMs(): Promise<number> {
    return (await stat(this.path)).mtimeMs;
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    while (this.underWay.size > 0 || this.looks > 0) {
      await new Promise<void>((resolve) => this.idleWaiters.push(resolve));
    }
  }

  /** Finishes what it was given. May be called twice. */
  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.timer);
    this.errors.tell();
    await this.idle();
    await this.file.close();
  }

  private perform(
    operation: DiskOperation,
    block: number,
    data: Uint8Array | undefined,
    { isProof = true, count = 1 }: { isProof?: boolean; count?: number } = {},
  ): Promise<Uint8Array | undefined> {
    const id = this.nextId();
    const offset = operation === 'flush' ? 0 : block * REPLICA_BLOCK_BYTES;
    const bytes = operation === 'flush' ? 0 : this.blocksBytes(block, count);
    return new Promise((resolve, reject) => {
      const done: Done = (status, read) => {
        if (status === 'ok') resolve(read);
        else reject(new ReplicaError(this.trouble ?? `disk ${this.path}: ${operation} failed`));
      };
      const request = {
        kind: 'disk-request',
        disk: 0,
        id,
        operation,
        offset,
        bytes,
        data,
      } as const;
      this.submit(request, done, false, isProof);
    });
  }

  private nextId(): number {
    return ++this.lastId;
  }

  private submit(request: DiskRequest, done: Done, isGuest: boolean, isProof = true): void {
    const { operation } = request;
    const written = operation === 'read' || operation === 'flush' ? undefined : request;
    const sinceMs = this.options.nowMs();
    this.underWay.set(request.id, { done, isGuest, isProof, written, sinceMs });
    this.file.submit(request);
  }

  private completed(id: number, status: DiskCompletion['status'], data?: Uint8Array): void {
    const { done, isProof, written } = this.underWay.get(id)!;
    this.underWay.delete(id);
    if (status !== 'ok' && written !== undefined) this.options.onWriteFailed?.();
    for (const resolve of this.doneWaiters.splice(0)) resolve();
    // What works elsewhere is no proof while an error is kept from the guest.
    if (status === 'ok' && isProof && !this.errors.areHeld) this.trouble = null;
    done(status, data);
    this.tellIdle();
  }

  private tellIdle(): void {
    if (this.underWay.size > 0 || this.looks > 0) return;
    for (const resolve of this.idleWaiters.splice(0)) resolve();
  }
}

/** A block of sync-up could not be read or written. */
export class ReplicaError extends Error {
  readonly code = 'E_DISK_FAILED';
}

export function isZeroBlock(bytes: Uint8Array): boolean {
  return ZERO_BLOCK.compare(bytes, 0, bytes.length, 0, bytes.length) === 0;
}
