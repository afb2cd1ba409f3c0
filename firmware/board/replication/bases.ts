// Two boards in step agree on a new base now and then (host/change-log.ts), so that what may differ stays little. The
// follower begins it first, then the leader; from the leader's on the log says where that was, and when the
// follower's machine is there both have all that was written before on their media:
//
//     leader                        follower
//       begin(base)   ──────────▶     its map begins
//       its map begins ◀─────────     begun(base)
//       when the follower is as far:
//       here(base), in the log ─▶     applied so far, all of it on the media: settled
//       its own on the media: settled ◀──  settled(base)
//
// Cut anywhere, what either wrote and the other may lack is in a map of both boards' older base.
import { randomBytes } from 'node:crypto';
import type { ChangeLog } from '../../host/change-log.ts';
import type { RegionMap } from '../../lockstep/region-map.ts';
import type { DiskChanges } from './disk-changes.ts';

export type BaseStep = 'begin' | 'begun' | 'here' | 'settled';

/** What a sync-up goes by. */
export interface SyncBase {
  /** 0: nothing is remembered. */
  readonly base: number;
  /** What was written here since, for each disk; undefined: everything is compared. */
  readonly since: readonly RegionMap[] | undefined;
  /** Why everything is, in words. */
  readonly why: string;
}

export interface BaseParts {
  readonly changes: () => ChangeLog | undefined;
  /** What was handed to the disks so far is on their media. */
  readonly flushed: () => Promise<void>;
  readonly say: (step: BaseStep, base: number) => void;
}

export interface LeadingBaseParts extends BaseParts {
  /** Resolves when the follower has behind it what the guest did here until now. */
  readonly passed: () => Promise<void>;
}

export class LeadingBases {
  private readonly parts: LeadingBaseParts;
  private readonly everyMs: number;
  private underWay: number | undefined;
  private lastMs = Number.NEGATIVE_INFINITY;

  /** `everyMs`: between two bases of boards in step. */
  constructor(parts: LeadingBaseParts, everyMs: number) {
    this.parts = parts;
    this.everyMs = everyMs;
  }

  /** Often, while a follower is in step. */
  look(nowMs: number): void {
    const changes = this.parts.changes();
    if (changes === undefined || this.underWay !== undefined) return;
    if (nowMs - this.lastMs < this.everyMs) return;
    // Where nothing was written the old one is as good; without one there is none to renew.
    if (changes.bases.length === 0 || changes.markedBytes === 0) return;
    this.lastMs = nowMs;
    this.underWay = newBase();
    this.parts.say('begin', this.underWay);
  }

  async begun(base: number): Promise<void> {
    const { changes, flushed, say, passed } = this.parts;
    if (base !== this.underWay) return;
    await changes()?.begin(base);
    await passed();
    // Whoever stopped meanwhile has no follower that could be there.
    if (base !== this.underWay) return;
    say('here', base);
    await flushed();
    await changes()?.settle(base);
  }

  settled(base: number): void {
    if (base === this.underWay) this.underWay = undefined;
  }

  /** Nobody follows any more. */
  stop(): void {
    this.underWay = undefined;
  }
}

export class FollowingBases {
  private readonly parts: BaseParts;
  private awaited: { readonly base: number; readonly message: number } | undefined;

  constructor(parts: BaseParts) {
    this.parts = parts;
  }

  async begin(base: number): Promise<void> {
    await this.parts.changes()?.begin(base);
    this.parts.say('begun', base);
  }

  /** This message of the log says where the leader's map began. */
  here(base: number, message: number): void {
    this.awaited = { base, message };
  }

  /** `applied`: the last message of the log that the machine has behind it; `handed`: its requests are here. */
  async progress(applied: number, handed: () => Promise<unknown>): Promise<void> {
    const { awaited, parts } = this;
    if (awaited === undefined || applied < awaited.message) return;
    this.awaited = undefined;
    await handed();
    await parts.flushed();
    await parts.changes()?.settle(awaited.base);
    parts.say('settled', awaited.base);
  }

  stop(): void {
    this.awaited = undefined;
  }
}

export function newBase(): number {
  return 1 + randomBytes(6).readUIntLE(0, 6);
}

/** What both boards remember last; or a new base, for which everything is compared. */
export async function baseFor(
  changes: DiskChanges | undefined,
  { bases, forgotten }: { readonly bases: readonly number[]; readonly forgotten: string },
): Promise<SyncBase> {
  await changes?.ready();
  const log = changes?.log;
  if (changes === undefined || log === undefined) {
    return { base: 0, since: undefined, why: 'this board remembers nothing of its disks' };
  }
  const known = log.bases.find((base) => bases.includes(base));
  if (known !== undefined) return { base: known, since: log.since(known), why: '' };
  const why = whyEverything(log.bases.length === 0 ? log.forgotten : null, bases, forgotten);
  const base = newBase();
  await log.begin(base);
  await changes.flushed();
  await log.settle(base);
  return { base: log.bases.includes(base) ? base : 0, since: undefined, why };
}

/** Why everything is compared, in words. */
function whyEverything(here: string | null, theirs: readonly number[], forgotten: string): string {
  if (here !== null) return `this board: ${here}`;
  if (theirs.length === 0) return `the other board: ${forgotten}`;
  return 'the boards remember nothing in common';
}
