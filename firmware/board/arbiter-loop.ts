// Runs the arbiter of this board and carries its caller's duties (top of watchdog/arbiter.ts).
// Events come in from paths, disk, replication, watchdog and operator; each is arbitrated at once and the
// actions it gives are carried out in order before the next. Everything that takes time is elsewhere:
// the disk behind a thread, the guest behind replication.
import { strict as assert } from 'node:assert';
import { arbitrate, initialState, pairState } from '../../watchdog/arbiter.ts';
import { refusedByRole } from '../../watchdog/arbiter-operator.ts';
import type {
  Action,
  ArbiterEvent,
  ArbiterState,
  OperatorRequest,
} from '../../watchdog/arbiter-types.ts';
import type { HealthLimits } from '../../watchdog/health.ts';
import type { Path } from '../../watchdog/limits.ts';
import type { Extras } from '../../watchdog/statement-wire.ts';
import { WatchdogGuard } from '../../watchdog/watchdog-guard.ts';
import type { Watchdog } from '../../watchdog/wdt-device.ts';
import { firmwareVersion } from '../host/identity.ts';
import { BoardHealth } from './board-health.ts';
import type { BoardConfig } from './config/types.ts';
import type { EventLog } from './events.ts';
import { tooFarBehind } from './handover-check.ts';
import { logWayOf } from './log-paths.ts';
import { Notices } from './notices.ts';
import type { RequestAnswer } from './operator-requests.ts';
import { Paths, type Witness } from './paths.ts';
import { RecordCare, type RecordIsSafe } from './record-care.ts';
import { arbiterConfigOf, RedundancyView } from './redundancy.ts';
import type {
  CurrentRole,
  Replication,
  ReplicationEvents,
  ReplicationFacts,
} from './replication/types.ts';
import { carryOutByReplication } from './replication-actions.ts';
import { RequestTracker } from './request-tracker.ts';
import { type AlarmView, type ConfigStatus, type Status, statusOf } from './status.ts';
import { TakeoverNews } from './takeover-news.ts';
import { Ticker } from './ticker.ts';

export interface ArbiterLoopParts {
  readonly config: BoardConfig;
  readonly pairingKey: Uint8Array;
  readonly events: EventLog;
  readonly makeReplication: (events: ReplicationEvents) => Replication;
  /** Null: the configuration names none. */
  readonly watchdog: Watchdog | null;
  readonly witness: Witness | null;
  /** CLOCK_BOOTTIME. */
  readonly nowMs: () => number;
  readonly wallMs: () => number;
  readonly healthLimits?: HealthLimits;
  readonly alarms?: () => readonly AlarmView[];
  readonly configStatus?: () => ConfigStatus;
  readonly recordIsSafe?: RecordIsSafe;
  /** The board must not go on: its watchdog failed it. */
  readonly onMute: (why: string) => void;
}

export class ArbiterLoop {
  private readonly parts: ArbiterLoopParts;
  private readonly bornMs: number;
  private readonly record: RecordCare;
  private readonly paths: Paths;
  private readonly replication: Replication;
  private readonly dog: WatchdogGuard;
  private readonly health: BoardHealth;
  private readonly notices: Notices;
  private readonly ticker: Ticker;
  private readonly redundancy = new RedundancyView();
  private readonly takeover: TakeoverNews;
  private readonly requests: RequestTracker;
  private state: ArbiterState;
  private readonly queue: ArbiterEvent[] = [];
  private isBusy = false;
  private refusal: string | null = null;
  private toldRole: CurrentRole | null = null;
  private facts: ReplicationFacts;
  private peerExtras: Extras = { position: 0n, health: 0 };
  private closing: Promise<void> | null = null;

  /** Makes it whole, then lets it hear: paths, log link, watchdog, and the record, which begins its role. */
  static async start(parts: ArbiterLoopParts): Promise<ArbiterLoop> {
    const loop = new ArbiterLoop(parts);
    try {
      await loop.begin();
      return loop;
    } catch (error) {
      await loop.close();
      throw error;
    }
  }

  private constructor(parts: ArbiterLoopParts) {
    const { config, events, nowMs } = parts;
    this.parts = parts;
    const now = nowMs();
    this.bornMs = now;
    const fire = (event: ArbiterEvent) => this.fire(event);
    this.record = new RecordCare({
      ...{ folder: config.stateDir, events, nowMs, fire, recordIsSafe: parts.recordIsSafe },
      state: () => this.state,
    });
    const { healthLimits } = parts;
    this.health = new BoardHealth({ limits: config.limits, healthLimits, events, fire }, now);
    this.takeover = new TakeoverNews(events, parts.wallMs);
    this.state = initialState(
      {
        ...arbiterConfigOf(config, parts.watchdog !== null),
        witness: parts.witness === null ? 'none' : 'gateway',
      },
      now,
    );
    this.replication = parts.makeReplication({
      arbiter: fire,
      statement: (frame) => this.paths.logFrame(frame),
      event: ({ code, text, data }) => events.tell(code, text, data),
    });
    this.facts = this.replication.facts();
    this.paths = this.makePaths();
    this.dog = this.makeDog(parts.watchdog);
    const isUsed = { log: true, serial: config.serial !== null, front: true };
    this.notices = new Notices(events, now, isUsed);
    this.requests = new RequestTracker(events);
    this.ticker = new Ticker(config.limits.tickMs, nowMs, (at) => this.tick(at));
  }

  private async begin(): Promise<void> {
    const { nowMs } = this.parts;
    this.replication.start();
    this.paths.start();
    await this.dog.arm(nowMs());
    const now = nowMs();
    this.health.begin(now);
    // Nothing may follow from a record before it is known what the guest has.
    this.facts = this.replication.facts();
    this.health.look(this.facts, this.record, now);
    this.fire({ type: 'tick' });
    this.ticker.start();
    await this.record.load();
  }

  // --- events in ---------------------------------------------------------------------------------

  /** Arbitrates now, or after what is being arbitrated just now. */
  private fire(event: ArbiterEvent): void {
    this.queue.push(event);
    if (this.isBusy) return;
    this.isBusy = true;
    try {
      for (let next = this.queue.shift(); next !== undefined; next = this.queue.shift()) {
        const { state, actions } = arbitrate(this.state, next, this.parts.nowMs());
        this.state = state;
        this.tellRole();
        for (const action of actions) this.carryOut(action);
      }
    } finally {
      this.isBusy = false;
    }
    this.requests.look(this.state);
  }

  request(asked: OperatorRequest): RequestAnswer {
    assert.ok(!this.isBusy, 'requests come from outside, not from actions');
    const { role } = this.state;
    this.refusal =
      refusedByRole(role, asked) ?? tooFarBehind(asked, role, this.replication.facts());
    if (this.refusal === null) this.fire({ type: 'request', ...asked });
    const why = this.refusal as string | null;
    if (why === null && asked.request === 'sync-rate') this.replication.setSyncRate(asked.mibS);
    if (why === null) return this.requests.taken(asked, this.state);
    const detail = asked.request === 'force-lead' && role === 'seeking' ? this.unfitWords() : '';
    return this.requests.refused(asked, `${why}${detail}`);
  }

  /** For reasons the arbiter does not know. */
  refuse(asked: OperatorRequest, why: string): RequestAnswer {
    return this.requests.refused(asked, why);
  }

  /** What was taken and has not come about yet. */
  get underWay(): OperatorRequest | null {
    return this.requests.underWay;
  }

  /** Of the two things that keep a board from leading the arbiter knows only that they are so. */
  private unfitWords(): string {
    const { verdict } = this.health;
    const why = verdict.ok ? this.dog.status.why : verdict.words.join('; ');
    return why === null ? '' : ` (${why})`;
  }

  get role(): ArbiterState['role'] {
    return this.state.role;
  }

  status(): Status {
    const { config, events, nowMs } = this.parts;
    const facts = this.replication.facts();
    this.takeover.replicationSays(facts.lastTakeover);
    const there = facts.peerAbout?.name ?? `board ${config.side === 'a' ? 'B' : 'A'}`;
    return statusOf({
      config,
      redundancy: this.redundancy.look(
        this.state,
        nowMs(),
        { here: config.name, there },
        logWayOf(facts.link.paths, config.log.interfaces.length),
      ),
      state: this.state,
      coldWhy: this.record.coldWhy,
      facts,
      nowMs: nowMs(),
      bornMs: this.bornMs,
      counters: this.paths.counters(),
      witnessTrouble: this.paths.witnessTrouble,
      dog: this.dog.status,
      verdict: this.health.verdict,
      takeover: this.takeover.status,
      peerExtras: this.peerExtras,
      lastEvent: events.last,
      alarms: this.parts.alarms?.() ?? [],
      ticks: this.ticker.counters,
      firmware: firmwareVersion(),
      configStatus: this.parts.configStatus?.() ?? null,
    });
  }

  /** Ends everything in order, whatever the role: who may not leave asks for it first. */
  close(): Promise<void> {
    this.closing ??= this.closeAll();
    return this.closing;
  }

  private async closeAll(): Promise<void> {
    this.ticker.stop();
    this.record.stop();
    // A leader that is made to end says nothing more; what it said is on disk.
    this.replication.gate('closed');
    await this.replication.close();
    await this.paths.stop();
    await this.record.close();
    await this.dog.close();
  }

  // --- the tick ----------------------------------------------------------------------------------

  private tick(nowMs: number): void {
    const { health, record, takeover, replication } = this;
    health.ticked(nowMs);
    this.facts = replication.facts();
    health.look(this.facts, record, nowMs);
    health.lookAtLimp(this.facts, this.state.limp !== null, nowMs);
    this.paths.hear();
    this.paths.tick(nowMs);
    this.fire({ type: 'tick' });
    replication.tick();
    this.dog.tick(nowMs);
    const { state, facts, paths } = this;
    this.notices.look({ state, disks: facts.disks, counters: () => paths.counters() }, nowMs);
    takeover.replicationSays(facts.lastTakeover);
    takeover.look(nowMs);
    this.parts.events.tick(nowMs);
  }

  // --- actions out -------------------------------------------------------------------------------

  private tellRole(): void {
    const { role, boot, generation, session, grant } = this.state;
    const { toldRole: told } = this;
    const state = pairState(this.state);
    // Asked a thousand times a second, and hardly ever new. A grant is replaced, never changed.
    const isNew =
      told === null ||
      told.role !== role ||
      told.pairState !== state ||
      told.generation !== generation ||
      told.session !== session ||
      told.boot !== boot ||
      told.grant !== grant;
    if (!isNew) return;
    const current = { role, pairState: state, boot, generation, session, grant };
    this.toldRole = current;
    this.replication.tellRole(current);
  }

  private carryOut(action: Action): void {
    const { parts, takeover } = this;
    switch (action.do) {
      case 'say':
        this.say(action);
        break;
      case 'persist':
        this.record.write(action.record);
        break;
      case 'count-start':
        this.record.count(action.boot);
        break;
      case 'report':
        this.report(action.role, action.why);
        break;
      case 'refuse':
        this.refusal = action.why;
        break;
      case 'pet':
        this.dog.pet();
        break;
      case 'reset':
        parts.events.tell('RESET-ASKED', action.why);
        this.dog.leaveToBite(parts.nowMs());
        break;
      case 'close-watchdog':
        void this.dog.close();
        break;
      default:
        if (action.do === 'go-live') takeover.decided(this.state, parts.nowMs());
        if (action.do === 'pause-guest') parts.events.tell('HANDOVER-BEGUN');
        carryOutByReplication(this.replication, action);
        if (action.do === 'gate' && action.gate !== 'closed') takeover.gateOpened(parts.nowMs());
    }
  }

  private say({ statement, urgent }: Extract<Action, { do: 'say' }>): void {
    const extras = { position: this.facts.position, health: this.health.verdict.bits };
    this.paths.say(statement, extras, urgent, this.parts.nowMs());
  }

  private report(role: ArbiterState['role'], why: string): void {
    const { generation, session, boot } = this.state;
    if (role === 'cold') return;
    const code = `ROLE-${role.toUpperCase()}` as `ROLE-${Uppercase<Exclude<typeof role, 'cold'>>}`;
    this.parts.events.tell(code, `${role}: ${why}`, { role, why, generation, boot, session });
  }

  // --- parts -------------------------------------------------------------------------------------

  private makePaths(): Paths {
    const { config, pairingKey, witness, events } = this.parts;
    return new Paths(config, pairingKey, witness, {
      heard: (path, statement, extras) => {
        this.peerExtras = extras;
        this.fire({ type: 'heard', path, statement });
      },
      down: (path: Path, why: string) => {
        events.tell('PATH-TROUBLE', `the ${path} path is gone: ${why}`, { path, why });
        this.fire({ type: 'path-down', path });
      },
      trouble: (path, why) =>
        events.tell('PATH-TROUBLE', `the ${path} path cannot be used: ${why}`, { path, why }),
      sayOnLog: (frame) => this.replication.sayOnLog(frame),
      witnessAnswered: () => this.fire({ type: 'witness-answered' }),
      frontOut: () => {
        const why = 'the cable has no carrier';
        events.tell('PATH-TROUBLE', `the front path is gone: ${why}`, { path: 'front', why });
        this.fire({ type: 'front-out' });
      },
    });
  }

  private makeDog(watchdog: Watchdog | null): WatchdogGuard {
    const { events, onMute } = this.parts;
    return new WatchdogGuard(watchdog, {
      armed: (facts) => {
        const { identity, timeoutMs, causedLastReset } = facts;
        events.tell('WATCHDOG-ARMED', `${identity}, ${timeoutMs} ms`, { ...facts });
        if (causedLastReset === true) events.tell('WATCHDOG-BIT');
        this.fire({ type: 'watchdog', armed: true });
      },
      refused: (why) => events.tell('WATCHDOG-REFUSED', why),
      lost: (why) => {
        events.tell('WATCHDOG-REFUSED', `it cannot be fed any more: ${why}`);
        this.fire({ type: 'watchdog', armed: false });
      },
      mute: () => {
        events.tell('WATCHDOG-MUTE', 'nothing has reset this board', {});
        onMute('asked for a reset, and nothing resets this board');
      },
    });
  }
}
