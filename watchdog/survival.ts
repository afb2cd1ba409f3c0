// Would the service go on if this failed now? Asked fault by fault, and answered by the rules themselves: two
// arbiters, this one and the other as its newest statement shows it, live through the fault in thought. So the
// answer cannot say anything else than what they would do. Pure; some milliseconds of work: survivalKey.
//
// Service is a board whose outputs leave, and whose front cable brings them to the plant. What is known to
// be out now stays out. A front cable that is silent is the follower's, where no gateway tells whose it is.
import { arbitrate, initialState } from './arbiter.ts';
import { leads } from './arbiter-evidence.ts';
import { hears, pathWorks, sameGrant, statementOf, type Turn } from './arbiter-turn.ts';
import {
  type Action,
  type ArbiterConfig,
  type ArbiterEvent,
  type ArbiterState,
  LEADING,
  type Statement,
} from './arbiter-types.ts';
import { PATHS, type Path } from './limits.ts';
import { ALL_RULES } from './rules.ts';

export const FAULTS = [
  'death-here',
  'death-there',
  'log',
  'serial',
  'front-here',
  'front-there',
  'witness',
] as const;
export type Fault = (typeof FAULTS)[number];

export interface FaultVerdict {
  readonly fault: Fault;
  /** Null: the service goes on. */
  readonly why: Why | null;
}
export type Why =
  | 'nobody-in-step'
  | 'no-witness'
  | 'witness-silent'
  | 'front-out'
  | 'unnoticed'
  | 'outputs-held';

/** What goes with what: a log link whose last way is the front LAN is lost with either cable of that. */
export type LogWay = 'apart' | 'over-front';

/** Each fault that may come now, and whether it would end the service. */
export function survival(
  state: ArbiterState,
  nowMs: number,
  logWay: LogWay = 'apart',
): readonly FaultVerdict[] {
  const turn: Turn = { state, actions: [], nowMs, rulesOff: ALL_RULES };
  const follower = followerOf(state);
  if (follower === null) return alone(turn);
  const wires = wiresOf(turn, follower);
  const seats: Seats = [state, peerOf(turn, wires)];
  return FAULTS.filter((fault) => isThere(wires, fault, state.config)).map((fault) => ({
    fault,
    why: livesThrough(seats, wires, logWay, fault, nowMs),
  }));
}

/** Equal where the verdicts are: they are asked again and again, and hardly ever change. */
export function survivalKey(state: ArbiterState, nowMs: number): string {
  const { role, gate, generation, session, mark, grant, peer, config } = state;
  const follower = followerOf(state);
  const turn: Turn = { state, actions: [], nowMs, rulesOff: ALL_RULES };
  const wires = follower === null ? null : wiresOf(turn, follower);
  const { role: there, ready, standing } = peer ?? {};
  const mine = { role, gate, generation, session, mark, grant, healthy: state.healthy };
  return JSON.stringify([mine, state.doubt === null, there, ready, standing, wires, config]);
}

/** Of a pair that is configured so, in step and with nothing broken; seen from its primary. */
export function survivalAtBest(config: ArbiterConfig, hasSerial: boolean): readonly FaultVerdict[] {
  const nowMs = 1_000_000;
  const grant = { boot: 1, session: 1 };
  const said = { boot: 1, seq: 1 };
  const state: ArbiterState = {
    ...settled(config, nowMs),
    ...{ role: 'protected', gate: 'acked', boot: 1, seq: 1, generation: 1, partner: grant, grant },
    record: { generation: 1, standing: 'shared' },
    heard: said,
  };
  const turn: Turn = { state, actions: [], nowMs, rulesOff: ALL_RULES };
  const hears = { log: true, serial: hasSerial, front: true };
  if (!hasSerial) state.heardMs.serial = Number.NEGATIVE_INFINITY;
  const standing = 'behind' as const;
  const backup = { ...statementOf(turn), role: 'backup' as const, grant: null, session: 1, hears };
  state.peer = { ...backup, standing, ready: true, witness: config.witness === 'gateway' };
  return survival(state, nowMs);
}

// --- what is there now ---------------------------------------------------------------------------

/** This board and the other one. */
type Seats = [ArbiterState | null, ArbiterState | null];
type Seat = 0 | 1;

interface Wires {
  readonly log: boolean;
  readonly serial: boolean;
  /** Between the boards. */
  readonly frontBetween: boolean;
  /** The cable of each board. */
  readonly front: readonly [boolean, boolean];
  readonly witness: boolean;
}

/** Who of the two is in step and not leading; null: nobody. */
function followerOf({ role, peer }: ArbiterState): Seat | null {
  if (peer === null || peer.role === 'dead') return null;
  const handsOver = (of: Statement['role']) => of === 'protected' || of === 'leaving';
  if (handsOver(role) && peer.role === 'backup') return 1;
  return role === 'backup' && handsOver(peer.role) ? 0 : null;
}

/** Without a follower in step everything hangs on the board that leads, if one does. */
function alone({ state }: Turn): readonly FaultVerdict[] {
  const why = 'nobody-in-step' as const;
  if (LEADING.has(state.role))
    return [
      { fault: 'death-here', why },
      { fault: 'front-here', why },
    ];
  if (state.peer === null || !leads(state.peer)) return [];
  return [
    { fault: 'death-there', why },
    { fault: 'front-there', why },
  ];
}

function wiresOf(turn: Turn, follower: Seat): Wires {
  const { state, nowMs } = turn;
  const peer = state.peer as Statement;
  const both = (path: Path) => hears(turn, path) && pathWorks(turn, path) && peer.hears[path];
  const frontBetween = both('front');
  const mine = nowMs - state.witnessMs <= state.config.limits.witnessSilentMs;
  const isKnown = state.config.witness === 'gateway' && (mine || peer.witness);
  const unknown = [follower !== 0, follower !== 1] as const;
  return {
    log: both('log'),
    serial: both('serial'),
    frontBetween,
    front: frontBetween ? [true, true] : isKnown ? [mine, peer.witness] : unknown,
    witness: isKnown,
  };
}

/** A board that has long been awake and in touch. */
function settled(config: ArbiterConfig, nowMs: number): ArbiterState {
  const longAgoMs = nowMs - config.limits.seekMs;
  return {
    ...initialState(config, longAgoMs),
    sinceMs: longAgoMs,
    heardMs: { log: nowMs, serial: nowMs, front: nowMs },
    wordsRunMs: longAgoMs,
    witnessMs: config.witness === 'gateway' ? nowMs : Number.NEGATIVE_INFINITY,
    witnessRunMs: longAgoMs,
    tickedMs: nowMs,
    watchdogArmed: true,
  };
}

/** The other arbiter, as far as its statement tells; what it does not tell is as it should be. */
function peerOf(turn: Turn, wires: Wires): ArbiterState {
  const { state, nowMs } = turn;
  const said = state.peer as Statement;
  const { boot, seq, role, generation, session, grant, spent, wantsRenounce } = said;
  const never = Number.NEGATIVE_INFINITY;
  const standing = said.standing === 'pending' ? 'behind' : said.standing;
  const isBackup = role === 'backup';
  const peer = settled({ ...state.config, id: state.config.id === 'a' ? 'b' : 'a' }, nowMs);
  return {
    ...peer,
    ...{ role: role as ArbiterState['role'], boot, seq, generation, session, spent, wantsRenounce },
    config: { ...peer.config, syncAllowed: said.ready },
    sinceMs: role === 'leaving' ? nowMs : peer.sinceMs,
    gate: role === 'protected' ? 'acked' : 'closed',
    record: { generation, standing },
    ...{ partner: grant, grant, followBoot: isBackup ? state.boot : 0 },
    mark: isBackup ? 'grant' : 'none',
    peer: statementOf(turn),
    heard: { boot: state.boot, seq: state.seq },
    heardMs: {
      log: wires.log ? nowMs : never,
      serial: wires.serial ? nowMs : never,
      front: wires.frontBetween ? nowMs : never,
    },
    witnessMs: said.witness ? nowMs : never,
  };
}

// --- the fault -----------------------------------------------------------------------------------

/** What is out already cannot fail once more. */
function isThere(wires: Wires, fault: Fault, { witness }: ArbiterConfig): boolean {
  if (fault === 'log' || fault === 'serial') return wires[fault];
  if (fault === 'front-here') return wires.front[0];
  if (fault === 'front-there') return wires.front[1];
  return fault !== 'witness' || (witness === 'gateway' && wires.witness);
}

function without(wires: Wires, logWay: LogWay, fault: Fault): Wires {
  const [here, there] = wires.front;
  const log = wires.log && logWay === 'apart';
  switch (fault) {
    case 'log':
    case 'serial':
    case 'witness':
      return { ...wires, [fault]: false };
    case 'front-here':
      return { ...wires, log, frontBetween: false, front: [false, there] };
    case 'front-there':
      return { ...wires, log, frontBetween: false, front: [here, false] };
    default:
      return wires;
  }
}

/** Of the slowest silence: by then everything has been noticed, and answered. */
const NOTICED_SILENCES = 3;
/** A hand-over that is not taken, and what follows from that. */
const CALLED_OFF_LEAVES = 2;

/** Null: the service goes on. Else why not. */
function livesThrough(
  seats: Seats,
  wires: Wires,
  logWay: LogWay,
  fault: Fault,
  nowMs: number,
): Why | null {
  const after = without(wires, logWay, fault);
  const begin: Seats = [
    fault === 'death-here' ? null : seats[0],
    fault === 'death-there' ? null : seats[1],
  ];
  const thought = new Thought(begin, after, nowMs);
  const { limits } = (seats[0] as ArbiterState).config;
  const noticedMs = Math.max(...PATHS.map((path) => limits.silentMs[path])) * NOTICED_SILENCES;
  thought.until(nowMs + noticedMs);
  if (thought.serves()) return null;
  thought.until(nowMs + noticedMs + limits.leaveMs * CALLED_OFF_LEAVES);
  return thought.serves() ? null : thought.why(fault);
}

/** Two boards and what connects them, in steps that are no sleep and lose no answer of the gateway. Writes are safe at once. */
class Thought {
  private readonly seats: Seats;
  private readonly wires: Wires;
  private readonly stepMs: number;
  private nowMs: number;
  private isOddStep = true;
  private readonly events: (readonly [Seat, ArbiterEvent])[] = [];

  constructor([here, there]: Seats, wires: Wires, nowMs: number) {
    const awake = (state: ArbiterState | null) =>
      state === null ? null : { ...state, tickedMs: nowMs };
    this.seats = [awake(here), awake(there)];
    this.wires = wires;
    this.nowMs = nowMs;
    const { stallMs, witnessProbeMs } = ((here ?? there) as ArbiterState).config.limits;
    this.stepMs = Math.min(stallMs / 2, witnessProbeMs * 2);
  }

  until(endMs: number): void {
    while (this.nowMs < endMs) {
      this.nowMs += this.stepMs;
      this.isOddStep = !this.isOddStep;
      for (const seat of [0, 1] as const) {
        if (this.reachesWitness(seat)) this.fire(seat, { type: 'witness-answered' });
        this.fire(seat, { type: 'tick' });
      }
    }
  }

  serves(): boolean {
    return ([0, 1] as const).some((seat) => this.wires.front[seat] && this.speaks(seat));
  }

  why(fault: Fault): Why {
    const { front, witness } = this.wires;
    if (([0, 1] as const).some((seat) => this.speaks(seat))) {
      return fault.startsWith('front') && front.includes(true) ? 'unnoticed' : 'front-out';
    }
    const holder = this.seats.find((state) => state !== null);
    if (holder?.config.witness === 'none') return 'no-witness';
    const reached = ([0, 1] as const).some((seat) => this.seats[seat] !== null && front[seat]);
    if (!reached) return 'front-out';
    return witness ? 'outputs-held' : 'witness-silent';
  }

  private speaks(seat: Seat): boolean {
    const state = this.seats[seat];
    if (state === null || !LEADING.has(state.role)) return false;
    if (state.gate !== 'acked') return state.gate === 'open';
    const peer = this.seats[other(seat)];
    if (peer === null || peer.role !== 'backup' || !this.wires.log) return false;
    return sameGrant(state.grant, { boot: peer.boot, session: peer.session });
  }

  private reachesWitness(seat: Seat): boolean {
    return this.wires.witness && this.wires.front[seat];
  }

  private carries(path: Path): boolean {
    return path === 'front' ? this.wires.frontBetween : this.wires[path];
  }

  private fire(seat: Seat, event: ArbiterEvent): void {
    this.events.push([seat, event]);
    for (let next = this.events.shift(); next !== undefined; next = this.events.shift()) {
      const [to, what] = next;
      const state = this.seats[to];
      if (state === null) continue;
      const outcome = arbitrate(state, what, this.nowMs);
      this.seats[to] = outcome.state;
      for (const action of outcome.actions) this.perform(to, action);
    }
  }

  private perform(seat: Seat, action: Action): void {
    const tell = (to: Seat, event: ArbiterEvent) => this.events.push([to, event]);
    switch (action.do) {
      case 'say':
        // Of two heartbeats one is enough.
        if (!action.urgent && this.isOddStep) return;
        for (const path of PATHS) {
          const { statement } = action;
          if (this.carries(path)) tell(other(seat), { type: 'heard', path, statement });
        }
        return;
      case 'persist':
        tell(seat, { type: 'persisted', record: action.record });
        return;
      case 'mark-log': {
        const { mark, partner } = action;
        if (this.wires.log) tell(other(seat), { type: 'marked', mark, session: partner.session });
        return;
      }
      case 'discard-guest':
        tell(seat, { type: 'guest-discarded' });
        return;
      case 'reset':
        this.seats[seat] = null;
        return;
      default:
        return;
    }
  }
}

const other = (seat: Seat): Seat => (seat === 0 ? 1 : 0);

// --- in words ------------------------------------------------------------------------------------

export interface Names {
  readonly here: string;
  readonly there: string;
}

const WHY_WORDS: Readonly<Record<Why, string>> = {
  'nobody-in-step': 'no other board is in step',
  'no-witness': 'no witness is configured',
  'witness-silent': 'nobody answers as witness',
  'front-out': 'the board that is left does not reach the front LAN',
  unnoticed: 'no witness would tell of it',
  'outputs-held': 'outputs would be held',
};

export function whyWords(why: Why): string {
  return WHY_WORDS[why];
}

export function faultWords(fault: Fault, { here, there }: Names): string {
  switch (fault) {
    case 'death-here':
      return `death of ${here}`;
    case 'death-there':
      return `death of ${there}`;
    case 'log':
      return 'loss of the log link';
    case 'serial':
      return 'loss of the serial line';
    case 'front-here':
      return `loss of the front cable of ${here}`;
    case 'front-there':
      return `loss of the front cable of ${there}`;
    case 'witness':
      return 'loss of the gateway';
  }
}

/** What would end the service, by reason: "death of b (nobody answers as witness); ..."; null: nothing. */
export function notSurvivedWords(verdicts: readonly FaultVerdict[], names: Names): string | null {
  const byWhy = new Map<Why, string[]>();
  for (const { fault, why } of verdicts) {
    if (why !== null) byWhy.set(why, [...(byWhy.get(why) ?? []), faultWords(fault, names)]);
  }
  const parts = [...byWhy].map(([why, faults]) => `${faults.join(', ')} (${whyWords(why)})`);
  return parts.length === 0 ? null : parts.join('; ');
}
