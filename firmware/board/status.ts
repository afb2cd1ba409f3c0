// All that can be known of a board now, as plain JSON: the one source of `twinstep status`, of the
// console and of SCADA. Fields are added, never renamed; `format` tells.
import { type PairState, pairState } from '../../watchdog/arbiter.ts';
import type {
  ArbiterState,
  DiskRecord,
  Gate,
  Role,
  Statement,
} from '../../watchdog/arbiter-types.ts';
import type { Verdict } from '../../watchdog/health.ts';
import type { Path } from '../../watchdog/limits.ts';
import type { Extras } from '../../watchdog/statement-wire.ts';
import type { GuardStatus } from '../../watchdog/watchdog-guard.ts';
import type { EngineKind } from '../host/engine-kinds.ts';
import type { About } from './about.ts';
import type { AlarmCode } from './alarms/codes.ts';
import type { ClockStatus } from './clock-watch.ts';
import type { ConfigVersion } from './config/load.ts';
import type { BoardConfig } from './config/types.ts';
import type { Severity } from './event-codes.ts';
import type { BoardEvent } from './events.ts';
import { type LogPathStatus, logPaths } from './log-paths.ts';
import type { PathCounters } from './paths.ts';
import type { Redundancy } from './redundancy.ts';
import type {
  CheckFacts,
  GuestClockFacts,
  NetFacts,
  ReplicationFacts,
  SyncFacts,
} from './replication/types.ts';
import type { ScadaStatus } from './scada-desk.ts';
import { hearsPeer, type SafeToRemove, safeToRemove } from './service-rules.ts';
import type { TakeoverStatus } from './takeover-timeline.ts';
import type { TickCounters } from './ticker.ts';

export interface Status {
  readonly format: 1;
  readonly board: {
    readonly name: string;
    readonly side: 'a' | 'b';
    readonly pid: number;
    /** Counts starts of this board. */
    readonly boot: number;
    readonly upMs: number;
  };
  readonly role: Role;
  readonly pairState: PairState;
  /** What that is worth now: which single fault the service would survive. */
  readonly redundancy: Redundancy;
  /** Why this role, in words. */
  readonly why: string;
  /** How long it has had this role. */
  readonly sinceMs: number;
  readonly generation: number;
  readonly record: DiskRecord;
  readonly safeToRemove: SafeToRemove;
  readonly paths: Readonly<Record<Path, PathStatus>>;
  readonly witness: {
    readonly kind: 'gateway' | 'none';
    readonly address: string | null;
    readonly answers: boolean;
    readonly trouble: string | null;
  };
  readonly watchdog: GuardStatus & { readonly kind: BoardConfig['watchdog']['kind'] };
  readonly health: { readonly ok: boolean; readonly words: readonly string[] };
  /** How far the backup is behind: on the backup itself, and on the primary as the backup tells. Null: there is none. */
  readonly lagMs: number | null;
  readonly logKbps: number;
  readonly gate: { readonly mode: Gate; readonly waiting: number; readonly oldestMs: number };
  readonly link: LinkStatus;
  /** The comparison of the disks while in step. */
  readonly check: CheckFacts;
  readonly sync: SyncFacts & { readonly isAllowed: boolean; readonly rateMibS: number };
  readonly lastTakeover: TakeoverStatus | null;
  readonly guest: {
    readonly state: ReplicationFacts['guest'];
    /** 64 bits, as text. */
    readonly position: string;
    /** The same, by its name of 0.1. */
    readonly icount: string;
    readonly virtualNs: string;
    readonly lives: number;
    /** How right its clock is: docs/GUEST.md. */
    readonly clock: GuestClockFacts;
    /** What runs it, and why that. */
    readonly engine: { readonly kind: EngineKind; readonly why: string };
  };
  readonly disks: ReplicationFacts['disks'];
  readonly nets: readonly NetFacts[];
  readonly versions: { readonly firmware: string };
  /** Null: this board does not look after its file. */
  readonly config: ConfigStatus | null;
  readonly peer: PeerStatus | null;
  readonly lastEvent: BoardEvent | null;
  /** The worst first; docs/alarms.md. */
  readonly alarms: readonly AlarmView[];
  readonly ticks: TickCounters;
  /** What tells SCADA of this board, as its agent reports. Null: no broker is configured. */
  readonly scada: ScadaStatus | null;
  /** The wall clock. Null: not looked at. */
  readonly clock: ClockStatus | null;
}

export interface LinkStatus {
  readonly up: boolean;
  /** Of the way in use. */
  readonly rttUs: number;
  readonly frameBytes: number;
  /** The ways of the log, the best first. */
  readonly paths: readonly LogPathStatus[];
}

export interface PathStatus {
  readonly state: 'talks' | 'silent' | 'none';
  /** Since its last word came this way; null: never. */
  readonly heardMs: number | null;
  /** Whether the peer says it hears this board here; null: it says nothing now. */
  readonly peerHears: boolean | null;
  readonly sent: number;
  readonly accepted: number;
  readonly rejected: number;
}

export interface PeerStatus {
  readonly role: Statement['role'];
  readonly boot: number;
  readonly generation: number;
  readonly standing: Statement['standing'];
  readonly session: number;
  readonly ready: boolean;
  readonly witness: boolean;
  readonly isHeard: boolean;
  /** Bit n: probe n of watchdog/health.ts fails there. */
  readonly health: number;
  readonly position: string;
  /** The same, by its name of 0.1. */
  readonly icount: string;
  /** Which firmware and configuration run there; null: it has not said. */
  readonly about: About | null;
}

/** What people and machines see of one alarm. */
export interface AlarmView {
  readonly code: AlarmCode;
  readonly severity: Severity;
  readonly text: string;
  /** Wall clock of when it was raised. */
  readonly sinceMs: number;
  /** How often it has been raised in all. */
  readonly count: number;
  /** Its cause lasts; false: it happened, and waits to be acknowledged. */
  readonly active: boolean;
  /** Who acknowledged it, and when; null: nobody yet. */
  readonly acked: { readonly by: string; readonly wallMs: number } | null;
}

/** The file of a board, beside what it runs with. */
export interface ConfigStatus {
  /** What this board started with. */
  readonly running: ConfigVersion;
  /** What its next start takes; null: there is no file. */
  readonly file: ConfigVersion | null;
  readonly trial: TrialFacts | null;
}

export interface TrialFacts {
  readonly by: string;
  readonly minutes: number;
  readonly leftMs: number;
  /** Of the file on trial. */
  readonly hash: string;
}

export interface StatusParts {
  readonly config: BoardConfig;
  readonly state: ArbiterState;
  /** Why its record could not be read and counted yet; null: it just has not been. */
  readonly coldWhy: string | null;
  readonly facts: ReplicationFacts;
  readonly redundancy: Redundancy;
  readonly nowMs: number;
  readonly bornMs: number;
  readonly counters: Readonly<Record<Path, PathCounters>>;
  readonly witnessTrouble: string | null;
  readonly dog: GuardStatus;
  readonly verdict: Verdict;
  readonly takeover: TakeoverStatus | null;
  readonly peerExtras: Extras;
  readonly lastEvent: BoardEvent | null;
  readonly alarms: readonly AlarmView[];
  readonly ticks: TickCounters;
  readonly firmware: string;
  readonly configStatus: ConfigStatus | null;
}

export function statusOf(parts: StatusParts): Status {
  const { config, state, facts, nowMs } = parts;
  const { name, side } = config;
  const { gateway } = config.front;
  const { role, generation, record } = state;
  const why = role === 'cold' && parts.coldWhy !== null ? parts.coldWhy : state.why;
  return {
    format: 1,
    board: { name, side, pid: process.pid, boot: state.boot, upMs: nowMs - parts.bornMs },
    role,
    pairState: pairState(state),
    redundancy: parts.redundancy,
    why,
    sinceMs: nowMs - state.sinceMs,
    generation,
    record,
    safeToRemove: safeToRemove(state, nowMs),
    paths: {
      log: pathStatus(parts, 'log'),
      serial: pathStatus(parts, 'serial'),
      front: pathStatus(parts, 'front'),
    },
    witness: {
      kind: gateway === null ? 'none' : 'gateway',
      address: gateway,
      answers: nowMs - state.witnessMs <= config.limits.witnessSilentMs,
      trouble: parts.witnessTrouble,
    },
    watchdog: { kind: config.watchdog.kind, ...parts.dog },
    health: { ok: parts.verdict.ok, words: parts.verdict.words },
    lagMs: facts.lagMs,
    logKbps: facts.logKbps,
    gate: facts.gate,
    link: { ...facts.link, paths: logPaths(facts.link.paths) },
    check: facts.check,
    sync: {
      ...facts.sync,
      ...{ isAllowed: state.config.syncAllowed, rateMibS: facts.syncRateMibS },
    },
    lastTakeover: parts.takeover,
    guest: {
      state: facts.guest,
      position: facts.position.toString(),
      icount: facts.position.toString(),
      virtualNs: facts.virtualNs.toString(),
      lives: facts.lives,
      clock: facts.clock,
      engine: facts.engine,
    },
    disks: facts.disks,
    nets: facts.nets,
    versions: { firmware: parts.firmware },
    config: parts.configStatus,
    peer: peerStatus(parts),
    lastEvent: parts.lastEvent,
    alarms: parts.alarms,
    ticks: parts.ticks,
    // Beside the arbiter's loop; board.ts has it.
    scada: null,
    clock: null,
  };
}

function pathStatus({ config, state, nowMs, counters }: StatusParts, path: Path): PathStatus {
  const silentMs = config.limits.silentMs[path];
  const agoMs = nowMs - state.heardMs[path];
  const isUsed = path !== 'serial' || config.serial !== null;
  const talks = agoMs <= silentMs;
  return {
    state: !isUsed ? 'none' : talks ? 'talks' : 'silent',
    heardMs: Number.isFinite(agoMs) ? Math.round(agoMs) : null,
    peerHears: hearsPeer(state, nowMs) ? (state.peer?.hears[path] ?? null) : null,
    ...counters[path],
  };
}

function peerStatus({ state, nowMs, peerExtras, facts }: StatusParts): PeerStatus | null {
  const { peer } = state;
  if (peer === null) return null;
  const { role, boot, generation, standing, session, ready, witness } = peer;
  return {
    role,
    boot,
    generation,
    standing,
    session,
    ready,
    witness,
    isHeard: hearsPeer(state, nowMs),
    health: peerExtras.health,
    position: peerExtras.position.toString(),
    icount: peerExtras.position.toString(),
    about: facts.peerAbout,
  };
}
