// The words of the arbiter: what a board says of itself, what it remembers, what can happen to it,
// what it orders done. Everything here is plain data; ARBITER.md explains how it fits together.
import type { Limits, Path } from './limits.ts';

export const ROLES = [
  'cold', // started, the record on disk is not read yet
  'seeking', // no machine in memory; looking for the peer, deciding who leads
  'target', // sync-up as target: follows a primary, not in step, must not lead
  'backup', // RUN-Redundant as backup: in step, may promote
  'promoting', // decided to lead; the new generation is on its way to the disk
  'solo', // RUN-Solo: leads, nobody else could
  'source', // sync-up as source: still solo
  'granting', // the peer has everything; `shared` is on its way to the disk
  'protected', // RUN-Redundant as primary: output needs the peer's acknowledgement
  'yielding', // log link lost: asks the peer over what is left to give up its claim
  'soloing', // certain that the peer cannot lead; `sole` is on its way to the disk
  'leaving', // hands over: guest paused, output closed
  'isolated', // hears neither peer nor witness, or slept: outputs held, the watchdog decides
  'fenced', // the peer's reign is newer: throws its machine away
  'maintenance', // takes no part, by the operator; safe to switch off
  'stopped', // ordered stop
] as const;
export type Role = (typeof ROLES)[number];

/** Roles that hold, or are about to hold, the reign of their generation. */
export const LEADING: ReadonlySet<Role> = new Set<Role>([
  'promoting',
  'solo',
  'source',
  'granting',
  'protected',
  'yielding',
  'soloing',
  'leaving',
  'isolated',
]);

/** closed: nothing leaves. acked: what the peer acknowledged leaves. open: everything leaves. */
export type Gate = 'closed' | 'acked' | 'open';

/**
 * What a board's own disk says about its state, seen from a restart:
 *   sole     nobody else can have gone on from here: may lead alone
 *   shared   the peer may have gone on from here: may lead only if the peer says it has not
 *   behind   the peer has newer state: never leads by itself
 *   unknown  no record, or one that cannot be believed: never leads by itself
 */
export const STANDINGS = ['sole', 'shared', 'behind', 'unknown'] as const;
export type Standing = (typeof STANDINGS)[number];

export interface DiskRecord {
  readonly generation: number;
  readonly standing: Standing;
}

/** The right to promote: given to one session of one boot of the peer, used up when it changes. */
export interface Grant {
  readonly boot: number;
  readonly session: number;
}

/** What a board says of itself, the same on every path. The newest (boot, seq) replaces all older. */
export interface Statement {
  /** Counts starts of the board, kept on disk: orders statements of different starts. */
  readonly boot: number;
  readonly seq: number;
  /** `dead` is said by the supervisor: the process of this boot has ended. This is its last word. */
  readonly role: Role | 'dead';
  readonly generation: number;
  /** Of this generation; `pending` while the disk does not say so yet. */
  readonly standing: Standing | 'pending';
  /** A follower's session. A higher number renounces every grant to a lower one, for good. */
  readonly session: number;
  readonly grant: Grant | null;
  /** The last grant taken back without the peer's word: no session up to it can be used again. */
  readonly spent: Grant | null;
  /** The primary asks: renounce, so that I may go on without you. */
  readonly wantsRenounce: boolean;
  /** Healthy, watchdog armed, sync-up allowed: could lead or follow. */
  readonly ready: boolean;
  readonly hears: Readonly<Record<Path, boolean>>;
  readonly witness: boolean;
  /** The newest statement of yours that I have: proves that I wrote this after it. */
  readonly echoBoot: number;
  readonly echoSeq: number;
}

export interface ArbiterConfig {
  /** Breaks the one tie that records cannot: two operators forced both boards at once. */
  readonly id: 'a' | 'b';
  readonly limits: Limits;
  /** `none`: a dead backup then stops the primary; see ARBITER.md, "Without a witness". */
  readonly witness: 'gateway' | 'none';
  /** Named in the configuration: may lead without a hardware watchdog. */
  readonly allowNoWatchdog: boolean;
  /** The operator forbids sync-up in a critical phase of the plant. */
  readonly syncAllowed: boolean;
}

export interface ArbiterState {
  /** As it was given, and as an operator changed it since. */
  config: ArbiterConfig;
  role: Role;
  /** Why this role, in words for the console. */
  why: string;
  sinceMs: number;
  gate: Gate;
  boot: number;
  /** The number of this start is safe on disk; before that nothing is said under it. */
  isCounted: boolean;
  seq: number;
  /** The reign I lead or follow. */
  generation: number;
  /** What is on disk, and what is on its way there. */
  record: DiskRecord;
  writing: DiskRecord | null;
  /** How a promotion came about: decides what follows when the disk has it. */
  plan: 'boot' | 'go-live' | 'swap' | 'take';
  /** Follower: whose log I follow, in which session, and which marks of it have arrived. */
  followBoot: number;
  session: number;
  mark: 'none' | 'grant' | 'leave';
  /** Leader. `partner` is the session that sync-up serves. */
  partner: Grant | null;
  grant: Grant | null;
  spent: Grant | null;
  wantsRenounce: boolean;
  /** Leader in step, or bringing the peer there: since when the log link is dead. */
  logLostMs: number | null;
  /** The operator wants the other board to lead. */
  switchOver: boolean;
  /** What to become once the peer has taken over. */
  after: 'backup' | 'maintenance' | 'stopped';
  /** The newest statement of the peer. What it says of claims stays true; of health it grows old. */
  peer: Statement | null;
  /** The newest of what the peer itself said: what I echo. */
  heard: { readonly boot: number; readonly seq: number };
  /** The newest start whose last word was taken. It is believed as long as `peer` is that word. */
  lastWordBoot: number;
  heardMs: Record<Path, number>;
  /** When the unbroken run of the peer's words, on whatever path, began. */
  wordsRunMs: number;
  /** The witness: its last answer, and when the unbroken run of answers that ends there began. */
  witnessMs: number;
  witnessRunMs: number;
  awakeMs: number;
  tickedMs: number;
  pettedMs: number;
  /** When the present run of stalls began, one upon another. */
  stalledMs: number;
  /** I slept or was cut off: much waits until the peer answers a statement of this number. */
  doubt: number | null;
  /** In doubt, and what the peer said may be lost: silence, too, waits for its answer. */
  hasMissed: boolean;
  /** Backup: the last statement that said I am off the plant, until the peer answers a later one. */
  offPlantSeq: number | null;
  healthy: boolean;
  /** Petted, fit or not. */
  alive: boolean;
  /** Why this board limps, in words; null: it does not. */
  limp: string | null;
  /** When this board last handed over, or was handed over to. */
  swappedMs: number;
  /** Leader: sync-ups in a row of one start of the peer that did not last; when the last one was in step, and when it may begin again. */
  syncFailures: number;
  syncBoot: number;
  inStepMs: number;
  syncPausedUntilMs: number;
  watchdogArmed: boolean;
  resetAsked: boolean;
}

export type OperatorRequest =
  | { readonly request: 'switch-over' }
  | { readonly request: 'test-failover' }
  | { readonly request: 'maintenance'; readonly on: boolean }
  | { readonly request: 'sync-up'; readonly allowed: boolean }
  | { readonly request: 'sync-rate'; readonly mibS: number }
  /** `force`: also when nobody takes over. */
  | { readonly request: 'stop'; readonly force: boolean }
  /** A stop, and whoever started this board starts it again. */
  | { readonly request: 'restart' }
  /** Lead from this board's disk, whatever the peer has: the operator vouches for it. */
  | { readonly request: 'force-lead' };

export type ArbiterEvent =
  | { readonly type: 'tick' }
  | { readonly type: 'loaded'; readonly boot: number; readonly record: DiskRecord }
  /** The answer to `count-start`. */
  | { readonly type: 'start-counted'; readonly boot: number }
  | { readonly type: 'heard'; readonly path: Path; readonly statement: Statement }
  /** Carrier or modem lines gone: silent now, without waiting. */
  | { readonly type: 'path-down'; readonly path: Path }
  /** The front cable of this board has no carrier: neither peer nor witness is there. */
  | { readonly type: 'front-out' }
  | { readonly type: 'witness-answered' }
  | { readonly type: 'persisted'; readonly record: DiskRecord }
  /** `ok`: fit to lead. `isAlive`: to be petted all the same; @default ok */
  | { readonly type: 'health'; readonly ok: boolean; readonly isAlive?: boolean }
  /** It stands still, or its outputs wait, too much of the time (limp.ts): why, or null. */
  | { readonly type: 'limp'; readonly why: string | null }
  | { readonly type: 'watchdog'; readonly armed: boolean }
  /** Source: this session of the peer holds everything. */
  | { readonly type: 'sync-done'; readonly partner: Grant }
  /** Follower: all of the log up to the primary's mark is here. */
  | { readonly type: 'marked'; readonly mark: 'grant' | 'leave'; readonly session: number }
  /** Follower: this machine is not the primary's any more: replay went wrong, or it was dropped. */
  | { readonly type: 'diverged'; readonly why?: string }
  | { readonly type: 'guest-discarded' }
  | ({ readonly type: 'request' } & OperatorRequest);

export type Action =
  | { readonly do: 'say'; readonly urgent: boolean; readonly statement: Statement }
  | { readonly do: 'persist'; readonly record: DiskRecord }
  /** Counts this start of the board anew on its disk: the peer has heard of a later one. */
  | { readonly do: 'count-start'; readonly boot: number }
  | { readonly do: 'gate'; readonly gate: Gate }
  | { readonly do: 'boot-guest' }
  /** Replay to the end of the log, then record; output waits for the gate. */
  | { readonly do: 'go-live' }
  | { readonly do: 'pause-guest' }
  | { readonly do: 'resume-guest' }
  | { readonly do: 'discard-guest' }
  | { readonly do: 'sync-source'; readonly partner: Grant }
  | { readonly do: 'sync-target'; readonly session: number }
  | { readonly do: 'sync-stop' }
  /** Put this mark into the log, behind everything whose output has left or may leave. */
  | { readonly do: 'mark-log'; readonly mark: 'grant' | 'leave'; readonly partner: Grant }
  /** Follow the log of this boot of the peer from where the own machine stands. */
  | { readonly do: 'follow'; readonly boot: number; readonly session: number }
  /** Tell the plant network where the guest is now. */
  | { readonly do: 'announce-guest' }
  | { readonly do: 'report'; readonly role: Role; readonly why: string }
  | { readonly do: 'refuse'; readonly request: OperatorRequest['request']; readonly why: string }
  | { readonly do: 'pet' }
  | { readonly do: 'reset'; readonly why: string }
  | { readonly do: 'close-watchdog' };
