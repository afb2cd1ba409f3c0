// The pair in simulated milliseconds with the real time constants: clocks that drift, ticks that come
// late, stalls of the scheduler, delays, losses, slow disks, and faults at random moments, at most two
// at once. The same ghost as in world.ts watches: who releases what, and from where a reign begins.
import { arbitrate, initialState } from '../../../watchdog/arbiter.ts';
import {
  type Action,
  type ArbiterConfig,
  type ArbiterEvent,
  type DiskRecord,
  LEADING,
  type Statement,
} from '../../../watchdog/arbiter-types.ts';
import { DEFAULT_LIMITS, PATHS, type Path } from '../../../watchdog/limits.ts';
import { Limp } from '../../../watchdog/limp.ts';
import { afterDelivery } from '../../../watchdog/path-frame.ts';
import { lastGaspOf } from '../../../watchdog/statement-wire.ts';
import type { SeededRandom } from '../../harness/index.ts';
import { Board, logPart, nothingDelivered } from './timed-board.ts';
import { type FaultOptions, TimedFaults } from './timed-faults.ts';
import { Timeline } from './timeline.ts';
import { type LogPart, NAME, other, type Side, WORD_PATHS } from './world-types.ts';

export interface TimedOptions extends FaultOptions {
  readonly faults: number;
  /** No stalls of the scheduler beyond what a fault makes. */
  readonly isCalm?: boolean;
  /** Of both boards; the gateway unless said otherwise. */
  readonly witness?: 'gateway' | 'none';
  /** The log goes over the front LAN where its cable carries nothing. */
  readonly overFront?: boolean;
}

export interface TimedResult {
  readonly violation: string | null;
  readonly redundantAtEnd: boolean;
  readonly steps: number;
  /** From each crash of a serving primary to the gate of the other opening. */
  readonly takeoversMs: readonly number[];
}

export class TimedPair {
  steps = 0;
  released = 0;
  violation: string | null = null;
  readonly boards: readonly [Board, Board];
  readonly cuts = new Set<string>();
  readonly faults: TimedFaults;
  witnessUp = true;
  /** The log goes over the front LAN where its cable carries nothing. */
  overFront: boolean;
  takeoversMs: number[] = [];
  handOvers = 0;
  syncUps = 0;
  private crashedMs: number | null = null;
  private readonly timeline = new Timeline();
  private readonly random: SeededRandom;
  private readonly options: TimedOptions;
  /** When each path last carried its newest: paths keep their order. */
  private readonly lastArrivalMs = new Map<string, number>();

  constructor(options: TimedOptions) {
    this.options = options;
    this.random = options.random;
    this.overFront = options.overFront ?? false;
    this.faults = new TimedFaults(this, options);
    const config = (id: 'a' | 'b'): ArbiterConfig => ({
      id,
      // Stories of seconds: what takes minutes in a plant is shorter.
      limits: {
        ...{ ...DEFAULT_LIMITS, seekMs: 1000 },
        ...{ limpWindowMs: 1_500, limpRestMs: 10_000, syncPauseMaxMs: 4_000 },
      },
      witness: options.witness ?? 'gateway',
      allowNoWatchdog: false,
      syncAllowed: true,
    });
    this.boards = [
      new Board(config('a'), { generation: 1, standing: 'sole' }, 0, options.random),
      new Board(config('b'), { generation: 1, standing: 'behind' }, -1, options.random),
    ];
  }

  /** Starts both and gives them time to become redundant. */
  form(): void {
    for (const side of [0, 1] as const) this.start(side);
    this.until(4_000);
  }

  setWitness(isUp: boolean): void {
    this.witnessUp = isUp;
  }

  /** The time of a board by its own clock. */
  clockOf(side: Side): number {
    return this.localMs(side);
  }

  /** Are outputs made from now on seen by the plant, `withinMs`, from a board whose front cable is in? */
  servesWithin(withinMs: number): boolean {
    this.until(this.nowMs + withinMs);
    const before = this.boards.map(({ outAt }) => outAt);
    this.until(this.nowMs + 300);
    return this.boards.some(
      ({ up, outAt }, side) =>
        up && outAt > (before[side] as number) && !this.cuts.has(`front-${NAME[side]}`),
    );
  }

  run(): TimedResult {
    this.form();
    for (let fault = 0; fault < this.options.faults; fault++) this.faults.one();
    this.until(this.nowMs + 1_000);
    this.faults.repairAll();
    this.until(this.nowMs + 12_000);
    // A stall in the very last moment is not what is asked; that it lasts is asked elsewhere.
    const redundant = () =>
      this.boards
        .map((board) => board.arbiter.role)
        .sort()
        .join() === 'backup,protected';
    let redundantAtEnd = redundant();
    for (let more = 0; !redundantAtEnd && more < 10; more++) {
      this.until(this.nowMs + 50);
      redundantAtEnd = redundant();
    }
    return {
      violation: this.violation,
      redundantAtEnd,
      steps: this.steps,
      takeoversMs: this.takeoversMs,
    };
  }

  // --- time --------------------------------------------------------------------------------------

  get nowMs(): number {
    return this.timeline.nowMs;
  }

  at(delayMs: number, run: () => void): void {
    this.timeline.in(delayMs, run);
  }

  until(endMs: number): void {
    this.timeline.until(endMs, () => this.violation === null);
  }

  /** Runs on the board now, or in order when it is awake again; never in another life of it. */
  private on(side: Side, run: () => void): void {
    const board = this.boards[side];
    if (!board.up) return;
    if (this.nowMs < board.frozenUntilMs) {
      if (board.frozen.length < 4000) board.frozen.push(run);
      return;
    }
    run();
  }

  freeze(side: Side, forMs: number): void {
    const board = this.boards[side];
    const untilMs = this.nowMs + forMs;
    if (untilMs <= board.frozenUntilMs) return;
    board.frozenUntilMs = untilMs;
    if (forMs === Number.POSITIVE_INFINITY) return;
    const { life } = board;
    this.at(forMs, () => {
      if (board.life !== life || this.nowMs < board.frozenUntilMs) return;
      this.thaw(side);
    });
  }

  thaw(side: Side): void {
    const board = this.boards[side];
    board.frozenUntilMs = 0;
    for (const run of board.frozen.splice(0)) if (board.up) run();
  }

  // --- a board -----------------------------------------------------------------------------------

  start(side: Side): void {
    const board = this.boards[side];
    this.faults.startsAgain(side);
    board.up = true;
    board.life += 1;
    board.boot += 1;
    board.frozenUntilMs = 0;
    board.frozen = [];
    board.at = null;
    board.sentMark = 'none';
    board.delivered = nothingDelivered();
    board.limp = new Limp(board.arbiter.config.limits);
    board.arbiter = initialState(board.arbiter.config, this.localMs(side));
    this.fire(side, { type: 'watchdog', armed: true });
    this.fire(side, { type: 'loaded', boot: board.boot, record: board.disk });
    const { life } = board;
    this.at(0, () => this.tick(side, life));
    this.at(3, () => this.probe(side, life));
  }

  private localMs(side: Side): number {
    const board = this.boards[side];
    return board.offsetMs + this.nowMs * board.rate;
  }

  private tick(side: Side, life: number): void {
    const board = this.boards[side];
    if (board.life !== life || !board.up) return;
    // A late tick delays the ones after it, as timers do.
    this.on(side, () => {
      if (board.life !== life) return;
      this.runMachine(side);
      this.lookAtLimp(side);
      this.fire(side, { type: 'tick' });
      const { random } = this;
      const isCalm = this.options.isCalm === true;
      if (!isCalm && random.chance(0.002)) this.freeze(side, random.int(28));
      if (!isCalm && random.chance(0.0001)) this.freeze(side, 30 + random.int(40));
      this.at(DEFAULT_LIMITS.tickMs + random.float() * 2, () => this.tick(side, life));
    });
  }

  private lookAtLimp(side: Side): void {
    const { limp, arbiter } = this.boards[side];
    limp.tick(this.localMs(side), 0);
    const { why } = limp;
    if ((why === null) !== (arbiter.limp === null)) this.fire(side, { type: 'limp', why });
  }

  private probe(side: Side, life: number): void {
    const board = this.boards[side];
    if (board.life !== life || !board.up) return;
    if (board.arbiter.config.witness === 'none') return;
    if (!this.random.chance(0.01)) this.askWitness(side);
    this.at(DEFAULT_LIMITS.witnessProbeMs, () => this.probe(side, life));
  }

  private askWitness(side: Side): void {
    const reaches = () => this.witnessUp && !this.cuts.has(`front-${NAME[side]}`);
    if (!reaches()) return;
    this.at(0.2 + this.random.float() * 2, () => {
      if (reaches()) this.on(side, () => this.fire(side, { type: 'witness-answered' }));
    });
  }

  private fire(side: Side, event: ArbiterEvent): void {
    const board = this.boards[side];
    if (!board.up) return;
    this.steps += 1;
    const outcome = arbitrate(board.arbiter, event, this.localMs(side));
    board.arbiter = outcome.state;
    for (const action of outcome.actions) this.perform(side, action);
    this.check();
  }

  private perform(side: Side, action: Action): void {
    const board = this.boards[side];
    switch (action.do) {
      case 'say':
        this.say(side, action.statement, action.urgent);
        return;
      case 'report':
        if (action.role === 'leaving') this.handOvers += 1;
        if (action.role === 'source') this.syncUps += 1;
        this.options.log?.(
          `${this.nowMs.toFixed(1).padStart(9)} ${NAME[side]} ${action.role}: ${action.why}`,
        );
        return;
      case 'persist':
        this.write(side, action.record);
        return;
      case 'count-start':
        this.countStart(side, action.boot);
        return;
      case 'gate':
        this.gate(side, action.gate);
        return;
      case 'boot-guest':
        board.at = board.diskAt;
        board.outAt = board.diskAt;
        return;
      case 'go-live':
        board.diskAt = board.at ?? -1;
        board.outAt = board.at ?? -1;
        board.sentMark = 'none';
        return;
      case 'discard-guest':
      case 'sync-target':
        board.at = null;
        board.sentMark = 'none';
        if (board.arbiter.role === 'fenced')
          this.at(1, () => this.on(side, () => this.fire(side, { type: 'guest-discarded' })));
        return;
      case 'sync-stop':
        if (!LEADING.has(board.arbiter.role)) board.at = null;
        return;
      case 'mark-log':
        board.sentMark = action.mark;
        return;
      case 'reset':
        this.crash(side, false);
        this.at(500, () => {
          if (!board.up) this.start(side);
        });
        return;
      default:
        return;
    }
  }

  private write(side: Side, record: DiskRecord): void {
    const board = this.boards[side];
    const { life } = board;
    const slow = this.random.chance(0.05) ? 40 : 4;
    this.at(0.3 + this.random.float() * slow, () => {
      // The disk goes on writing when the process is stalled, not when the machine is off.
      if (board.life !== life || !board.up) return;
      board.disk = record;
      this.on(side, () => this.fire(side, { type: 'persisted', record }));
    });
  }

  private countStart(side: Side, boot: number): void {
    const board = this.boards[side];
    const { life } = board;
    this.at(0.5 + this.random.float() * 4, () => {
      if (board.life !== life || !board.up) return;
      board.boot = boot;
      this.on(side, () => this.fire(side, { type: 'start-counted', boot }));
    });
  }

  private gate(side: Side, gate: string): void {
    const board = this.boards[side];
    if (gate === 'closed') return;
    if ((board.at ?? Number.NEGATIVE_INFINITY) < this.released) {
      this.violation ??= `stale start of ${NAME[side]} at ${this.nowMs.toFixed(1)} ms`;
    }
    if (gate === 'open' && this.crashedMs !== null) {
      this.takeoversMs.push(this.nowMs - this.crashedMs);
      this.crashedMs = null;
    }
  }

  private check(): void {
    if (this.boards.every((board) => board.up && board.arbiter.gate === 'open')) {
      this.violation ??= `both gates open at ${this.nowMs.toFixed(1)} ms`;
    }
  }

  private runMachine(side: Side): void {
    const board = this.boards[side];
    const { role, gate } = board.arbiter;
    if (!LEADING.has(role) || board.at === null || gate === 'closed') return;
    if (board.at === board.outAt) board.at += 1;
    board.diskAt = board.at;
    if (gate === 'open') this.release(side);
  }

  private release(side: Side): void {
    const board = this.boards[side];
    board.outAt = board.at as number;
    // What leaves a board whose front cable is out nobody sees.
    if (!this.cuts.has(`front-${NAME[side]}`)) this.released = Math.max(this.released, board.outAt);
  }

  // --- the paths ---------------------------------------------------------------------------------

  private say(side: Side, statement: Statement, urgent: boolean): void {
    const board = this.boards[side];
    for (const path of PATHS) {
      const sinceMs = this.nowMs - board.serialSentMs;
      if (path === 'serial') {
        if (!urgent && sinceMs < DEFAULT_LIMITS.heartbeatMs.serial) continue;
        board.serialSentMs = this.nowMs;
      }
      this.send(side, path, statement, path === 'log' ? logPart(board) : null);
    }
  }

  private send(side: Side, path: Path, statement: Statement, log: LogPart | null): void {
    const to = other(side);
    const { random } = this;
    if (this.isCut(path, to) || random.chance(path === 'serial' ? 0.01 : 0.003)) return;
    const wireMs = path === 'serial' ? 6 : 0.1;
    const name = `${path}>${to}`;
    const soonest = this.lastArrivalMs.get(name) ?? 0;
    const arrivesMs = Math.max(soonest, this.nowMs + wireMs + random.float() * 2);
    this.lastArrivalMs.set(name, arrivesMs);
    const { life } = this.boards[to];
    this.at(arrivesMs - this.nowMs, () => {
      if (this.isCut(path, to) || this.boards[to].life !== life) return;
      this.on(to, () => {
        const { delivered } = this.boards[to];
        const after = afterDelivery(delivered[path], statement);
        if (after === null) return;
        delivered[path] = after;
        if (log?.kind === 'entries') this.takeEntries(to, statement, log);
        this.fire(to, { type: 'heard', path, statement });
        if (log?.kind === 'ack') this.takeAck(to, log);
      });
    });
  }

  private isCut(path: Path, to: Side): boolean {
    const front = this.cuts.has('front-a') || this.cuts.has('front-b');
    if (path === 'front') return front;
    const isWayRound = path === 'log' && this.overFront && !front;
    return this.cuts.has(`${path}>${NAME[to]}`) && !isWayRound;
  }

  private takeEntries(to: Side, sender: Statement, part: LogPart): void {
    const board = this.boards[to];
    const { role, boot, session, followBoot, generation, mark } = board.arbiter;
    const ours = part.session.boot === boot && part.session.session === session;
    if ((role !== 'target' && role !== 'backup') || !ours) return;
    if (followBoot !== sender.boot || generation !== part.generation) return;
    if (board.at === null) board.diskAt = part.position;
    board.at = Math.max(board.at ?? part.position, part.position);
    if (part.mark !== 'none' && mark !== part.mark)
      this.fire(to, { type: 'marked', mark: part.mark, session });
  }

  private takeAck(to: Side, part: LogPart): void {
    const board = this.boards[to];
    const { arbiter } = board;
    if (arbiter.generation !== part.generation || board.at === null) return;
    if (arbiter.role === 'source') {
      if (part.position >= board.at - 1)
        this.fire(to, { type: 'sync-done', partner: part.session });
      return;
    }
    const { grant, gate } = arbiter;
    const granted = grant?.boot === part.session.boot && grant.session === part.session.session;
    if (gate === 'acked' && granted && part.position >= board.at) this.release(to);
  }

  // --- what faults do ----------------------------------------------------------------------------

  crash(side: Side, gasp: boolean): void {
    const board = this.boards[side];
    if (!board.up) return;
    const served = board.arbiter.gate !== 'closed' && LEADING.has(board.arbiter.role);
    if (served && this.boards[other(side)].arbiter.role === 'backup') this.crashedMs = this.nowMs;
    board.up = false;
    board.at = null;
    board.life += 1;
    this.options.log?.(
      `${this.nowMs.toFixed(1).padStart(9)} ${NAME[side]} CRASH${gasp ? ', gasp' : ''}`,
    );
    if (gasp) this.lastWord(side, board.arbiter.boot);
  }

  lastWord(side: Side, boot: number): void {
    const word = lastGaspOf(boot, this.boards[side].disk);
    for (const path of WORD_PATHS) this.send(side, path, word, null);
  }

  frontOut(side: Side): void {
    this.on(side, () => this.fire(side, { type: 'front-out' }));
  }

  /** The log cable lost its carrier: both boards see it at once, where the log has no other way. */
  carrierLost(): void {
    for (const at of [0, 1] as const)
      if (this.isCut('log', at))
        this.on(at, () => this.fire(at, { type: 'path-down', path: 'log' }));
  }
}
