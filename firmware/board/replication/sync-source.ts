// Sync-up as the leader does it, while the guest runs:
//
//     1 disks   the target's block hashes come in, of all blocks or of those that may differ; blocks that
//               do go out; what the guest writes meanwhile is marked
//     2 memory  the target's page hashes come in; pages that do not match go out, then what was written
//               meanwhile, round after round (lockstep/sync-plan.ts), each with the disk blocks of that time
//     3 stop    the guest stands still while the last rest is copied aside; its log begins; it goes on
//     4 rest    what was copied aside goes out, and the state of the machine behind it
//
// The link may be slow: the guest never stands still for it. A sync that is stopped has cost nothing but
// time: what was made equal by it is remembered by the target (host/change-log.ts).

import { randomBytes } from 'node:crypto';
import { type GuestMemory, SyncWorker, type SyncWorker as Worker } from '../../../native/index.ts';
import type { DiskReplica } from '../../host/disk-replica.ts';
import type { LiveCheckpoint } from '../../host/vcpu/messages.ts';
import { countPages, pagesOf } from '../../lockstep/sync-blocks.ts';
import { SYNC_PLAN_LIMITS, SyncPlan, type SyncPlanLimits } from '../../lockstep/sync-plan.ts';
import type { SyncRate } from '../../lockstep/sync-rate.ts';
import type { SyncBase } from './bases.ts';
import {
  type BulkMessage,
  encodeBulkMessage,
  KEY_BYTES,
  PAGE_BYTES,
  PIECE_BYTES_MAX,
  type SyncKind,
  type SyncPhase,
} from './bulk-messages.ts';
import { type LogLink, Stopped } from './log-link.ts';
import { type Block, SourceDisks } from './source-disks.ts';
import { SourcePages } from './source-pages.ts';
import { type Survey, Surveys } from './surveys.ts';

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
  readonly memory: GuestMemory;
  readonly disks: readonly DiskReplica[];
  readonly limits?: SyncPlanLimits;
  /** What the boards remember of their disks; asked when writes are watched. */
  readonly base: () => Promise<SyncBase>;
  /** Where an attempt before this one stood that this one goes on from. */
  readonly percentBefore?: (base: number) => number;
  readonly nowMs: () => number;
  readonly rate: SyncRate;
  /** The guest stands still at `position`: the log that follows is for the target. Its stream's number. */
  readonly beginStream: (position: bigint) => number;
  /** The guest is to be held back by this share of the time. */
  readonly throttle: (share: number) => void;
}

export interface SyncSourceReport {
  pauseMs: number;
  totalMs: number;
  kind: SyncKind;
  rounds: number;
  /** By their hashes, which is none where the target had no memory to begin with. */
  pagesCompared: number;
  pagesSent: number;
  blocksCompared: number;
  /** Of this board's disks, for the comparison. */
  bytesRead: number;
  blocksSent: number;
  why: 'converged' | 'patience';
}

const ZERO_PAGE = Buffer.alloc(PAGE_BYTES);
const PROGRESS_MS = 200;

export class SyncSource {
  phase: SyncPhase = 'disks';
  isStopped = false;
  readonly report: SyncSourceReport = {
    pauseMs: 0,
    totalMs: 0,
    kind: 'everything',
    rounds: 0,
    pagesCompared: 0,
    pagesSent: 0,
    blocksCompared: 0,
    bytesRead: 0,
    blocksSent: 0,
    why: 'converged',
  };
  private readonly options: SyncSourceOptions;
  private readonly plan: SyncPlan;
  private readonly key = new Uint8Array(randomBytes(KEY_BYTES));
  private readonly worker: Worker = new SyncWorker();
  private readonly surveys: Surveys;
  private readonly disks: SourceDisks;
  private readonly pages: SourcePages;
  private readonly memory: GuestMemory;
  private base: SyncBase | undefined;
  private toldMs = Number.NEGATIVE_INFINITY;
  private workedMs: number;
  /** Ends a wait for the rate. */
  private wake: (() => void) | undefined;

  constructor(options: SyncSourceOptions) {
    this.options = options;
    const { sync, link, disks, limits = SYNC_PLAN_LIMITS } = options;
    this.memory = options.memory;
    this.plan = new SyncPlan(limits);
    this.workedMs = options.nowMs();
    const check = () => this.check();
    this.surveys = new Surveys({ sync, link, check });
    const shared = { surveys: this.surveys, link, worker: this.worker, signal: this, check };
    this.pages = new SourcePages({
      ...{ ...shared, memory: options.memory, key: this.key },
      pages: this.memory.bytes / PAGE_BYTES,
      worked: (bytes) => this.worked(bytes),
      pace: (bytes) => this.pace(bytes),
    });
    this.disks = new SourceDisks({
      ...{ ...shared, disks },
      compared: async (bytes) => {
        this.report.bytesRead += bytes;
        await this.worked(bytes);
        await this.pace(bytes);
      },
    });
  }

  /** 0: none yet. */
  get baseNumber(): number {
    return this.base?.base ?? 0;
  }

  get facts(): SyncSourceFacts {
    const { percent, round, etaS, doneBytes, totalBytes } = this.plan;
    const { phase, base } = this;
    const { kind } = this.report;
    const why = base?.why ?? '';
    const memory = this.pages.compared > 0 ? 'changes' : 'everything';
    return { phase, percent, round, etaS, doneBytes, totalBytes, kind, memory, why };
  }

  /** Rejects with Stopped when it was stopped, with another error when a disk or the guest failed. */
  async run(): Promise<SyncSourceReport> {
    const { nowMs } = this.options;
    const startMs = nowMs();
    try {
      await this.begin();
      await this.disks.compare();
      await this.copyMemory();
      await this.stopAndGo();
      this.report.totalMs = nowMs() - startMs;
      return this.report;
    } finally {
      this.options.throttle(0);
      this.disks.end();
      this.surveys.end();
      this.worker.close();
    }
  }

  stop(): void {
    this.isStopped = true;
    this.wake?.();
    this.surveys.wake();
    this.options.link.wakeSenders();
  }

  /** The target's surveys, in order. */
  take(message: Survey): void {
    this.surveys.take(message);
  }

  private async begin(): Promise<void> {
    const { sync, boot, session, disks, percentBefore } = this.options;
    const found = await this.options.base();
    const { base, since } = found;
    this.base = found;
    this.check();
    this.report.kind = since === undefined ? 'everything' : 'changes';
    const memoryBytes = this.memory.bytes;
    const isNew = since === undefined;
    const { key } = this;
    await this.sendMessage({ type: 'start', sync, boot, session, memoryBytes, base, isNew, key });
    await this.disks.sendRanges(since);
    const allocated = await Promise.all(disks.map((disk) => disk.allocatedBytes()));
    const toCompare = allocated.map((bytes, disk) =>
      Math.min(bytes, since?.[disk]?.bytes ?? bytes),
    );
    const expected = toCompare.reduce((sum, bytes) => sum + bytes, memoryBytes);
    this.plan.expect(expected, percentBefore?.(base));
    await this.tell(true);
  }

  // ---- memory -------------------------------------------------------------------------------

  private async copyMemory(): Promise<void> {
    const { vcpu, throttle } = this.options;
    this.phase = 'memory';
    const pages = this.memory.bytes / PAGE_BYTES;
    // Starts the record of what is written; only then a page may be read.
    await vcpu.takeDirty();
    await this.pages.compare();
    for (;;) {
      this.check();
      const bitmap = await vcpu.takeDirty();
      await this.pages.sendWritten(bitmap);
      await this.disks.sendWritten();
      this.report.rounds++;
      // The next round would have to copy about as much as this one, known better soon.
      const pageBytes = countPages(bitmap, pages) * PAGE_BYTES;
      const verdict = this.plan.decide(pageBytes, this.disks.writtenBytes);
      if (verdict.next === 'stop') {
        this.report.why = verdict.why;
        return;
      }
      throttle(verdict.throttle);
      await this.tell(true);
    }
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
    this.report.blocksCompared = this.disks.blocksCompared;
    this.report.blocksSent = this.disks.blocksSent;
    this.report.pagesCompared = this.pages.compared;
    this.report.pagesSent = this.pages.sent;
    const { pagesSent: pages, blocksSent: blocks } = this.report;
    await this.sendMessage({ type: 'end', sync, stream, pages, blocks });
    this.phase = 'adopting';
    await this.tell(true);
  }

  private async copyAside(dirty: Uint8Array): Promise<Aside> {
    const { memory } = this;
    const { link } = this.options;
    const numbers = [...pagesOf(dirty, memory.bytes / PAGE_BYTES)];
    const pages = new Uint8Array(numbers.length * PAGE_BYTES);
    for (const [at, page] of numbers.entries()) {
      memory.read(page * PAGE_BYTES, pages.subarray(at * PAGE_BYTES, (at + 1) * PAGE_BYTES));
      if (at % 256 === 255) await link.breathe();
    }
    return { numbers, pages, blocks: await this.disks.copyAside() };
  }

  private async sendAside({ numbers, pages, blocks }: Aside): Promise<void> {
    for (const block of blocks) await this.disks.send(block);
    for (const [at, page] of numbers.entries()) {
      const bytes = pages.subarray(at * PAGE_BYTES, (at + 1) * PAGE_BYTES);
      await this.pages.send(page, ZERO_PAGE.equals(bytes) ? undefined : bytes);
      if (at % 64 === 63) await this.options.link.breathe();
    }
    await this.pages.flush();
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

  /** So much of the disks was compared or of the memory looked at, since the last time. */
  private async worked(bytes: number): Promise<void> {
    const now = this.options.nowMs();
    this.plan.worked(bytes, now - this.workedMs);
    this.workedMs = now;
    await this.tell(false);
  }

  /** So much was read or sent: no faster than somebody set. */
  private async pace(bytes: number): Promise<void> {
    const { rate, nowMs } = this.options;
    const waitMs = rate.waitMs(bytes, nowMs());
    if (waitMs < 1) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      timer = setTimeout(resolve, waitMs);
    });
    clearTimeout(timer);
    this.wake = undefined;
    this.check();
  }

  private async tell(isNews: boolean): Promise<void> {
    const now = this.options.nowMs();
    if (!isNews && now - this.toldMs < PROGRESS_MS) return;
    this.toldMs = now;
    const { why: _, memory: __, ...facts } = this.facts;
    await this.sendMessage({ type: 'progress', ...facts });
  }

  private check(): void {
    if (this.isStopped) throw new Stopped('sync-up was stopped');
  }
}

export interface SyncSourceFacts {
  readonly phase: SyncPhase;
  readonly percent: number;
  readonly round: number;
  readonly etaS: number | null;
  readonly kind: SyncKind;
  readonly memory: SyncKind;
  readonly why: string;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

interface Aside {
  readonly numbers: readonly number[];
  readonly pages: Uint8Array;
  readonly blocks: readonly Block[];
}
