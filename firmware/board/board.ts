// One board as a process: configuration in, arbiter's loop, control socket and event sinks wired, and an end in
// order. Knows all parts, decides nothing.
import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { watchdog as native } from '../../native/index.ts';
import type { OperatorRequest } from '../../watchdog/arbiter-types.ts';
import { BenchWatchdog } from '../../watchdog/bench-watchdog.ts';
import { GatewayProbe } from '../../watchdog/gateway-probe.ts';
import { type Watchdog, WdtDevice } from '../../watchdog/wdt-device.ts';
import { systemWords } from '../host/errors.ts';
import { firmwareVersion } from '../host/identity.ts';
import type { About } from './about.ts';
import type { AlarmChange } from './alarms/book.ts';
import type { AlarmCode } from './alarms/codes.ts';
import { AlarmKeeper } from './alarms/keeper.ts';
import { ArbiterLoop, type ArbiterLoopParts } from './arbiter-loop.ts';
import { ClockWatch } from './clock-watch.ts';
import type { ConfigVersion } from './config/load.ts';
import type { BoardConfig } from './config/types.ts';
import { ConfigWatch } from './config-watch.ts';
import { Doors } from './control/doors.ts';
import type { Controlled } from './control/verbs.ts';
import { isMain } from './event-codes.ts';
import { EventSink } from './event-sink.ts';
import { EventLog, eventLine } from './events.ts';
import { type RequestAnswer, refusedEarly } from './operator-requests.ts';
import type { Replication, ReplicationEvents } from './replication/types.ts';
import { ScadaDesk, type ScadaReport } from './scada-desk.ts';
import { leftSlot } from './slot-watch.ts';
import { BoardError, isLockOf, lockStateFolder } from './state-folder.ts';
import type { AlarmView, Status } from './status.ts';
import { SupervisorLine } from './supervisor-line.ts';
import { raiseAllPriorities } from './thread-priority.ts';

export interface BoardOptions {
  readonly config: BoardConfig;
  readonly pairingKey: Uint8Array;
  /** Where its configuration came from, and which it was. */
  readonly file: string;
  readonly version: ConfigVersion;
  readonly makeReplication: (
    config: BoardConfig,
    pairingKey: Uint8Array,
    about: About,
    events: ReplicationEvents,
  ) => Replication;
  /** Descriptor of the lock of its state folder, if its supervisor handed it one. */
  readonly lock?: number;
  /** To the supervisor, if there is one. */
  readonly supervisor?: SupervisorLine;
  /** Process group the stand-in watchdog ends: this board's own. */
  readonly group: number;
  /** File descriptor of the event lines. */
  readonly stdout: number;
  /** Nothing resets this board, so it must end itself, at once. */
  readonly onMute: () => void;
}

export const ALARMS_FILE = 'alarms.log';
/** The story without its details: no flood of other events reaches it. */
export const MAIN_EVENTS_FILE = 'events-main.jsonl';
const MAIN_EVENTS_BYTES_MAX = 1 << 20;
const LOOK_MS = 500;
/** How long a stop may take before it is done the hard way. */
const STOP_WITHIN_MS = 5_000;
const STOP_LOOK_MS = 20;
const SINK_WITHIN_MS = 500;
const DUE_AGAIN_MS = 10_000;

export class Board implements Controlled {
  readonly events: EventLog;
  /** When all is closed. */
  readonly ended: Promise<void>;
  private readonly options: BoardOptions;
  private readonly lock: number;
  private readonly supervisor: SupervisorLine;
  private readonly sinks: { readonly sink: EventSink; readonly onlyMain: boolean }[];
  private alarmKeeper: AlarmKeeper | null = null;
  private configWatch: ConfigWatch | null = null;
  /** Null: no broker is configured. */
  private readonly scada: ScadaDesk | null;
  private readonly clock = new ClockWatch(native.bootClockMs());
  private lookTimer: NodeJS.Timeout | null = null;
  private wantsRestart = false;
  /** What a stop is waited for until it is done the hard way; unforced it is called off rather. */
  private stopByMs = Number.POSITIVE_INFINITY;
  private isChecking = false;
  /** A restart nobody asked for is not tried again and again. */
  private dueAgainMs = 0;
  private loop: ArbiterLoop | null = null;
  private readonly doors: Doors;
  private stopping: Promise<void> | null = null;
  /** Number of the request it began with. */
  private stopTaken = 0;
  private resolveEnded: () => void = () => {};

  /** Throws an error for people when it cannot be. */
  static async start(options: BoardOptions): Promise<Board> {
    const board = new Board(options);
    try {
      await board.begin();
      return board;
    } catch (error) {
      await Promise.race([board.closeAll(), pause(STOP_WITHIN_MS)]);
      throw error;
    }
  }

  private constructor(options: BoardOptions) {
    const { config, stdout } = options;
    this.options = options;
    this.scada = config.mqtt === null ? null : new ScadaDesk(native.bootClockMs());
    this.events = new EventLog({ wallMs: () => Date.now(), monoMs: () => native.bootClockMs() });
    this.lock = lockOf(options);
    this.supervisor = options.supervisor ?? new SupervisorLine();
    this.sinks = [{ sink: EventSink.toDescriptor(stdout), onlyMain: false }];
    this.doors = new Doors(options.config, this);
    this.events.listen((event) => {
      const line = eventLine(event);
      const main = isMain(event.code);
      for (const { sink, onlyMain } of this.sinks) if (main || !onlyMain) sink.put(line);
    });
    this.ended = new Promise((resolve) => {
      this.resolveEnded = resolve;
    });
  }

  private async begin(): Promise<void> {
    const { config, pairingKey, makeReplication, onMute, file, version } = this.options;
    const { name, side } = config;
    this.openEventsFiles();
    this.events.tell('BOARD-STARTED', `${name} (${side}), firmware ${firmwareVersion()}`, {
      name,
      side,
      firmware: firmwareVersion(),
      pid: process.pid,
    });
    this.alarmKeeper = new AlarmKeeper({
      path: join(config.stateDir, ALARMS_FILE),
      events: this.events,
      wallMs: () => Date.now(),
      monoMs: () => native.bootClockMs(),
      limits: config.limits,
    });
    this.configWatch = new ConfigWatch(file, version, this.events);
    this.supervisor.start();
    this.alarmKeeper.start();
    this.configWatch.start();
    const left = leftSlot();
    if (left !== null) this.events.tell('SLOT-LEFT', left);
    const why = raiseAllPriorities();
    if (why !== null) this.events.tell('BOARD-NOT-FIRST', undefined, { why });
    const parts: ArbiterLoopParts = {
      config,
      pairingKey,
      events: this.events,
      makeReplication: (events) =>
        makeReplication(
          config,
          pairingKey,
          { ...version, name, firmware: firmwareVersion() },
          events,
        ),
      watchdog: watchdogOf(config, this.options.group),
      witness: witnessOf(config),
      nowMs: () => native.bootClockMs(),
      wallMs: () => Date.now(),
      onMute,
      alarms: () => this.alarms(),
      configStatus: () => this.configWatch!.status,
      recordIsSafe: (boot, record, then) =>
        this.supervisor.say({ word: 'record', boot, record }, then),
    };
    this.loop = await ArbiterLoop.start(parts);
    this.lookTimer = setInterval(() => this.look(), LOOK_MS);
    await this.doors.start();
    this.supervisor.say({ word: 'up' });
  }

  /** A board that cannot keep its story serves all the same. */
  private openEventsFiles(): void {
    const { eventsFile, stateDir } = this.options.config;
    this.openSink(join(stateDir, MAIN_EVENTS_FILE), true);
    if (eventsFile !== null) this.openSink(eventsFile, false);
  }

  private openSink(path: string, onlyMain: boolean): void {
    try {
      const sink = EventSink.toFile(path, onlyMain ? MAIN_EVENTS_BYTES_MAX : undefined);
      this.sinks.push({ sink, onlyMain });
    } catch (error) {
      this.events.tell('EVENTS-UNSAVED', `events in ${path}: ${systemWords(error)}`);
    }
  }

  status(): Status {
    const nowMs = native.bootClockMs();
    const scada = this.scada?.status(nowMs) ?? null;
    return { ...this.running().status(), scada, clock: this.clock.status(nowMs) };
  }

  request(asked: OperatorRequest): RequestAnswer | Promise<RequestAnswer> {
    if (this.loop === null) return NOT_YET;
    if (asked.request === 'stop') return this.stop(asked.force);
    return asked.request === 'restart' ? this.restart() : this.loop.request(asked);
  }

  alarms(): AlarmView[] {
    return this.alarmKeeper?.list() ?? [];
  }

  alarmHistory(most: number): AlarmChange[] {
    return this.alarmKeeper?.history(most) ?? [];
  }

  ack(code: AlarmCode | null, by: string): number {
    return this.alarmKeeper?.ack(code, by) ?? 0;
  }

  takeScadaReport(report: ScadaReport): void {
    this.scada?.take(report, native.bootClockMs());
  }

  /** By the operator: refused when the service would end, unless forced. */
  stop(force: boolean): RequestAnswer {
    const answer = this.endWith({ request: 'stop', force });
    if (answer.ok && force) this.stopByMs = performance.now() + STOP_WITHIN_MS;
    return answer;
  }

  /** As a stop; whoever started this board starts it again. Never where the guest would stand still. */
  async restart(): Promise<RequestAnswer> {
    const asked = { request: 'restart' } as const;
    if (this.loop === null) return NOT_YET;
    if (this.stopping !== null || this.isChecking)
      return this.loop.refuse(asked, 'it stops already');
    const early = refusedEarly(asked, this.status());
    if (early !== null) return this.loop.refuse(asked, early);
    this.isChecking = true;
    const problems = (await this.configWatch?.check()) ?? [];
    this.isChecking = false;
    if (this.stopping !== null) return this.loop.refuse(asked, 'it stops already');
    if (problems.length > 0)
      return this.loop.refuse(asked, `its configuration is wrong: ${problems.join('; ')}`);
    return this.endWith(asked);
  }

  private endWith(asked: OperatorRequest): RequestAnswer {
    if (this.loop === null) return NOT_YET;
    if (this.stopping !== null) return { ok: true, taken: this.stopTaken, done: false };
    const answer = this.loop.request(asked);
    if (!answer.ok) return answer;
    this.stopTaken = answer.taken;
    if (asked.request === 'restart') {
      this.wantsRestart = true;
      this.events.tell('RESTART-ASKED');
    }
    this.stopping = this.finish();
    return answer;
  }

  /** After the end: start it again. */
  get isToBeRestarted(): boolean {
    return this.wantsRestart;
  }

  private look(): void {
    this.clock.look(native.bootClockMs());
    const status = this.status();
    this.alarmKeeper?.look(status);
    const isDue = this.stopping === null && this.configWatch?.isRestartDue(status) === true;
    if (!isDue || performance.now() < this.dueAgainMs) return;
    this.dueAgainMs = performance.now() + DUE_AGAIN_MS;
    void this.restart();
  }

  /** By the system (SIGTERM): hands over if that is possible, and stops in any case. */
  async shutDown(): Promise<void> {
    this.stopByMs = performance.now() + STOP_WITHIN_MS;
    while (this.stopping === null && this.loop !== null && performance.now() < this.stopByMs) {
      const force = this.loop.role === 'solo';
      const answer = this.endWith({ request: 'stop', force });
      if (!answer.ok) await pause(STOP_LOOK_MS * 5);
    }
    this.stopping ??= this.finish();
    await this.stopping;
  }

  /** Until the arbiter has stopped. A hand-over that fails calls it off, unless it must be. */
  private async finish(): Promise<void> {
    const { loop } = this;
    while (loop !== null && loop.role !== 'stopped' && performance.now() < this.stopByMs) {
      const hasFailed = loop.underWay === null;
      if (hasFailed && this.stopByMs === Number.POSITIVE_INFINITY) return this.callOff();
      if (hasFailed && loop.role === 'solo') loop.request({ request: 'stop', force: true });
      await pause(STOP_LOOK_MS);
    }
    this.events.tell('BOARD-STOPPING');
    // A few more statements, so that the peer knows.
    await pause(STOP_LOOK_MS * 2);
    await this.closeAll();
  }

  private callOff(): void {
    this.stopping = null;
    this.wantsRestart = false;
  }

  private async closeAll(): Promise<void> {
    if (this.lookTimer !== null) clearInterval(this.lookTimer);
    await this.loop?.close();
    await this.configWatch?.close();
    await this.alarmKeeper?.close();
    this.events.tell('BOARD-STOPPED');
    await this.doors.close();
    for (const { sink } of this.sinks) await sink.close(SINK_WITHIN_MS);
    closeSync(this.lock);
    this.resolveEnded();
  }

  private running(): ArbiterLoop {
    if (this.loop === null) throw new BoardError(NOT_YET.why);
    return this.loop;
  }
}

const NOT_YET = { ok: false, why: 'the board is just starting' } as const;

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function lockOf({ config, lock }: BoardOptions): number {
  const { stateDir } = config;
  return lock !== undefined && isLockOf(stateDir, lock) ? lock : lockStateFolder(stateDir);
}

function watchdogOf({ watchdog, limits, stateDir }: BoardConfig, group: number): Watchdog | null {
  const { watchdogTimeoutMs: timeoutMs, petMs } = limits;
  switch (watchdog.kind) {
    case 'device':
      return new WdtDevice({ path: watchdog.device, timeoutMs, petMs });
    case 'stand-in':
      return new BenchWatchdog({ group, timeoutMs, statusFile: join(stateDir, 'watchdog.reset') });
    case 'none':
      return null;
  }
}

function witnessOf({ front }: BoardConfig): GatewayProbe | null {
  const { gateway } = front;
  return gateway === null ? null : new GatewayProbe({ interfaceName: front.interface, gateway });
}
