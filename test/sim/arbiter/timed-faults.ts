// What goes wrong with the timed pair: faults at random moments, at most so many in force at once, and their
// repair. What each does to a board or a cable is the pair's.
import type { SeededRandom } from '../../harness/index.ts';
import type { Board } from './timed-board.ts';
import { type DeathKind, dieInPieces } from './timed-death.ts';
import { NAME, other, type Side } from './world-types.ts';

export const TIMED_FAULTS = [
  'crash',
  'gasp',
  'wipe',
  'slander',
  'hang',
  'stall',
  'limp',
  'log',
  'serial',
  'one-way',
  'front',
  'witness',
  'death',
  'hand',
] as const;
export type TimedFault = (typeof TIMED_FAULTS)[number];

/** Longer than any path takes. */
const WORD_ON_ITS_WAY_MS = 50;
const WIPED_QUIET_MS = 400;

/** The pair, as faults know it. */
export interface FaultyPair {
  readonly nowMs: number;
  readonly boards: readonly [Board, Board];
  readonly cuts: Set<string>;
  witnessUp: boolean;
  until(endMs: number): void;
  at(delayMs: number, run: () => void): void;
  start(side: Side): void;
  crash(side: Side, gasp: boolean): void;
  freeze(side: Side, forMs: number): void;
  thaw(side: Side): void;
  lastWord(side: Side, boot: number): void;
  carrierLost(): void;
  /** The board sees that its front cable has none. */
  frontOut(side: Side): void;
}

export interface FaultOptions {
  readonly random: SeededRandom;
  /** Faults in force at the same time. */
  readonly atOnce: number;
  readonly kinds: readonly TimedFault[];
  readonly log: ((line: string) => void) | null;
}

export class TimedFaults {
  private readonly pair: FaultyPair;
  private readonly options: FaultOptions;
  private readonly random: SeededRandom;
  /** A board that dies in pieces, or has; what went with it counts as one fault until it starts again. */
  private death: { readonly side: Side; readonly cuts: Set<string> } | null = null;

  constructor(pair: FaultyPair, options: FaultOptions) {
    this.pair = pair;
    this.options = options;
    this.random = options.random;
  }

  /**
   * A power cut that the state folder does not survive, while the other board holds the machine; that one
   * lives until its own disk says so, or nobody but an operator could go on.
   */
  private wipe(side: Side): void {
    const board = this.pair.boards[side];
    const heir = this.pair.boards[other(side)];
    const { role } = heir.arbiter;
    if (!heir.up || !(role === 'backup' || role === 'protected' || role === 'solo')) return;
    if (!board.up || this.inForce() > 0) return;
    this.pair.crash(side, false);
    this.pair.until(this.pair.nowMs + WIPED_QUIET_MS);
    board.disk = { generation: 0, standing: 'unknown' };
    board.boot = this.random.int(3);
  }

  /** A false last word of a board that lives, now and then of a start that it did not take. */
  private slander(side: Side): void {
    const board = this.pair.boards[side];
    if (!board.up) return;
    board.slanderedMs = this.pair.nowMs;
    const next = this.random.chance(0.3);
    if (next) board.boot += 1;
    this.pair.lastWord(side, next ? board.boot : board.arbiter.boot);
  }

  /** A false last word is in force while it is on its way or believed. */
  private isSlandered(side: Side): boolean {
    const board = this.pair.boards[side];
    const listener = this.pair.boards[other(side)];
    const { peer } = listener.arbiter;
    const believed = listener.up && peer?.role === 'dead' && peer.boot >= board.arbiter.boot;
    return board.up && (believed || this.pair.nowMs - board.slanderedMs < WORD_ON_ITS_WAY_MS);
  }

  private inForce(): number {
    const { death } = this;
    const down = this.pair.boards.filter(
      (board, side) =>
        side !== death?.side && (!board.up || board.frozenUntilMs > this.pair.nowMs + 1000),
    );
    const others = [...this.pair.cuts].filter((cut) => !death?.cuts.has(cut));
    const links = new Set(others.map((cut) => cut.replace(/>.*/, '')));
    const words = ([0, 1] as const).filter((side) => this.isSlandered(side));
    const limps = this.pair.boards.filter((board) => board.limpsUntilMs > this.pair.nowMs);
    const more = (this.pair.witnessUp ? 0 : 1) + (death === null ? 0 : 1);
    return down.length + links.size + limps.length + words.length + more;
  }

  /** One more fault, or the repair of one; then some time, now and then very little. */
  one(): void {
    const { random } = this;
    if (this.inForce() >= this.options.atOnce || (this.inForce() > 0 && random.chance(0.35))) {
      this.repairOne();
    } else {
      this.breakOne();
    }
    this.pair.until(this.pair.nowMs + (random.chance(0.4) ? random.int(120) : random.int(1500)));
  }

  private breakOne(): void {
    const { random } = this;
    const side = random.pick([0, 1] as const);
    const kind = random.pick(this.options.kinds);
    this.options.log?.(`${this.pair.nowMs.toFixed(1).padStart(9)} fault ${kind} ${NAME[side]}`);
    if (kind === 'crash' || kind === 'gasp') this.pair.crash(side, kind === 'gasp');
    else if (kind === 'wipe') this.wipe(side);
    else if (kind === 'slander') this.slander(side);
    else if (kind === 'hang') this.pair.freeze(side, Number.POSITIVE_INFINITY);
    else if (kind === 'stall') this.pair.freeze(side, 50 + random.int(400));
    else if (kind === 'limp') this.limp(side, 50 + random.int(30), 20, 500 + random.int(4_000));
    else if (kind === 'front') this.frontCable(side);
    else if (kind === 'witness') this.pair.witnessUp = false;
    else if (kind === 'death' || kind === 'hand') this.die(side, kind);
    else {
      const link = kind === 'one-way' ? random.pick(['log', 'serial']) : kind;
      this.pair.cuts.add(`${link}>${NAME[side]}`);
      if (kind !== 'one-way') this.pair.cuts.add(`${link}>${NAME[other(side)]}`);
    }
  }

  /** Some cards tell that there is no carrier, others see a switch that is dead. */
  private frontCable(side: Side): void {
    this.pair.cuts.add(`front-${NAME[side]}`);
    if (this.random.chance(0.5)) this.pair.frontOut(side);
  }

  /** Begins a death in pieces where none is under way. Answers how long it takes. */
  die(side: Side, kind: DeathKind): number {
    const board = this.pair.boards[side];
    if (this.death !== null || !board.up) return 0;
    const death = { side, cuts: new Set<string>() };
    this.death = death;
    const { life } = board;
    const alive = (run: () => void) => () => {
      if (this.death === death && board.life === life) run();
    };
    const dying = {
      cut: (name: string) => {
        if (!this.pair.cuts.has(name)) death.cuts.add(name);
        this.pair.cuts.add(name);
      },
      carrierLost: () => this.pair.carrierLost(),
      frontOut: (at: Side) => this.pair.frontOut(at),
      freeze: (at: Side, forMs: number) => this.pair.freeze(at, forMs),
      end: (at: Side) => this.pair.crash(at, false),
      inMs: (delayMs: number, run: () => void) => this.pair.at(delayMs, alive(run)),
    };
    return dieInPieces(dying, side, kind, this.random);
  }

  /** Stands still again and again, for a while. */
  limp(side: Side, offMs: number, onMs: number, forMs: number): void {
    if (forMs <= 0) return;
    this.pair.boards[side].limpsUntilMs = this.pair.nowMs + forMs;
    if (this.pair.boards[side].frozenUntilMs !== Number.POSITIVE_INFINITY)
      this.pair.freeze(side, offMs);
    this.pair.at(offMs + onMs, () => this.limp(side, offMs, onMs, forMs - offMs - onMs));
  }

  private repairOne(): void {
    const choices: (() => void)[] = [];
    for (const side of [0, 1] as const) {
      const board = this.pair.boards[side];
      if (!board.up) choices.push(() => this.pair.start(side));
      else if (board.frozenUntilMs === Number.POSITIVE_INFINITY)
        choices.push(() => this.pair.thaw(side));
    }
    const links = new Set([...this.pair.cuts].map((cut) => cut.replace(/>.*/, '')));
    for (const link of links) choices.push(() => this.heal(link));
    if (!this.pair.witnessUp) {
      choices.push(() => {
        this.pair.witnessUp = true;
      });
    }
    if (choices.length > 0) this.random.pick(choices)();
  }

  /** With the power its cables carry again. */
  startsAgain(side: Side): void {
    if (this.death?.side !== side) return;
    for (const cut of this.death.cuts) this.pair.cuts.delete(cut);
    this.death = null;
  }

  private heal(link: string): void {
    this.options.log?.(`${this.pair.nowMs.toFixed(1).padStart(9)} heal ${link}`);
    for (const cut of [...this.pair.cuts])
      if (cut.replace(/>.*/, '') === link) this.pair.cuts.delete(cut);
  }

  repairAll(): void {
    this.pair.cuts.clear();
    this.death = null;
    this.pair.witnessUp = true;
    for (const side of [0, 1] as const) {
      const board = this.pair.boards[side];
      if (!board.up) this.pair.start(side);
      else if (board.frozenUntilMs === Number.POSITIVE_INFINITY) this.pair.thaw(side);
    }
  }
}
