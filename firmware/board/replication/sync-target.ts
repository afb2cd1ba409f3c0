// Sync-up as the target does it: tell the hash of every disk block that may differ, and of every page of the memory
// that is kept here (a fresh one is zeros), write what comes, and when everything is here and the disks are flushed,
// make a machine of it. What has been made equal is remembered meanwhile: whatever ends this attempt, the next one goes
// on from there.
//
// The order is the source's; what comes before its `start` is of an earlier attempt and ignored. Blocks and pages
// are written as fast as disk and memory take them: beyond that the bulk lane is left to fill up.
import { SyncWorker, type SyncWorker as Worker } from '../../../native/index.ts';
import type { ChangeLog } from '../../host/change-log.ts';
import { BLOCK_HASH_BYTES, type DiskReplica } from '../../host/disk-replica.ts';
import { REGION_BYTES_MIN } from '../../lockstep/region-map.ts';
import {
  BLOCK_BYTES,
  type BlockRange,
  type BulkMessage,
  encodeBulkMessage,
  HASH_BYTES,
  PAGE_BYTES,
  type SyncKind,
  type SyncPhase,
} from './bulk-messages.ts';
import type { KeptMemory } from './kept-memory.ts';
import { type LogLink, Stopped } from './log-link.ts';
import { blockRanges } from './source-disks.ts';
import { TargetMemory } from './target-memory.ts';

export interface SyncTargetOptions {
  readonly boot: number;
  readonly session: number;
  readonly link: LogLink;
  readonly memoryBytes: number;
  /** Where a memory to begin with may be, and where one that is half filled goes to. */
  readonly kept: KeptMemory;
  readonly disks: readonly DiskReplica[];
  /** What this board remembers of them; undefined: nothing. */
  readonly changes: () => ChangeLog | undefined;
  readonly nowMs: () => number;
  /** The source begins, for the first time or anew; settles when no machine of an earlier attempt is left. */
  readonly began: () => Promise<void>;
  /** Everything is here. Takes over the memory, whose digest is made. */
  readonly adopt: (memory: TargetMemory, state: Uint8Array, stream: number) => void;
  /** It cannot go on like this: a disk failed, or what came makes no sense. Told once. */
  readonly failed: (error: Error) => void;
}

type Start = Extract<BulkMessage, { type: 'start' }>;
type End = Extract<BulkMessage, { type: 'end' }>;
type Blocks = Extract<BulkMessage, { type: 'blocks' }>;
type Ranges = Extract<BulkMessage, { type: 'ranges' }>;
type Equal = Extract<BulkMessage, { type: 'equal' }>;
type Pages = Extract<BulkMessage, { type: 'pages' }>;

/** Messages of blocks, each of half a MiB at most. */
const WRITES_MAX = 16;
/** What has become equal is kept after so long, or after such a share of a disk. */
const KEEP_MS = 2_000;
const KEEP_SHARE = 1 / 64;
const STATE_BYTES_MAX = 64 << 20;

export class SyncTarget {
  phase: SyncPhase | 'asking' = 'asking';
  percent = 0;
  round = 0;
  etaS: number | null = null;
  kind: SyncKind = 'everything';
  memoryKind: SyncKind = 'everything';
  doneBytes = 0;
  totalBytes = 0;
  isStopped = false;
  /** For tests and for the event that tells of the end. */
  readonly counts = { pages: 0, blocks: 0 };
  private readonly options: SyncTargetOptions;
  private start: Start | undefined;
  private memory: TargetMemory | undefined;
  private state: Uint8Array[] = [];
  private stateBytes = 0;
  private writes = 0;
  private writesDone: (() => void) | undefined;
  private worker: Worker | undefined;
  /** What the source would have compared, for each disk. */
  private ranges: BlockRange[][] = [];
  /** Below these blocks all is equal: of each disk, as told, and as it is on the medium. */
  private equal: { told: number; kept: number }[] = [];
  private keptMs = 0;
  private keeping: Promise<void> = Promise.resolve();
  private isClear: Promise<void> = Promise.resolve();
  private isKeeping = false;

  constructor(options: SyncTargetOptions) {
    this.options = options;
  }

  /** The memory is kept, unless it was adopted. */
  stop(): void {
    this.isStopped = true;
    this.keepMemory();
    this.worker?.close();
    this.worker = undefined;
    this.options.link.wantBulk(true);
    this.options.link.wakeSenders();
    this.writesDone?.();
  }

  private keepMemory(): void {
    const { memory, options } = this;
    if (memory !== undefined) options.kept.keep(memory);
    this.memory = undefined;
  }

  take(message: BulkMessage): void {
    if (this.isStopped) return;
    if (message.type === 'start') {
      this.began(message);
      return;
    }
    if (this.start === undefined) return;
    switch (message.type) {
      case 'progress':
        this.phase = message.phase;
        this.percent = message.percent;
        this.round = message.round;
        this.etaS = message.etaS;
        this.kind = message.kind;
        this.doneBytes = message.doneBytes;
        this.totalBytes = message.totalBytes;
        return;
      case 'ranges':
        this.takeRanges(message);
        return;
      case 'equal':
        this.takeEqual(message);
        return;
      case 'pages':
        this.takePages(message);
        return;
      case 'blocks':
        this.takeBlocks(message);
        return;
      case 'state':
        this.takeState(message.bytes);
        return;
      case 'end':
        this.guarded(() => this.end(message));
        return;
      case 'hashes':
      case 'page-hashes':
      case 'looked':
        this.fail(new Error('the source sends hashes'));
        return;
    }
  }

  private began(start: Start): void {
    const { boot, session, memoryBytes } = this.options;
    if (start.boot !== boot || start.session !== session) return;
    if (start.memoryBytes !== memoryBytes) {
      this.fail(new Error(`the source has ${start.memoryBytes} bytes of memory`));
      return;
    }
    this.keepMemory();
    this.worker?.close();
    this.worker = new SyncWorker();
    this.start = start;
    this.phase = 'disks';
    this.keptMs = this.options.nowMs();
    this.counts.pages = 0;
    this.counts.blocks = 0;
    this.state = [];
    this.stateBytes = 0;
    this.ranges = this.options.disks.map(() => []);
    this.equal = this.options.disks.map(() => ({ told: 0, kept: 0 }));
    this.isClear = this.makeRoom(start);
    this.guarded(() => this.isClear);
  }

  /** The memory of an earlier machine is there when that one is gone. */
  private async makeRoom(start: Start): Promise<void> {
    const { began, kept, memoryBytes } = this.options;
    await began();
    if (this.start !== start || this.isStopped) return;
    const before = kept.take(memoryBytes);
    this.memoryKind = before === undefined ? 'everything' : 'changes';
    const memory = before ?? TargetMemory.fresh(memoryBytes);
    this.memory = memory;
    memory.onRoom = () => this.wantMore();
    await memory.quiet();
  }

  private takeRanges({ disk, isLast, ranges }: Ranges): void {
    const { start, worker, options } = this;
    const blocks = options.disks[disk]?.blocks ?? 0;
    if (ranges.some(({ first, count }) => first + count > blocks)) {
      this.fail(new Error(`blocks that disk ${disk} does not have`));
      return;
    }
    this.ranges[disk]?.push(...ranges);
    if (!isLast || start === undefined) return;
    this.sendHashes(start, worker!).catch((error) => {
      // What was begun anew meanwhile has its own.
      if (this.start === start) this.fail(error as Error);
    });
  }

  /** What may differ, of each disk; on the medium before a block is written. */
  private async toCompare({ base, isNew }: Start): Promise<BlockRange[][]> {
    const { disks } = this.options;
    const changes = this.options.changes();
    if (changes === undefined || base === 0 || isNew) {
      if (base === 0) await changes?.forget('the other board keeps nothing');
      else {
        await changes?.begin(base, true);
        await changes?.settle(base);
      }
      return disks.map(({ blocks }) => [{ first: 0, count: blocks }]);
    }
    const since = changes.since(base);
    if (since === undefined) throw new Error('what this board remembered of its disks is lost');
    for (const [disk, map] of since.entries()) {
      for (const { first, count } of this.ranges[disk]!) {
        map.markBytes({ offset: first * BLOCK_BYTES, bytes: count * BLOCK_BYTES });
      }
    }
    await changes.mark(since.map((map) => [...map.ranges()]));
    return since.map(blockRanges);
  }

  private async sendHashes(start: Start, worker: Worker): Promise<void> {
    const { sync } = start;
    const { disks, link } = this.options;
    // What an earlier attempt, or its machine, still had to write is behind it.
    await this.isClear;
    for (const replica of disks) await replica.idle();
    const ranges = await this.toCompare(start);
    for (const [disk, replica] of disks.entries()) {
      for (const { first: from, count } of ranges[disk]!) {
        for (let first = from; first < from + count; ) {
          if (this.start !== start) return;
          const { zeros, hashes } = await replica.survey(worker, first, from + count);
          const message = encodeBulkMessage({ type: 'hashes', sync, disk, first, zeros, hashes });
          await link.sendBulk(message, this);
          first += zeros + hashes.length / BLOCK_HASH_BYTES;
        }
      }
      const end = { type: 'hashes', sync, disk, first: replica.blocks, zeros: 0 } as const;
      await link.sendBulk(encodeBulkMessage({ ...end, hashes: new Uint8Array(0) }), this);
    }
    await this.sendPageHashes(start, worker);
  }

  /** No page is written before its hash is out: the source answers to it. */
  private async sendPageHashes(start: Start, worker: Worker): Promise<void> {
    const { sync, key } = start;
    const pages = start.memoryBytes / PAGE_BYTES;
    for (let first = 0; first < pages; ) {
      if (this.start !== start || this.memory === undefined) return;
      const { zeros, hashed } = await worker.surveyPages(this.memory.memory, first, key);
      const hashes = new Uint8Array(worker.buffer, 0, hashed * HASH_BYTES);
      const message = { type: 'page-hashes', sync, first, zeros, hashes } as const;
      await this.options.link.sendBulk(encodeBulkMessage(message), this);
      first += zeros + hashed;
    }
  }

  private takeEqual({ disk, block }: Equal): void {
    const { equal, options } = this;
    const known = equal[disk];
    if (known === undefined) return;
    known.told = Math.max(known.told, block);
    const now = options.nowMs();
    const blocks = Math.max(
      REGION_BYTES_MIN / BLOCK_BYTES,
      options.disks[disk]!.blocks * KEEP_SHARE,
    );
    const isDue = known.told - known.kept >= blocks || now - this.keptMs >= KEEP_MS;
    if (this.isKeeping || !isDue || options.changes() === undefined) return;
    this.keptMs = now;
    this.isKeeping = true;
    this.keeping = this.keep(this.start).finally(() => {
      this.isKeeping = false;
    });
    this.guarded(() => this.keeping);
  }

  /** What was told to be equal so far is on the medium, and then remembered. */
  private async keep(start: Start | undefined): Promise<void> {
    const { disks, changes } = this.options;
    const told = this.equal.map((one) => one.told);
    for (const [disk, replica] of disks.entries()) {
      const { kept } = this.equal[disk]!;
      const until = told[disk]!;
      if (replica.isReadOnly || until <= kept) continue;
      await replica.settled();
      await replica.flush();
      if (this.start !== start || this.isStopped) return;
      await changes()?.clear(disk, kept * BLOCK_BYTES, until * BLOCK_BYTES);
      this.equal[disk]!.kept = until;
    }
  }

  private takePages({ runs }: Pages): void {
    const { memory, options } = this;
    for (const { first, count, bytes: data } of runs) {
      if ((first + count) * PAGE_BYTES > options.memoryBytes) {
        this.fail(new Error('a page beyond the end of memory'));
        return;
      }
      this.counts.pages += count;
      memory?.put(first, count, data);
    }
    if (memory?.hasRoom === false) options.link.wantBulk(false);
  }

  /** Where neither disk nor memory has to catch up. */
  private wantMore(): void {
    if (this.isStopped || this.writes >= WRITES_MAX / 2 || this.memory?.hasRoom === false) return;
    this.options.link.wantBulk(true);
  }

  private takeBlocks({ disk, first, count, bytes }: Blocks): void {
    const replica = this.options.disks[disk];
    const fits = replica !== undefined && !replica.isReadOnly && first + count <= replica.blocks;
    if (!fits || (bytes.length > 0 && bytes.length !== replica.blocksBytes(first, count))) {
      this.fail(new Error(`blocks that disk ${disk} does not have`));
      return;
    }
    this.counts.blocks += count;
    this.writes++;
    if (this.writes >= WRITES_MAX) this.options.link.wantBulk(false);
    this.guarded(async () => {
      try {
        await replica.writeBlocks(first, count, bytes);
      } finally {
        this.written();
      }
    });
  }

  private written(): void {
    this.writes--;
    this.wantMore();
    if (this.writes === 0) this.writesDone?.();
  }

  private takeState(bytes: Uint8Array): void {
    this.stateBytes += bytes.length;
    if (this.stateBytes > STATE_BYTES_MAX) {
      this.fail(new Error('a state of that size'));
      return;
    }
    this.state.push(bytes);
  }

  private async end({ sync, stream, pages, blocks }: End): Promise<void> {
    const { start, counts, options } = this;
    if (sync !== start?.sync) throw new Error('the end of another sync-up');
    if (counts.pages !== pages || counts.blocks !== blocks) {
      const words = `${counts.pages} of ${pages} pages, ${counts.blocks} of ${blocks} blocks`;
      throw new Error(`not everything came: ${words}`);
    }
    this.phase = 'adopting';
    await this.isClear;
    if (this.writes > 0) {
      await new Promise<void>((resolve) => {
        this.writesDone = resolve;
      });
    }
    // Before anybody counts on this disk.
    for (const disk of options.disks) if (!disk.isReadOnly) await disk.flush();
    await this.memory?.settled();
    await this.keeping.catch(() => {});
    if (this.isStopped || this.start !== start) return;
    // All that was told since, and what the guest wrote meanwhile.
    for (const [disk, { bytes }] of options.disks.entries()) {
      if (start.base !== 0) await options.changes()?.clear(disk, 0, bytes);
    }
    if (this.isStopped || this.start !== start) return;
    const memory = this.memory!;
    this.memory = undefined;
    this.start = undefined;
    this.worker?.close();
    options.adopt(memory, Buffer.concat(this.state), stream);
  }

  private guarded(work: () => Promise<void>): void {
    work().catch((error) => this.fail(error as Error));
  }

  private fail(error: Error): void {
    if (this.isStopped || error instanceof Stopped) return;
    this.stop();
    this.options.failed(error);
  }
}
