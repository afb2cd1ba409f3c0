// All that can be known of a board now, as plain JSON: the one source of `twinstep status`, of the
// console and of SCADA. Fields are added, never renamed; `format` tells.
import { type PairState, pairState } from '../../watchdog/arbiter.ts';
import {
  type ArbiterState,
  type DiskRecord,
  type Gate,
  LEADING,
  type Role,
  type Statement,
} from '../../watchdog/arbiter-types.ts';
import type { Verdict } from '../../watchdog/health.ts';
import { PATHS, type Path } from '../../watchdog/limits.ts';
import type { Extras } from '../../watchdog/statement-wire.ts';
import type { EngineKind } from '../host/engines.ts';
import type { About } from './about.ts';
import type { AlarmView } from './alarms/book.ts';
import type { ClockStatus } from './clock-watch.ts';
import type { BoardConfig } from './config/types.ts';
import type { ConfigStatus } from './config-watch.ts';
import type { BoardEvent } from './events.ts';
import type { HandsFacts, SyncFacts } from './hands/types.ts';
import type { PathCounters } from './paths.ts';
import type { ScadaStatus } from './scada-desk.ts';
import type { TakeoverStatus } from './takeover.ts';
import type { TickCounters } from './ticker.ts';
import type { DogStatus } from './watch-dog.ts';

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
  /** Why this role, in words. */
  readonly why: string;
  /** How long it has had this role. */
  readonly sinceMs: number;
  readonly generation: number;
  readonly record: DiskRecord;
  readonly safeToRemove: { readonly ok: boolean; readonly why: string };
  readonly paths: Readonly<Record<Path, PathStatus>>;
  readonly witness: {
    readonly kind: 'gateway' | 'none';
    readonly address: string | null;
    readonly answers: boolean;
    readonly trouble: string | null;
  };
  readonly watchdog: DogStatus & { readonly kind: BoardConfig['watchdog']['kind'] };
  readonly health: { readonly ok: boolean; readonly words: readonly string[] };
  /** How far the backup is behind. Null: there is none. */
  readonly lagMs: number | null;
  readonly logKbps: number;
  readonly gate: { readonly mode: Gate; readonly waiting: number; readonly oldestMs: number };
  readonly link: HandsFacts['link'];
  readonly sync: SyncFacts & { readonly isAllowed: boolean };
  readonly lastTakeover: TakeoverStatus | null;
  readonly guest: {
    readonly state: HandsFacts['guest'];
    /** 64 bits, as text. */
    readonly icount: string;
    readonly virtualNs: string;
    readonly lives: number;
    /** What runs it, and why that. */
    readonly engine: { readonly kind: EngineKind; readonly why: string };
  };
  readonly disks: HandsFacts['disks'];
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
  readonly icount: string;
  /** Which firmware and configuration run there; null: it has not said. */
  readonly about: About | null;
}

export interface StatusParts {
  readonly config: BoardConfig;
  readonly state: ArbiterState;
  readonly facts: HandsFacts;
  readonly nowMs: number;
  readonly bornMs: number;
  readonly counters: Readonly<Record<Path, PathCounters>>;
  readonly witnessTrouble: string | null;
  readonly dog: DogStatus;
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
  const { role, why, generation, record } = state;
  return {
    format: 1,
    board: { name, side, pid: process.pid, boot: state.boot, upMs: nowMs - parts.bornMs },
    role,
    pairState: pairState(state),
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
    link: facts.link,
    sync: { ...facts.sync, isAllowed: state.config.syncAllowed },
    lastTakeover: parts.takeover,
    guest: {
      state: facts.guest,
      icount: facts.icount.toString(),
      virtualNs: facts.virtualNs.toString(),
      lives: facts.lives,
      engine: facts.engine,
    },
    disks: facts.disks,
    versions: { firmware: parts.firmware },
    config: parts.configStatus,
    peer: peerStatus(parts),
    lastEvent: parts.lastEvent,
    alarms: parts.alarms,
    ticks: parts.ticks,
    // Beside the brain; board.ts has it.
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

function hearsPeer(state: ArbiterState, nowMs: number): boolean {
  return PATHS.some((path) => nowMs - state.heardMs[path] <= state.config.limits.silentMs[path]);
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
    icount: peerExtras.position.toString(),
    about: facts.peerAbout,
  };
}

/** May this board be switched off now without the plant noticing, and without losing its state? */
export function safeToRemove(state: ArbiterState, nowMs: number): Status['safeToRemove'] {
  const yes = (why: string) => ({ ok: true, why });
  const no = (why: string) => ({ ok: false, why });
  const { role, peer } = state;
  const peerLeads =
    peer !== null && peer.role !== 'dead' && LEADING.has(peer.role) && hearsPeer(state, nowMs);
  switch (role) {
    case 'stopped':
      return yes('it is stopped');
    case 'maintenance':
      return peerLeads
        ? yes('it takes no part; the other board serves')
        : no('it takes no part, but the other board is not heard to serve');
    case 'backup':
      return peerLeads
        ? yes('the other board serves; redundancy ends until this one is back')
        : no('the other board is silent: this one is about to take over');
    case 'target':
      return peerLeads
        ? yes('the other board serves; sync-up begins anew when this one is back')
        : no('the other board is not heard to serve');
    case 'protected':
      return no('it serves: switch over first');
    case 'leaving':
    case 'promoting':
    case 'granting':
      return no('the boards change roles just now');
    case 'solo':
    case 'source':
    case 'soloing':
    case 'yielding':
      return no('it serves alone: the guest would stop');
    case 'isolated':
      return no('it holds the guest and hears nobody');
    case 'cold':
    case 'seeking':
    case 'fenced':
      return peerLeads
        ? yes('no guest runs here; the other board serves')
        : no('nobody serves: its disk may hold the newest state');
  }
}

/** Without the guest standing still for longer than a hand-over. */
export function mayRestart({ guest, role, pairState, safeToRemove }: Status): boolean {
  if (role === 'protected') return pairState === 'RUN-Redundant';
  return guest.state === 'none' || safeToRemove.ok;
}
