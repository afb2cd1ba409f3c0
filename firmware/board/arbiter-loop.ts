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
  DiskRecord,
  OperatorRequest,
} from '../../watchdog/arbiter-types.ts';
import { Health, type HealthLimits, healthLimitsFor } from '../../watchdog/health.ts';
import { PATHS, type Path } from '../../watchdog/limits.ts';
import { Limp } from '../../watchdog/limp.ts';
import type { Loaded } from '../../watchdog/role-record-store.ts';
import type { Extras } from '../../watchdog/statement-wire.ts';
import { WatchdogGuard } from '../../watchdog/watchdog-guard.ts';
import type { Watchdog } from '../../watchdog/wdt-device.ts';
import { firmwareVersion } from '../host/identity.ts';
import type { BoardConfig } from './config/types.ts';
import type { EventLog } from './events.ts';
import { tooFarBehind } from './handover-check.ts';
import { logWayOf } from './log-paths.ts';
import { Notices } from './notices.ts';
import type { RequestAnswer } from './operator-requests.ts';
import { Paths, type Witness } from './paths.ts';
import { arbiterConfigOf, RedundancyView } from './redundancy.ts';
import type {
  CurrentRole,
  Replication,
  ReplicationEvents,
  ReplicationFacts,
} from './replication/types.ts';
import { carryOutByReplication } from './replication-actions.ts';
import { RequestTracker } from './request-tracker.ts';
import { RoleRecord, type Written } from './role-record.ts';
import { type AlarmView, type ConfigStatus, type Status, statusOf } from './status.ts';
import { TakeoverTimeline } from './takeover-timeline.ts';
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
  /** Tells the supervisor of a record that is safe on disk; `then` when it knows. */
  readonly recordIsSafe?: (boot: number, record: DiskRecord, then: () => void) => void;
  /** The board must not go on: its watchdog failed it. */
  readonly onMute: (why: string) => void;
}

/** A write that takes longer is told: it is part of every takeover. */
const SLOW_WRITE_MS = 100;
const WRITE_AGAIN_MS = 200;
const LOAD_AGAIN_MS = 1_000;

export class ArbiterLoop {
  private readonly parts: ArbiterLoopParts;
  private readonly bornMs: number;
  private readonly record: RoleRecord;
  private readonly paths: Paths;
  private readonly replication: Replication;
  private readonly dog: WatchdogGuard;
  private readonly health: Health;
  private readonly limp: Limp;
  private readonly notices: Notices;
  private readonly ticker: Ticker;
  private readonly redundancy = new RedundancyView();
  private readonly takeover = new TakeoverTimeline();
  private readonly requests: RequestTracker;
  private state: ArbiterState;
  private readonly queue: ArbiterEvent[] = [];
  private isBusy = false;
  private refusal: string | null = null;
  private toldRole: CurrentRole | null = null;
  private facts: ReplicationFacts;
  private verdict: ReturnType<Health['verdict']>;
  /** As the arbiter was told last. */
  private told = { isFit: true, isAlive: true };
  /** Why the record could not be read and counted yet. */
  private coldWhy: string | null = null;
  private diskTrouble: string | null = null;
  private writeTimer: NodeJS.Timeout | null = null;
  private peerExtras: Extras = { position: 0n, health: 0 };
  private tickedMs: number;
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
    this.record = new RoleRecord(config.stateDir, nowMs);
    const now = nowMs();
    this.bornMs = now;
    this.tickedMs = now;
    this.health = new Health(
      parts.healthLimits ?? healthLimitsFor(parts.config.limits.stallMs),
      now,
    );
    this.verdict = this.health.verdict(now);
    this.limp = new Limp(config.limits);
    this.state = initialState(
      {
        ...arbiterConfigOf(config, parts.watchdog !== null),
        witness: parts.witness === null ? 'none' : 'gateway',
      },
      now,
    );
    this.replication = parts.makeReplication({
      arbiter: (event) => this.fire(event),
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
    this.record.onWritten = (written) => this.written(written);
    this.record.onCounted = (boot, error) => this.counted(boot, error);
  }

  private async begin(): Promise<void> {
    const { nowMs } = this.parts;
    this.replication.start();
    this.paths.start();
    await this.dog.arm(nowMs());
    // The start took its time; that was no sleep.
    this.tickedMs = nowMs();
    this.health.loop(this.tickedMs, 0);
    // Nothing may follow from a record before it is known what the guest has.
    this.facts = this.replication.facts();
    this.lookAtHealth(this.tickedMs);
    this.fire({ type: 'tick' });
    this.ticker.start();
    await this.loadRecord();
  }

  /** Without a start counted on disk it has no word to say: it waits, cold, until the disk has it. */
  private async loadRecord(): Promise<void> {
    const { events } = this.parts;
    let loaded: Loaded;
    try {
      loaded = await this.record.load();
    } catch (error) {
      const text = `the record cannot be written: ${(error as Error).message}`;
      if (text !== this.coldWhy) events.tell('RECORD-FAILED', text);
      this.coldWhy = text;
      if (this.closing === null)
        this.writeTimer = setTimeout(() => void this.loadRecord(), LOAD_AGAIN_MS);
      return;
    }
    if (this.closing !== null) return;
    this.writeTimer = null;
    const { boot, record, copies, trouble } = loaded;
    const isNew = copies.every((copy) => copy === 'missing');
    const words = `generation ${record.generation}, ${record.standing}`;
    const text = `start ${boot}, ${isNew ? 'a new board, without a record yet' : words}`;
    events.tell('RECORD-LOADED', text, { boot, ...record });
    if (trouble !== null && !isNew) events.tell('RECORD-TROUBLE', trouble);
    this.isSafe(boot, record, () => this.fire({ type: 'loaded', boot, record }));
  }

  /** The supervisor knows before anything follows from it: its word must never be older than the gate. */
  private isSafe(boot: number, record: DiskRecord, then: () => void): void {
    const { recordIsSafe } = this.parts;
    if (recordIsSafe === undefined) then();
    else recordIsSafe(boot, record, then);
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
    const why = this.verdict.ok ? this.dog.status.why : this.verdict.words.join('; ');
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
      coldWhy: this.coldWhy,
      facts,
      nowMs: nowMs(),
      bornMs: this.bornMs,
      counters: this.paths.counters(),
      witnessTrouble: this.paths.witnessTrouble,
      dog: this.dog.status,
      verdict: this.verdict,
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
    if (this.writeTimer !== null) clearTimeout(this.writeTimer);
    // A leader that is made to end says nothing more; what it said is on disk.
    this.replication.gate('closed');
    await this.replication.close();
    await this.paths.stop();
    await this.record.close();
    await this.dog.close();
  }

  // --- the tick ----------------------------------------------------------------------------------

  private tick(nowMs: number): void {
    const { events, config } = this.parts;
    const gapMs = nowMs - this.tickedMs;
    this.tickedMs = nowMs;
    if (gapMs > config.limits.stallMs) {
      const text = `the board stood still for ${gapMs.toFixed(0)} ms`;
      events.tell('BOARD-STALLED', text, { gapMs: Math.round(gapMs) });
    }
    this.facts = this.replication.facts();
    this.lookAtHealth(nowMs);
    this.lookAtLimp(nowMs);
    this.paths.hear();
    this.paths.tick(nowMs);
    this.fire({ type: 'tick' });
    this.replication.tick();
    this.dog.tick(nowMs);
    const { state, facts, paths } = this;
    this.notices.look({ state, disks: facts.disks, counters: () => paths.counters() }, nowMs);
    this.lookAtTakeover(nowMs);
    events.tick(nowMs);
  }

  private lookAtHealth(nowMs: number): void {
    const { health, facts } = this;
    health.loop(nowMs, this.parts.config.limits.tickMs);
    health.vcpu(facts.position, facts.runs, nowMs);
    const busyMs = earliest(facts.diskBusySinceMs, this.record.busySinceMs);
    const broken = facts.disks.find(({ trouble }) => trouble !== null);
    const trouble = this.diskTrouble ?? broken?.trouble ?? null;
    if (busyMs === null || trouble !== null) health.diskEnds(trouble);
    else health.diskBegins(busyMs);
    health.resource(facts.missing);
    const verdict = health.verdict(nowMs);
    if (verdict.ok !== this.verdict.ok) {
      const { events } = this.parts;
      if (verdict.ok) events.tell('HEALTH-WELL');
      else events.tell('HEALTH-BAD', verdict.words.join('; '), { bits: verdict.bits });
    }
    this.verdict = verdict;
    // What is just being opened is no fault, but nothing to lead with either.
    const isFit = verdict.ok && facts.isReady;
    const isAlive = health.isAlive(nowMs);
    if (isFit === this.told.isFit && isAlive === this.told.isAlive) return;
    this.told = { isFit, isAlive };
    this.fire({ type: 'health', ok: isFit, isAlive });
  }

  /** A guest that would stand for as long as the backup is behind is better off with a board that limps. */
  private lookAtLimp(nowMs: number): void {
    const { limp, facts } = this;
    limp.tick(nowMs, facts.gate.mode === 'acked' ? facts.gate.oldestMs : 0);
    const why = facts.isFarBehind ? null : limp.why;
    if ((why === null) === (this.state.limp === null)) return;
    const { events } = this.parts;
    if (why === null) events.tell('LIMP-OVER');
    else events.tell('LIMP-BEGUN', why, { ...limp.figures });
    this.fire({ type: 'limp', why });
  }

  private lookAtTakeover(nowMs: number): void {
    this.takeover.replicationSays(this.facts.lastTakeover);
    if (!this.takeover.isComplete(nowMs)) return;
    const status = this.takeover.status!;
    const { kind, blackoutMs, cause, generation, timeline } = status;
    const took = blackoutMs === null ? '' : ` after ${blackoutMs.toFixed(0)} ms`;
    this.parts.events.tell(
      kind === 'takeover' ? 'TAKEOVER-DONE' : 'HANDOVER-DONE',
      `the guest goes on here${took}: ${cause}`,
      { generation, cause, blackoutMs, ...timeline },
    );
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
        if (action.do === 'go-live') this.decided();
        if (action.do === 'pause-guest') parts.events.tell('HANDOVER-BEGUN');
        carryOutByReplication(this.replication, action);
        if (action.do === 'gate' && action.gate !== 'closed') takeover.gateOpened(parts.nowMs());
    }
  }

  private say({ statement, urgent }: Extract<Action, { do: 'say' }>): void {
    const extras = { position: this.facts.position, health: this.verdict.bits };
    this.paths.say(statement, extras, urgent, this.parts.nowMs());
  }

  private report(role: ArbiterState['role'], why: string): void {
    const { generation, session, boot } = this.state;
    if (role === 'cold') return;
    const code = `ROLE-${role.toUpperCase()}` as `ROLE-${Uppercase<Exclude<typeof role, 'cold'>>}`;
    this.parts.events.tell(code, `${role}: ${why}`, { role, why, generation, boot, session });
  }

  /** The decision to lead, with how long the peer had been silent. */
  private decided(): void {
    const { state } = this;
    const { nowMs, wallMs, events } = this.parts;
    const decidedMs = nowMs();
    const lastMs = Math.max(...PATHS.map((path) => state.heardMs[path]));
    const isOffered = state.plan === 'swap' || state.plan === 'take';
    const bySilence = !isOffered && Number.isFinite(lastMs);
    const silenceMs = bySilence ? decidedMs - lastMs : null;
    const { why: cause, generation } = state;
    const kind = isOffered ? 'hand-over' : 'takeover';
    this.takeover.decided({ cause, kind, generation, wallMs: wallMs(), decidedMs, silenceMs });
    events.tell('TAKEOVER-BEGUN', `takes over: ${cause}`, { cause, generation, kind, silenceMs });
  }

  /** The peer held this start for an older one; it has a number above that now. */
  private counted(boot: number, error: string | null): void {
    const { events } = this.parts;
    if (error !== null) {
      events.tellBurst('RECORD-FAILED', `the number of this start cannot be written: ${error}`, {});
      setTimeout(() => this.countAgain(boot), WRITE_AGAIN_MS);
      return;
    }
    events.tell('START-RECOUNTED', `this is start ${boot} now`, { boot });
    this.isSafe(boot, this.state.record, () => this.fire({ type: 'start-counted', boot }));
  }

  private countAgain(boot: number): void {
    const { boot: now, isCounted } = this.state;
    if (this.closing === null && now === boot && !isCounted) this.record.count(boot);
  }

  private written({ record, error, tookMs }: Written): void {
    const { events } = this.parts;
    const data = { ...record, tookMs: Number(tookMs.toFixed(2)) };
    this.diskTrouble = error;
    if (error === null) {
      const code = tookMs > SLOW_WRITE_MS ? 'RECORD-SLOW' : 'RECORD-WRITTEN';
      const text = `generation ${record.generation}, ${record.standing}, in ${tookMs.toFixed(1)} ms`;
      events.tell(code, text, data);
      this.isSafe(this.state.boot, record, () => this.fire({ type: 'persisted', record }));
      return;
    }
    events.tell('RECORD-FAILED', `the record cannot be written: ${error}`, data);
    // Only the newest order counts by now.
    this.writeTimer ??= setTimeout(() => {
      this.writeTimer = null;
      if (this.state.writing !== null) this.record.write(this.state.writing);
    }, WRITE_AGAIN_MS);
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

function earliest(one: number | null, other: number | null): number | null {
  if (one === null || other === null) return one ?? other;
  return Math.min(one, other);
}
