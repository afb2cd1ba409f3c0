// A board of the timed pair: its arbiter, disk, machine and clock.
import { initialState } from '../../../watchdog/arbiter.ts';
import {
  type ArbiterConfig,
  type ArbiterState,
  type DiskRecord,
  LEADING,
} from '../../../watchdog/arbiter-types.ts';
import type { Path } from '../../../watchdog/limits.ts';
import { Limp } from '../../../watchdog/limp.ts';
import { type Delivered, NOTHING_DELIVERED } from '../../../watchdog/path-frame.ts';
import type { SeededRandom } from '../../harness/index.ts';
import type { LogPart } from './world-types.ts';

/** By path, as its reader remembers it. */
export function nothingDelivered(): Record<Path, Delivered> {
  return { log: NOTHING_DELIVERED, serial: NOTHING_DELIVERED, front: NOTHING_DELIVERED };
}

export class Board {
  arbiter: ArbiterState;
  up = false;
  /** Nothing of this board runs before this time: a stall, or a hang without end. */
  frozenUntilMs = 0;
  /** The newest start number on its disk. */
  boot = 0;
  life = 0;
  disk: DiskRecord;
  diskAt: number;
  at: number | null = null;
  outAt = 0;
  sentMark: 'none' | 'grant' | 'leave' = 'none';
  delivered = nothingDelivered();
  /** When somebody last said falsely that it died. */
  slanderedMs = Number.NEGATIVE_INFINITY;
  limp: Limp;
  limpsUntilMs = 0;
  rate: number;
  offsetMs: number;
  serialSentMs = 0;
  frozen: (() => void)[] = [];

  constructor(config: ArbiterConfig, disk: DiskRecord, diskAt: number, random: SeededRandom) {
    this.arbiter = initialState(config, 0);
    this.limp = new Limp(config.limits);
    this.disk = disk;
    this.diskAt = diskAt;
    this.rate = 1 + (random.float() - 0.5) * 0.01;
    this.offsetMs = random.int(100_000);
  }
}

/** What this board puts on the log link beside its statement. */
export function logPart({ arbiter, at, sentMark }: Board): LogPart | null {
  const { role, generation, boot, session, partner } = arbiter;
  if (at === null && role !== 'target') return null;
  if (LEADING.has(role) && partner !== null && at !== null) {
    return { kind: 'entries', generation, session: partner, position: at, mark: sentMark };
  }
  if ((role !== 'target' && role !== 'backup') || at === null) return null;
  return { kind: 'ack', generation, session: { boot, session }, position: at, mark: 'none' };
}
