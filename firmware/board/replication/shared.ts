// What the leading and the following side of replication both need.
import type { LagLimits } from '../../lockstep/lag.ts';
import type { SyncPlanLimits } from '../../lockstep/sync-plan.ts';
import type { SyncRate } from '../../lockstep/sync-rate.ts';
import type { BoardFacts } from './compat.ts';
import type { DiskChanges } from './disk-changes.ts';
import type { GuestOutput } from './guest-output.ts';
import type { GuestRunner } from './guest-runner.ts';
import type { LogLink } from './log-link.ts';
import type { CurrentRole, ReplicationEvents } from './types.ts';

export interface ReplicationLimits {
  readonly lag: LagLimits;
  readonly sync: SyncPlanLimits;
  /** A refused or failed sync-up is tried again after so long. */
  readonly retryMs: number;
  /** A machine that moves along but is never quite there counts after so long: the leader judges its lag. */
  readonly catchUpMs: number;
  /** Boards in step agree on what to remember changes from this often. */
  readonly baseMs: number;
}

export interface Shared {
  readonly runner: GuestRunner;
  readonly link: LogLink;
  readonly guestOutput: GuestOutput;
  readonly events: ReplicationEvents;
  /** What is remembered of the disks; undefined: nothing ever is. */
  readonly changes: DiskChanges | undefined;
  readonly limits: ReplicationLimits;
  /** MiB a second of the comparison while in step; 0: never. */
  readonly checkMibS: number;
  /** How fast sync-up may be. */
  readonly rate: SyncRate;
  readonly nowMs: () => number;
  /** Undefined before the loop told. */
  readonly current: () => CurrentRole | undefined;
  /** Undefined while something the guest needs is missing. */
  readonly facts: () => BoardFacts | undefined;
  /** Changes of the guest, in the order they were ordered. */
  readonly inTurn: (what: string, work: () => Promise<void>) => void;
}
