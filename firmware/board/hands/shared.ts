// What the leading and the following side of the hands both need.
import type { LagLimits } from '../../lockstep/lag.ts';
import type { SyncPlanLimits } from '../../lockstep/sync-plan.ts';
import type { BoardFacts } from './compat.ts';
import type { GuestSeat } from './guest-seat.ts';
import type { Link } from './link.ts';
import type { Outlet } from './outlet.ts';
import type { HandsEvents, Reign } from './types.ts';

export interface HandsLimits {
  readonly lag: LagLimits;
  readonly sync: SyncPlanLimits;
  /** A refused or failed sync-up is tried again after so long. */
  readonly retryMs: number;
  /** A machine that moves along but is never quite there counts after so long: the leader judges its lag. */
  readonly catchUpMs: number;
}

export interface Shared {
  readonly seat: GuestSeat;
  readonly link: Link;
  readonly outlet: Outlet;
  readonly events: HandsEvents;
  readonly limits: HandsLimits;
  readonly nowMs: () => number;
  /** Undefined before the brain told. */
  readonly reign: () => Reign | undefined;
  /** Undefined while something the guest needs is missing. */
  readonly facts: () => BoardFacts | undefined;
  /** Changes of the guest, in the order they were ordered. */
  readonly inTurn: (what: string, work: () => Promise<void>) => void;
}
