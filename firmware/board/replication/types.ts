// What the arbiter's loop and replication (guest, log stream, sync-up) promise each other. The loop decides
// and calls; replication carries out, in the order of the calls, and answers with arbiter events. A call never waits: what takes time is reported later.
//
// A gate call takes effect before it returns (arbiter duty 2).

import type { PairState } from '../../../watchdog/arbiter.ts';
import type { Action, ArbiterEvent, Gate, Grant, Role } from '../../../watchdog/arbiter-types.ts';
import type { Chosen } from '../../host/engines.ts';
import type { StormFacts } from '../../host/net/storm-guard.ts';
import type { About } from '../about.ts';
import type { EventCode } from '../event-codes.ts';

/** Who this board is just now; the loop tells before the actions that follow from it. */
export interface CurrentRole {
  readonly role: Role;
  readonly pairState: PairState;
  readonly boot: number;
  readonly generation: number;
  /** Own session as a follower. */
  readonly session: number;
  /** Granted to the peer by this board as the primary. */
  readonly grant: Grant | null;
}

/** The arbiter's actions that concern the guest, one method each. */
export interface Replication {
  /** Before any order; nothing is told before. Throws one clear line. */
  start(): void;
  tellRole(current: CurrentRole): void;
  gate(gate: Gate): void;
  bootGuest(): void;
  goLive(): void;
  pauseGuest(): void;
  resumeGuest(): void;
  /** Answers `guest-discarded` when no trace of the machine is left. */
  discardGuest(): void;
  syncSource(partner: Grant): void;
  syncTarget(session: number): void;
  syncStop(): void;
  /** MiB a second; 0: as fast as it goes. */
  setSyncRate(mibS: number): void;
  markLog(mark: 'grant' | 'leave', partner: Grant): void;
  follow(boot: number, session: number): void;
  announceGuest(): void;
  /** One sealed statement to the peer over the log link; false: there was no way just now. */
  sayOnLog(frame: Uint8Array): boolean;
  /** Every few milliseconds, after the statement that may have been said: what the link had put off is due. */
  tick(): void;
  facts(): ReplicationFacts;
  /** Ends guest and link in order. May be called twice. */
  close(): Promise<void>;
}

/** What replication tells the loop. */
export interface ReplicationEvents {
  /** sync-done, marked, diverged, guest-discarded, and path-down of the log link. */
  readonly arbiter: (event: ArbiterEvent) => void;
  /** A sealed statement came over the log link. */
  readonly statement: (frame: Uint8Array) => void;
  readonly event: (event: ReplicationEvent) => void;
}

/** For people and machines: `data` is plain JSON. */
export interface ReplicationEvent {
  readonly code: EventCode;
  readonly text: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

export interface SyncFacts {
  readonly phase: 'none' | 'asking' | 'refused' | 'disks' | 'memory' | 'stopping' | 'adopting';
  readonly percent: number;
  readonly etaS: number | null;
  readonly round: number;
  /** Whether all of the disks is compared, or what changed; and why all of them, in words. */
  readonly kind: 'everything' | 'changes';
  readonly why: string;
  /** Whether all of the memory is brought over, or what differs from one that the target has kept. */
  readonly memory: 'everything' | 'changes';
  /** Of the disks and the memory: looked at, and in all; 0: not known yet. */
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Why the peer was refused, each reason a sentence. */
  readonly refusals: readonly string[];
}

/** The slow comparison of the disks of boards in step, as the leader has it. */
export interface CheckFacts {
  /** MiB a second; 0: never. */
  readonly mibS: number;
  /** Of the round that goes on. */
  readonly percent: number;
  /** Blocks that differed in it. */
  readonly differing: number;
  /** When the last whole round ended, in milliseconds since 1970; null: none since the start. */
  readonly lastAtMs: number | null;
  readonly lastDiffering: number | null;
}

export const NO_CHECK: CheckFacts = {
  ...{ mibS: 0, percent: 0, differing: 0, lastAtMs: null, lastDiffering: null },
};

export const NO_SYNC: SyncFacts = {
  ...{ phase: 'none', percent: 0, etaS: null, round: 0, kind: 'everything', why: '' },
  ...{ memory: 'everything', doneBytes: 0, totalBytes: 0, refusals: [] },
};

export interface Takeover {
  readonly cause: string;
  readonly generation: number;
  /** Milliseconds since the decision, for each milestone reached. */
  readonly drainedMs: number | null;
  readonly liveMs: number | null;
  readonly firstOutputMs: number | null;
}

/** The guest's clock against its line: real time as it has passed since the guest's power-on. */
export interface GuestClockFacts {
  /** Ahead of it, or behind it (negative); null: no guest is led here. */
  readonly offMs: number | null;
  /** The furthest it has been from it while led here, since this board started; null: none was. */
  readonly worstMs: number | null;
  /** How well this board knows its peer's clock, which a takeover goes on by; null: it never answered. */
  readonly peerErrorMs: number | null;
}

/** A network card of the guest on this board. */
export interface NetFacts extends StormFacts {
  readonly tap: string;
}

/** A way of the log, the best first; what is measured is of the session that stands. */
export interface LogPathFacts {
  /** For people. */
  readonly name: string;
  readonly hasCarrier: boolean;
  /** Why not, where that is not the carrier. */
  readonly trouble: string | null;
  /** What this board sends goes over it. */
  readonly isActive: boolean;
  /** No answer comes over it; null: no session stands. */
  readonly isLost: boolean | null;
  readonly rttUs: number;
  /** Sent of the log. */
  readonly logBytes: number;
}

export interface LinkFacts {
  readonly up: boolean;
  /** Of the path in use. */
  readonly rttUs: number;
  readonly frameBytes: number;
  readonly paths: readonly LogPathFacts[];
}

export interface ReplicationFacts {
  readonly guest: 'none' | 'starting' | 'leading' | 'paused' | 'following' | 'ended' | 'failed';
  readonly position: bigint;
  readonly virtualNs: bigint;
  /** Is it executing (not idle, not paused): then its position must move. */
  readonly runs: boolean;
  readonly lives: number;
  readonly clock: GuestClockFacts;
  /** What runs the guest, and why that. */
  readonly engine: Chosen;
  /** How far the backup is behind, here or there; null: nobody follows. */
  readonly lagMs: number | null;
  /** So far that a takeover now would be felt. */
  readonly isFarBehind: boolean;
  /** MiB a second a sync-up may be while this board leads; 0: as fast as it goes. */
  readonly syncRateMibS: number;
  readonly logKbps: number;
  readonly gate: { readonly mode: Gate; readonly waiting: number; readonly oldestMs: number };
  readonly link: LinkFacts;
  readonly sync: SyncFacts;
  readonly check: CheckFacts;
  readonly lastTakeover: Takeover | null;
  readonly disks: readonly { readonly path: string; readonly trouble: string | null }[];
  /** Since when a disk request has been under way, or null. */
  readonly diskBusySinceMs: number | null;
  /** Each network card of the guest, and what was kept from it in storms. */
  readonly nets: readonly NetFacts[];
  /** What the peer said of itself last; null: nothing yet. */
  readonly peerAbout: About | null;
  /** All is open that the guest cannot be without. */
  readonly isReady: boolean;
  /** What of it this board does not have, in words; null: all is there, or it is just being opened. */
  readonly missing: string | null;
}

/** Actions the loop carries out itself. */
export type LoopAction = Extract<
  Action,
  { do: 'say' | 'persist' | 'report' | 'refuse' | 'pet' | 'reset' | 'close-watchdog' }
>;
