// The parts of a world, as plain data; world.ts, board-step.ts and world-faults.ts move them.
import { initialState } from '../../../watchdog/arbiter.ts';
import type {
  ArbiterConfig,
  ArbiterState,
  DiskRecord,
  Grant,
  Statement,
} from '../../../watchdog/arbiter-types.ts';
import type { Limits, Path } from '../../../watchdog/limits.ts';
import { type Delivered, NOTHING_DELIVERED } from '../../../watchdog/path-frame.ts';
import type { RulesOff } from '../../../watchdog/rules.ts';

export const UNIT_MS = 10;
/** A supervisor has no way onto the log link. */
export const WORD_PATHS = ['serial', 'front'] as const;
export type Side = 0 | 1;
export const SIDES = [0, 1] as const;
export const NAME = ['a', 'b'] as const;
export const other = (side: Side): Side => (side === 0 ? 1 : 0);

export const LIMPS = 'this board limps';

/** Small constants with the relations of limits.ts, so that the state space stays small. */
export const MODEL_LIMITS: Limits = {
  tickMs: 10,
  heartbeatMs: { log: 10, serial: 10, front: 10 },
  silentMs: { log: 45, serial: 45, front: 45 },
  witnessProbeMs: 10,
  witnessSilentMs: 45,
  stallMs: 20,
  bufferedMs: 80,
  seekMs: 80,
  leaveMs: 50,
  deathMs: 50,
  isolatedMs: 70,
  limpWindowMs: 1_000,
  limpShare: 0.4,
  limpOutputMs: 100,
  limpRestMs: 50,
  syncSilenceMs: 55,
  syncLastsMs: 20,
  // Without pauses: a count and a time more would multiply the worlds; the timed pair has them.
  syncPauseMs: 0,
  syncPauseMaxMs: 0,
  watchdogTimeoutMs: 1_000_000,
  petMs: 1_000_000,
};

/** What travels on the log link beside the statement: the log itself, or its acknowledgement. */
export interface LogPart {
  readonly kind: 'entries' | 'ack';
  readonly generation: number;
  readonly session: Grant;
  readonly position: number;
  readonly mark: 'none' | 'grant' | 'leave';
}

export interface Message {
  readonly statement: Statement;
  /** Orders messages by when they were said: its own numbers; of a last word, behind the newest of the board. */
  readonly said: { readonly boot: number; readonly seq: number };
  readonly log: LogPart | null;
  /** Units it has waited. */
  readonly age: number;
}

export interface Board {
  readonly up: boolean;
  readonly hung: boolean;
  /** Hung so deeply that what is sent to it is lost: a suspended machine. */
  readonly asleep: boolean;
  readonly ticked: boolean;
  /** Its host limps, and it knows. */
  readonly limps: boolean;
  readonly arbiter: ArbiterState;
  /** By each path, as its reader remembers it. */
  readonly delivered: Readonly<Record<Path, Delivered>>;
  readonly disk: DiskRecord;
  /** The newest start number on its disk. */
  readonly boot: number;
  readonly writeAge: number;
  /** Position of the machine in memory, or null; and what this board's disk replica holds. */
  readonly at: number | null;
  readonly diskAt: number;
  /** Up to where this board itself has let its outputs go. */
  readonly outAt: number;
  /** Where this board began to lead. */
  readonly forkAt: number;
  readonly sentMark: 'none' | 'grant' | 'leave';
}

export type Cut = 'log>b' | 'log>a' | 'serial>b' | 'serial>a' | 'front-a' | 'front-b' | 'split';

export interface World {
  readonly unit: number;
  readonly boards: readonly [Board, Board];
  /** queues[to][path], oldest first, at most two: the oldest and the newest survive in a socket. */
  readonly queues: readonly [Queues, Queues];
  readonly cuts: ReadonlySet<Cut>;
  /** The log goes over the front LAN where its cable carries nothing. */
  readonly overFront: boolean;
  readonly witnessUp: boolean;
  readonly released: number;
  readonly budget: Budget;
  /** A board that loses piece after piece, how many units it has left, and whether somebody pulls its plugs. */
  readonly dying: {
    readonly side: Side;
    readonly unitsLeft: number;
    readonly byHand: boolean;
  } | null;
  /** When somebody last handed over for a limp. */
  readonly limpUnit: number;
  readonly violation: string | null;
}
export type Queues = Readonly<Record<Path, readonly Message[]>>;

export interface Budget {
  readonly faults: number;
  /** False last words: a supervisor tells of the death of a board that lives. */
  readonly words: number;
  readonly losses: number;
  /** Deliveries out of step with the other paths, or held over into the next unit. */
  readonly delays: number;
}

export interface Model {
  readonly rulesOff: RulesOff;
  readonly witness: 'gateway' | 'none';
  /** The log goes over the front LAN where its cable carries nothing. */
  readonly overFront?: boolean;
  /** Boards see at once that their front cable has no carrier. */
  readonly seesFront?: boolean;
}

const NONE_DELIVERED: Board['delivered'] = {
  log: NOTHING_DELIVERED,
  serial: NOTHING_DELIVERED,
  front: NOTHING_DELIVERED,
};

export const EMPTY: Queues = { log: [], serial: [], front: [] };

export function config(side: Side, model: Model): ArbiterConfig {
  const { witness } = model;
  const id = NAME[side] as 'a' | 'b';
  return { id, limits: MODEL_LIMITS, witness, allowNoWatchdog: false, syncAllowed: true };
}

export function coldBoard(side: Side, disk: DiskRecord, diskAt: number, model: Model): Board {
  return {
    up: false,
    hung: false,
    asleep: false,
    ticked: false,
    limps: false,
    arbiter: initialState(config(side, model), 0),
    delivered: NONE_DELIVERED,
    disk,
    boot: 0,
    writeAge: 0,
    at: null,
    diskAt,
    forkAt: 0,
    outAt: 0,
    sentMark: 'none',
  };
}

export function newWorld(
  boards: readonly [Board, Board],
  budget: Budget,
  overFront: boolean,
): World {
  return {
    unit: 1,
    boards,
    queues: [EMPTY, EMPTY],
    cuts: new Set(),
    overFront,
    witnessUp: true,
    released: 0,
    budget,
    dying: null,
    limpUnit: Number.NEGATIVE_INFINITY,
    violation: null,
  };
}
