// The status as plain JSON, for hosts without Sparkplug. Every message has every key: what is not known is
// null, so that who keeps the last value of each key keeps nothing that was true once. Pure.
import { roleWord } from '../board/role-words.ts';
import type { Status } from '../board/status.ts';
import { traitsOf } from '../host/engine-kinds.ts';

/** What the board says; null where it says nothing. */
interface Known {
  readonly name: string | null;
  readonly side: string | null;
  readonly role: string | null;
  readonly arbiterRole: string | null;
  readonly pairState: string | null;
  readonly generation: number | null;
  readonly redundant: boolean | null;
  /** Which single fault would end the service, in words. */
  readonly protection: string | null;
  readonly healthy: boolean | null;
  readonly safeToRemove: boolean | null;
  readonly safeToRemoveWhy: string | null;
  readonly lagMs: number | null;
  readonly syncPercent: number | null;
  /** The guest's clock against its line, in whole milliseconds; null also where it is not led. */
  readonly guestClockOffMs: number | null;
  readonly guestClockWorstMs: number | null;
  /** What runs the guest on this board, in words, and why that. */
  readonly guestEngine: string | null;
  readonly guestEngineWhy: string | null;
}

export interface PlainStatus extends Known {
  /** The agent is at the broker. */
  readonly online: boolean;
  /** And hears its board. */
  readonly reachable: boolean;
  readonly why: string | null;
}

const NOTHING: Known = {
  ...{ name: null, side: null, role: null, arbiterRole: null, pairState: null, generation: null },
  ...{
    redundant: null,
    protection: null,
    healthy: null,
    safeToRemove: null,
    safeToRemoveWhy: null,
  },
  ...{ lagMs: null, syncPercent: null, guestClockOffMs: null, guestClockWorstMs: null },
  ...{ guestEngine: null, guestEngineWhy: null },
};

export function shown(status: Status): PlainStatus {
  const { board, role, pairState, why, generation, safeToRemove, lagMs, sync, guest } = status;
  const { offMs, worstMs } = guest.clock;
  return {
    ...{ online: true, reachable: true, name: board.name, side: board.side },
    ...{ role: roleWord(role), arbiterRole: role, pairState, why, generation },
    redundant: pairState === 'RUN-Redundant',
    protection: status.redundancy.words,
    healthy: status.health.ok,
    safeToRemove: safeToRemove.ok,
    safeToRemoveWhy: safeToRemove.why,
    lagMs: lagMs === null ? null : Math.round(lagMs),
    syncPercent: Math.round(sync.percent),
    guestClockOffMs: offMs === null ? null : Math.round(offMs),
    guestClockWorstMs: worstMs === null ? null : Math.round(worstMs),
    guestEngine: traitsOf(guest.engine.kind).words,
    guestEngineWhy: guest.engine.why,
  };
}

/** The board does not answer. */
export function unreachable(why: string): PlainStatus {
  return { online: true, reachable: false, ...NOTHING, why };
}

/** The agent is gone. */
export function offline(why: string): PlainStatus {
  return { online: false, reachable: false, ...NOTHING, why };
}
