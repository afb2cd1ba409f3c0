// Sync-up as the leader does it, while the guest runs:
//
//     1 disks   the target's block hashes come in, blocks that differ go out; what the guest writes
//               meanwhile is marked
//     2 memory  all pages, then what was written meanwhile, round after round (lockstep/sync-plan.ts),
//               each with the disk blocks written meanwhile
//     3 stop    the guest stands still while the last rest is copied aside; its log begins; it goes on
//     4 rest    what was copied aside goes out, and the state of the machine behind it
//
// The link may be slow: the guest never stands still for it. A sync that is stopped has cost nothing but
// time; the next one finds the disk blocks that got through equal.

import {
  BLOCK_HASH_BYTES,
  blockHash,
  type DiskReplica,
  isZeroBlock,
} from '../../host/disk-replica.ts';
import type { LiveCheckpoint } from '../../host/vcpu/messages.ts';
import { type BlockSet, countPages, differingBlocks, pagesOf } from '../../lockstep/sync-blocks.ts';
import { SYNC_PLAN_LIMITS, SyncPlan, type SyncPlanLimits } from '../../lockstep/sync-plan.ts';
import { type LogLink, Stopped } from './log-link.ts';
import {
  BLOCK_BYTES,
  type BulkMessage,
  encodeBulkMessage,
  PAGE_BYTES,
  PagePacker,
  PIECE_BYTES_MAX,
  type SyncPhase,
} from './messages.ts';

/** What sync-up asks of the thread that runs the guest. */
export interface SourceVcpu {
  takeDirty(): Promise<Uint8Array>;
  checkpoint(): Promise<LiveCheckpoint>;
  resume(options: { log: boolean }): Promise<void>;
}

export interface SyncSourceOptions {
  readonly sync: number;
  readonly boot: number;
  readonly session: number;
  readonly link: LogLink;
  readonly vcpu: SourceVcpu;
  /** The guest's memory, mapped here. */
  readonly memory: Uint8Array;
  readonly disks: readonly DiskReplica[];
  readonly limits?: SyncPlanLimits;
  readonly nowMs: () => number;
  /** The guest stands still at `position`: the log that follows is for the target. Its stream's number. */
  readonly beginStream: (position: bigint) => number;
  /** The guest is to be held back by this share of the time. */
  readonly throttle: (share: number) => void;
}

export interface SyncSourceReport {
  pauseMs: number;
  totalMs: number;
  rounds: number;
  pagesSent: number;
  blocksCompared: number;
  blocksSent: number;
  why: 'converged' | 'patience';
}

type Hashes = Extract<BulkMessage, { type: 'hashes' }>;

const ZERO_PAGE = Buffer.alloc(PAGE_BYTES);
const PROGRESS_MS = 200;
/** Blocks read and hashed at the same time: the guest's own requests must find a thread. */
const COMPARED_AT_ONCE = 3;

export class SyncSource {
  phase: SyncPhase = 'disks';
  isStopped = false;
  readonly report: SyncSourceReport = {
    pauseMs: 0,
    totalMs: 0,
    rounds: 0,
    pagesSent: 0,
    blocksCompared: 0,
    blocksSent: 0,
    why: 'converged',
  };
  private readonly options: SyncSourceOptions;
  private readonly plan: SyncPlan;
  private readonly packer = new PagePacker();
  private readonly written: BlockSet[];
  private readonly hashes: Hashes[] = [];
  private hashWaiter: (() => void) | undefined;
  private toldMs = Number.NEGATIVE_INFINITY;

  constructor(options: SyncSourceOptions) {
    this.options = options;
    const { disks, memory, limits = SYNC_PLAN_LIMITS } = options;
    const diskBytes = disks.reduce((sum, disk) => sum + (disk.isReadOnly ? 0 : disk.bytes), 0);
    this.plan = new SyncPlan(diskBytes + memory.length, limits);
    // Before the first block is read: a write that comes later is marked.
    this.written = disks.map((disk) => disk.watch());
  }

  get round(): number {
    return this.plan.round;
  }

  get percent(): number {
    return this.plan.percent;
  }

  get etaS(): number | null {
    return this.plan.etaS;
  }

  /** Rejects with Stopped when it was stopped, with another error when a disk or the guest failed. */
  async run(): Promise<SyncSourceReport> {
    const { nowMs, disks } = this.options;
    const startMs = nowMs();
    try {
      await this.begin();
      await this.compareDisks();
      await this.copyMemory();
      await this.stopAndGo();
      this.report.totalMs = nowMs() - startMs;
      return this.report;
    } finally {
      this.options.throttle(0);
      disks.forEach((disk, index) => {
        disk.unwatch(this.written[index]!);
      });
    }
  }

  stop(): void {
    this.isStopped = true;
    this.hashWaiter?.();
    this.options.link.wakeSenders();
  }

  /** The target's hashes, in order. */
  take(message: Hashes): void {
    if (message.sync !== this.options.sync) return;
    this.hashes.push(message);
    this.hashWaiter?.();
  }

  private async begin(): Promise<void> {
    const { sync, boot, session, memory } = this.options;
    const memoryBytes = memory.length;
    await this.sendMessage({ type: 'start', sync, boot, session, memoryBytes });
    await this.tell(true);
  }

  // ---- disks --------------------------------------------------------------------------------

  private async compareDisks(): Promise<void> {
    for (const [index, disk] of this.options.disks.entries()) {
      if (disk.isReadOnly) await this.compareReadOnly(index, disk);
      else await this.compareDisk(index, disk);
    }
  }

  /** Nobody writes it, so nobody can make it equal either: unlike ones are a mistake to be told. */
  private async compareReadOnly(index: number, disk: DiskReplica): Promise<void> {
    const differing = await this.differing(index, disk, async () => {});
    if (differing > 0) {
      throw new Error(`disk ${index} is read-only and not the same on both boards`);
    }
  }

  private async compareDisk(index: number, disk: DiskReplica): Promise<void> {
    await this.differing(index, disk, (block, bytes) => this.sendBlock(index, block, bytes));
  }

  private async differing(
    index: number,
    disk: DiskReplica,
    found: (block: number, bytes: Uint8Array) => Promise<void>,
  ): Promise<number> {
    let differing = 0;
    for (let next = 0; next < disk.blocks; ) {
      const { first, disk: which, hashes } = await this.nextHashes();
      const count = hashes.length / BLOCK_HASH_BYTES;
      if (which !== index || first !== next || count === 0 || first + count > disk.blocks) {
        throw new Error('the target sends hashes of other blocks than it was asked for');
      }
      const startMs = this.options.nowMs();
      for (let at = 0; at < count; at += COMPARED_AT_ONCE) {
        const until = Math.min(count, at + COMPARED_AT_ONCE);
        const theirs = hashes.subarray(at * BLOCK_HASH_BYTES, until * BLOCK_HASH_BYTES);
        differing += await this.compareSome(disk, first + at, until - at, theirs, found);
        await this.tell(false);
      }
      next += count;
      this.plan.worked(count * BLOCK_BYTES, this.options.nowMs() - startMs);
    }
    return differing;
  }

  private async compareSome(
    disk: DiskReplica,
    first: number,
    count: number,
    theirs: Uint8Array,
    found: (block: number, bytes: Uint8Array) => Promise<void>,
  ): Promise<number> {
    const numbers = Array.from({ length: count }, (_, i) => first + i);
    const blocks = await Promise.all(numbers.map((block) => disk.readBlock(block)));
    const ours = Buffer.concat(await Promise.all(blocks.map(blockHash)));
    this.report.blocksCompared += count;
    const differing = differingBlocks(first, theirs, ours, BLOCK_HASH_BYTES);
    for (const block of differing) await found(block, blocks[block - first]!);
    return differing.length;
  }

  private async nextHashes(): Promise<Hashes> {
    for (;;) {
      this.check();
      const message = this.hashes.shift();
      if (message !== undefined) return message;
      await new Promise<void>((resolve) => {
        this.hashWaiter = resolve;
      });
      this.hashWaiter = undefined;
    }
  }

  private async sendBlock(disk: number, block: number, bytes: Uint8Array): Promise<void> {
    this.report.blocksSent++;
    const sent = isZeroBlock(bytes) ? bytes.subarray(0, 0) : bytes;
    await this.sendMessage({ type: 'block', disk, block, bytes: sent });
  }

  private async sendWritten(): Promise<void> {
    for (const [index, disk] of this.options.disks.entries()) {
      const written = this.written[index]!;
      // No more than are marked now: a guest that writes all the time has its next round.
      for (let left = written.size; left > 0; left--) {
        const block = written.take();
        if (block === undefined) break;
        await this.sendBlock(index, block, await disk.readBlock(block));
      }
    }
  }

  // ---- memory -------------------------------------------------------------------------------

  private async copyMemory(): Promise<void> {
    const { vcpu, memory, throttle } = this.options;
    this.phase = 'memory';
    const pages = memory.length / PAGE_BYTES;
    // Starts the record of what is written; only then a page may be read.
    await vcpu.takeDirty();
    await this.sendPages(allPages(pages), true);
    for (;;) {
      this.check();
      const bitmap = await vcpu.takeDirty();
      await this.sendPages(pagesOf(bitmap, pages), false);
      await this.sendWritten();
      this.report.rounds++;
      const rest = await this.estimate(bitmap, pages);
      const verdict = this.plan.decide(rest.pageBytes, rest.blockBytes);
      if (verdict.next === 'stop') {
        this.report.why = verdict.why;
        return;
      }
      throttle(verdict.throttle);
      await this.tell(true);
    }
  }

  /** What the next round would have to copy: about as much as this one, known better soon. */
  private async estimate(
    bitmap: Uint8Array,
    pages: number,
  ): Promise<{ pageBytes: number; blockBytes: number }> {
    const blocks = this.written.reduce((sum, { size }) => sum + size, 0);
    return {
      pageBytes: countPages(bitmap, pages) * PAGE_BYTES,
      blockBytes: blocks * BLOCK_BYTES,
    };
  }

  private async sendPages(pages: Iterable<number>, isFirst: boolean): Promise<void> {
    const { memory, link, nowMs } = this.options;
    let startMs = nowMs();
    let lookedAt = 0;
    for (const page of pages) {
      const bytes = memory.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
      const isZero = ZERO_PAGE.equals(bytes);
      // The target's memory is new: all zeros.
      if (!isZero || !isFirst) await this.packPage(page, isZero ? undefined : bytes);
      if (++lookedAt % 64 !== 0) continue;
      if (isFirst) {
        this.plan.worked(64 * PAGE_BYTES, nowMs() - startMs);
        startMs = nowMs();
      }
      await link.breathe();
      this.check();
      await this.tell(false);
    }
    await this.flushPages();
  }

  private async packPage(page: number, bytes: Uint8Array | undefined): Promise<void> {
    this.report.pagesSent++;
    if (this.packer.add(page, bytes)) return;
    await this.flushPages();
    this.packer.add(page, bytes);
  }

  private async flushPages(): Promise<void> {
    const message = this.packer.take();
    if (message !== undefined) await this.options.link.sendBulk(message, this);
  }

  // ---- the stop -----------------------------------------------------------------------------

  private async stopAndGo(): Promise<void> {
    const { vcpu, nowMs, beginStream, sync } = this.options;
    this.phase = 'stopping';
    this.check();
    const startMs = nowMs();
    const checkpoint = await vcpu.checkpoint();
    let stream: number;
    let aside: Aside;
    try {
      aside = await this.copyAside(checkpoint.dirty);
      this.check();
      stream = beginStream(checkpoint.position);
    } catch (error) {
      await vcpu.resume({ log: false });
      throw error;
    }
    await vcpu.resume({ log: true });
    this.report.pauseMs = nowMs() - startMs;
    this.options.throttle(0);
    await this.tell(true);
    await this.sendAside(aside);
    await this.sendState(checkpoint.state);
    const { pagesSent: pages, blocksSent: blocks } = this.report;
    await this.sendMessage({ type: 'end', sync, stream, pages, blocks });
    this.phase = 'adopting';
    await this.tell(true);
  }

  private async copyAside(dirty: Uint8Array): Promise<Aside> {
    const { memory, link, disks } = this.options;
    const numbers = [...pagesOf(dirty, memory.length / PAGE_BYTES)];
    const pages = new Uint8Array(numbers.length * PAGE_BYTES);
    for (const [at, page] of numbers.entries()) {
      pages.set(memory.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES), at * PAGE_BYTES);
      if (at % 256 === 255) await link.breathe();
    }
    const blocks: Aside['blocks'][number][] = [];
    for (const [disk, replica] of disks.entries()) {
      const written = this.written[disk]!;
      for (let block = written.take(); block !== undefined; block = written.take()) {
        blocks.push({ disk, block, bytes: await replica.readBlock(block) });
      }
    }
    return { numbers, pages, blocks };
  }

  private async sendAside({ numbers, pages, blocks }: Aside): Promise<void> {
    for (const { disk, block, bytes } of blocks) await this.sendBlock(disk, block, bytes);
    for (const [at, page] of numbers.entries()) {
      const bytes = pages.subarray(at * PAGE_BYTES, (at + 1) * PAGE_BYTES);
      await this.packPage(page, ZERO_PAGE.equals(bytes) ? undefined : bytes);
      if (at % 64 === 63) await this.options.link.breathe();
    }
    await this.flushPages();
  }

  private async sendState(state: Uint8Array): Promise<void> {
    for (let at = 0; at < state.length; at += PIECE_BYTES_MAX) {
      await this.sendMessage({ type: 'state', bytes: state.subarray(at, at + PIECE_BYTES_MAX) });
    }
  }

  // ---- inside -------------------------------------------------------------------------------

  private sendMessage(message: Exclude<BulkMessage, { type: 'pages' }>): Promise<void> {
    return this.options.link.sendBulk(encodeBulkMessage(message), this);
  }

  private async tell(isNews: boolean): Promise<void> {
    const now = this.options.nowMs();
    if (!isNews && now - this.toldMs < PROGRESS_MS) return;
    this.toldMs = now;
    const { phase, percent, round, etaS } = this;
    await this.sendMessage({ type: 'progress', phase, percent, round, etaS });
  }

  private check(): void {
    if (this.isStopped) throw new Stopped('sync-up was stopped');
  }
}

interface Aside {
  readonly numbers: readonly number[];
  readonly pages: Uint8Array;
  readonly blocks: readonly { disk: number; block: number; bytes: Uint8Array }[];
}

function* allPages(pages: number): Generator<number> {
  for (let page = 0; page < pages; page++) yield page;
}
