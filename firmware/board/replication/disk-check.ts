// Boards in step compare their disks for ever, slowly: what a medium lost in silence is found before it is needed.
//
//     leader                                   follower
//       marks what is written from here on;
//       when the follower is as far:
//       look(disk, block), in the log  ────▶     applied so far, and on its disk: surveys the next blocks
//       compares with its own          ◀────   looked(survey)
//
// What was written meanwhile is passed by; it comes again in the next round. What else differs was equal once: the
// regions are marked as such, the follower is let go, and its sync-up, which compares them, makes them equal to the
// leader's.
import { RUN_WORDS, SyncWorker, type SyncWorker as Worker } from '../../../native/index.ts';
import { BLOCK_HASH_BYTES, type BlockSurvey, type DiskReplica } from '../../host/disk-replica.ts';
import type { BlockSet } from '../../lockstep/sync-blocks.ts';
import { SyncRate } from '../../lockstep/sync-rate.ts';
import type { CheckFacts } from './types.ts';

/** Between two looks, however little there is to see. */
const LOOK_MS = 20;
/** Between two rounds: what is small is not compared all the time. */
const ROUND_MS = 3_600_000;

export interface Look {
  readonly id: number;
  readonly disk: number;
  readonly first: number;
}

export interface DiskCheckParts {
  readonly disks: readonly DiskReplica[];
  /** MiB a second; 0: never. */
  readonly mibS: number;
  /** Resolves when the follower has behind it what the guest did here until now. */
  readonly passed: () => Promise<void>;
  /** Puts it into the log. */
  readonly say: (look: Look) => void;
  readonly nowMs: () => number;
  readonly wallMs: () => number;
  /** Blocks of a disk that differ although nobody wrote them. */
  readonly differs: (disk: number, blocks: readonly number[]) => void;
  /** All disks were looked at once. */
  readonly finished: (facts: CheckFacts) => void;
}

interface UnderWay extends Look {
  readonly replica: DiskReplica;
  readonly written: BlockSet;
}

export class LeadingCheck {
  private readonly parts: DiskCheckParts;
  private readonly rate: SyncRate;
  private worker: Worker | undefined;
  private underWay: UnderWay | undefined;
  private looks = 0;
  private at = { disk: 0, block: 0 };
  private nextMs = 0;
  private found = 0;
  private last: { readonly atMs: number; readonly differing: number } | null = null;

  constructor(parts: DiskCheckParts) {
    this.parts = parts;
    this.rate = new SyncRate(parts.mibS);
  }

  get facts(): CheckFacts {
    const { disks, mibS } = this.parts;
    const blocks = disks.map((disk) => disk.blocks);
    const total = blocks.reduce((sum, count) => sum + count, 0);
    const before = blocks.slice(0, this.at.disk).reduce((sum, count) => sum + count, 0);
    const percent = total === 0 ? 0 : Math.floor((100 * (before + this.at.block)) / total);
    const { last } = this;
    return {
      ...{ mibS, percent, differing: this.found },
      ...{ lastAtMs: last?.atMs ?? null, lastDiffering: last?.differing ?? null },
    };
  }

  /** Often, while a follower is in step. */
  look(): void {
    const { disks, mibS, nowMs, say, passed } = this.parts;
    if (mibS === 0 || this.underWay !== undefined || nowMs() < this.nextMs) return;
    const { disk, block } = this.at;
    const replica = disks[disk];
    if (replica === undefined) return;
    this.worker ??= new SyncWorker();
    const look = { id: ++this.looks, disk, first: block };
    // From here on, and with what is under way.
    const underWay = { ...look, replica, written: replica.watch() };
    this.underWay = underWay;
    void passed().then(() => {
      if (this.underWay === underWay) say(look);
    });
  }

  /** A new round, from the first block on. */
  startRound(): void {
    this.stop();
    this.at = { disk: 0, block: 0 };
    this.nextMs = 0;
    this.found = 0;
  }

  /** The follower has that look behind it. */
  async looked(id: number, survey: BlockSurvey): Promise<void> {
    const { underWay, worker } = this;
    if (underWay === undefined || id !== underWay.id || worker === undefined) return;
    const { replica, first, written, disk } = underWay;
    const end = first + survey.zeros + survey.hashes.length / BLOCK_HASH_BYTES;
    // What cannot be: nothing is built on it.
    if (end <= first || end > replica.blocks) return this.stop();
    const differing: number[] = [];
    let bytesRead = 0;
    for (let from = first; from < end; ) {
      const past = Math.max(0, from - first - survey.zeros);
      const rest = {
        zeros: Math.max(0, survey.zeros - (from - first)),
        hashes: survey.hashes.subarray(past * BLOCK_HASH_BYTES),
      };
      const found = await replica.compare(worker, from, rest);
      if (this.underWay !== underWay) return;
      differing.push(...this.blocksOf(worker, found.runs).filter((block) => !written.has(block)));
      bytesRead += found.bytesRead;
      from = found.next;
    }
    this.found += differing.length;
    this.done(underWay, end, bytesRead);
    if (differing.length > 0) this.parts.differs(disk, differing);
  }

  /** Nobody is in step any more: goes on from here with the next follower. */
  stop(): void {
    const { underWay } = this;
    this.underWay = undefined;
    if (underWay !== undefined) underWay.replica.unwatch(underWay.written);
    this.worker?.close();
    this.worker = undefined;
  }

  private blocksOf(worker: Worker, runs: number): number[] {
    const table = new Uint32Array(worker.runs, 0, runs * RUN_WORDS);
    const blocks: number[] = [];
    for (let at = 0; at < table.length; at += RUN_WORDS) {
      const [first = 0, count = 0] = table.subarray(at, at + RUN_WORDS);
      for (let block = first; block < first + count; block++) blocks.push(block);
    }
    return blocks;
  }

  private done({ replica, written, disk }: UnderWay, end: number, bytesRead: number): void {
    const { nowMs, wallMs, disks, finished } = this.parts;
    replica.unwatch(written);
    this.underWay = undefined;
    this.nextMs = nowMs() + Math.max(LOOK_MS, this.rate.waitMs(bytesRead, nowMs()));
    this.at = end < replica.blocks ? { disk, block: end } : { disk: disk + 1, block: 0 };
    if (this.at.disk < disks.length) return;
    this.at = { disk: 0, block: 0 };
    this.last = { atMs: wallMs(), differing: this.found };
    this.found = 0;
    this.nextMs = nowMs() + ROUND_MS;
    finished(this.facts);
  }
}

export interface FollowingCheckParts {
  readonly disks: readonly DiskReplica[];
  readonly answer: (look: Look, survey: BlockSurvey) => Promise<void>;
}

export class FollowingCheck {
  private readonly parts: FollowingCheckParts;
  private worker: Worker | undefined;
  private awaited: (Look & { readonly message: number }) | undefined;

  constructor(parts: FollowingCheckParts) {
    this.parts = parts;
  }

  /** This message of the log says so. */
  look(look: Look, message: number): void {
    this.awaited = { ...look, message };
  }

  /** As FollowingBases.progress(). */
  async progress(applied: number, handed: () => Promise<unknown>): Promise<void> {
    const { awaited } = this;
    if (awaited === undefined || applied < awaited.message) return;
    this.awaited = undefined;
    const replica = this.parts.disks[awaited.disk];
    if (replica === undefined || awaited.first >= replica.blocks) return;
    await handed();
    await replica.settled();
    this.worker ??= new SyncWorker();
    const survey = await replica.survey(this.worker, awaited.first, replica.blocks);
    await this.parts.answer(awaited, survey);
  }

  stop(): void {
    this.awaited = undefined;
    this.worker?.close();
    this.worker = undefined;
  }
}
