// Replication carries out what the arbiter decides about the guest. This file takes the orders and answers; the
// work is done beside it: guest-orders (what changes the guest, in order), guest-runner (machine, disks, backends),
// guest-output (gate), leading (log out, sync-up as source), following (log in, sync-up as target), log-link (the
// channel; hand-on: whom a message concerns).
//
// A gate order takes effect before it returns. What changes the guest runs in a queue of tasks, one after
// the other. Everything that comes from the channel is worked off in the turn in which it comes.
import type { ChannelEvent } from '../../../logchan/endpoint.ts';
import type { Gate, Grant } from '../../../watchdog/arbiter-types.ts';
import { LAG_LIMITS } from '../../lockstep/lag.ts';
import { SYNC_PLAN_LIMITS } from '../../lockstep/sync-plan.ts';
import { SyncRate } from '../../lockstep/sync-rate.ts';
import { type About, decodeAbout, encodeAbout } from '../about.ts';
import type { GuestPlan } from '../config/types.ts';
import type { EventCode } from '../event-codes.ts';
import { Announcer } from './announcer.ts';
import { factsOf } from './board-facts.ts';
import { channelNews } from './channel-news.ts';
import { ClockTalk } from './clock-talk.ts';
import type { BoardFacts } from './compat.ts';
import { DiskCare } from './disk-care.ts';
import { DiskChanges, type DiskChangesOptions } from './disk-changes.ts';
import { Following } from './following.ts';
import { GuestClock } from './guest-clock.ts';
import { GuestOrders } from './guest-orders.ts';
import { GuestOutput } from './guest-output.ts';
import { GuestRunner, type OpenBackends, type RunnerEvents } from './guest-runner.ts';
import { handOn, handOnBulk, type Receivers } from './hand-on.ts';
import { Leading } from './leading.ts';
import { type ChannelFactory, LogLink, type LogLinkHandler } from './log-link.ts';
import { encodeLogMessage } from './messages.ts';
import { partFacts } from './part-facts.ts';
import { RateMeter } from './rate.ts';
import { Resources } from './resources.ts';
import type { ReplicationLimits, Shared } from './shared.ts';
import { TaskQueue } from './task-queue.ts';
import type { CurrentRole, Replication, ReplicationEvents, ReplicationFacts } from './types.ts';

export interface ReplicationOptions {
  readonly plan: GuestPlan;
  readonly makeChannel: ChannelFactory;
  readonly events: ReplicationEvents;
  readonly limits?: Partial<ReplicationLimits>;
  /** Where it is remembered what changes on the disks; without it everything is compared each time. */
  readonly changes?: DiskChangesOptions;
  /** MiB a second of sync-up; @default as fast as it goes. */
  readonly rateMibS?: number;
  /** MiB a second of the comparison of the disks while in step; @default never */
  readonly checkMibS?: number;
  /** What the peer is told of this board, for people. */
  readonly about?: About;
  /** @default performance.now */
  readonly nowMs?: () => number;
  /** Who carries what the guest says; @default the backends of this host. */
  readonly openBackends?: OpenBackends;
}

const REPLICATION_LIMITS: ReplicationLimits = {
  lag: LAG_LIMITS,
  sync: SYNC_PLAN_LIMITS,
  retryMs: 10_000,
  catchUpMs: 15_000,
  baseMs: 30_000,
};
const STEP_MS = 50;

export class GuestReplication implements Replication {
  readonly runner: GuestRunner;
  readonly guestOutput: GuestOutput;
  readonly link: LogLink;
  private readonly syncRate: SyncRate;
  readonly leading: Leading;
  private readonly options: ReplicationOptions;
  readonly following: Following;
  private readonly tasks: TaskQueue;
  private readonly orders: GuestOrders;
  private readonly receivers: Receivers;
  private readonly announcer: Announcer;
  private readonly clockTalk: ClockTalk;
  private readonly guestClock = new GuestClock();
  private readonly nowMs: () => number;
  private readonly rate = new RateMeter();
  private boardFacts: BoardFacts | undefined;
  readonly resources: Resources;
  private readonly diskCare: DiskCare;
  readonly changes: DiskChanges | undefined;
  private timer: NodeJS.Timeout | undefined;
  private current: CurrentRole | undefined;
  private closing: Promise<void> | undefined;
  private peerAbout: About | null = null;

  /** For tests and benches: started, with everything the guest needs. Throws one clear line. */
  static async open(options: ReplicationOptions): Promise<GuestReplication> {
    const replication = new GuestReplication(options);
    replication.start();
    await replication.resources.looked();
    const { missing } = replication.resources;
    if (missing === null) return replication;
    await replication.close();
    throw new Error(missing);
  }

  /** Nothing happens before `start`. Throws where the engine asked for cannot be had. */
  constructor(options: ReplicationOptions) {
    const { nowMs = () => performance.now() } = options;
    this.options = options;
    const { plan, openBackends } = options;
    this.runner = new GuestRunner(plan, this.runnerEvents(), nowMs, openBackends);
    this.nowMs = nowMs;
    const { changes } = options;
    this.changes = changes && new DiskChanges(changes, () => this.runner.disks);
    this.link = new LogLink(options.makeChannel, this.linkHandler());
    this.clockTalk = new ClockTalk(
      (message) => this.link.sendNow(message),
      () => process.hrtime.bigint(),
    );
    this.tasks = new TaskQueue((what, error) => this.orders.failed(what, error));
    this.guestOutput = new GuestOutput({
      macs: options.plan.nics.map(({ mac }) => mac),
      deliver: (outputs) => this.runner.deliver(outputs),
      released: (sequence) => this.leading.stream.released(sequence),
      nowMs,
    });
    this.announcer = new Announcer((isFirst) => this.announce(isFirst), nowMs);
    this.syncRate = new SyncRate(options.rateMibS);
    const shared: Shared = {
      ...{
        runner: this.runner,
        nowMs,
        link: this.link,
        guestOutput: this.guestOutput,
        events: options.events,
        changes: this.changes,
        rate: this.syncRate,
        checkMibS: options.checkMibS ?? 0,
      },
      limits: { ...REPLICATION_LIMITS, ...options.limits },
      current: () => this.current,
      facts: () => this.boardFacts,
      inTurn: (what, work) => this.tasks.add(what, work),
    };
    this.leading = new Leading(shared);
    this.following = new Following(shared);
    const { leading, following, clockTalk } = this;
    this.orders = new GuestOrders({
      ...{ runner: this.runner, guestOutput: this.guestOutput, tasks: this.tasks },
      ...{ leading, following, clockTalk, events: options.events, nowMs },
    });
    this.receivers = {
      ...{ leading, following, clockTalk },
      statement: (frame) => options.events.statement(frame),
      about: (bytes) => {
        this.peerAbout = decodeAbout(bytes);
      },
    };
    this.diskCare = new DiskCare({
      ...{ runner: this.runner, tasks: this.tasks, nowMs },
      follows: () => this.current?.role === 'backup',
      opened: () => this.opened(),
    });
    this.resources = new Resources({
      open: () => this.runner.open(),
      opened: () => this.opened(),
      lost: () => this.runner.lost,
      tell: (code, text) => this.event(code, text),
      nowMs,
    });
  }

  /** Opens the log link, which throws one clear line, and what the guest lives on, as soon as it is there. */
  start(): void {
    this.link.channel.start();
    this.timer = setInterval(() => this.step(), STEP_MS);
    this.resources.start();
  }

  private opened(): void {
    this.boardFacts = factsOf(this.options.plan, this.runner);
    this.changes?.opened();
    this.following.linkUp();
  }

  // ---- orders -------------------------------------------------------------------------------

  tellRole(current: CurrentRole): void {
    this.current = current;
    this.changes?.starts(current.boot);
    this.leading.countAck();
  }

  gate(gate: Gate): void {
    this.guestOutput.setMode(gate);
    // Who may say nothing must not say where the guest is either.
    if (gate === 'closed') this.announcer.stop();
    // Nobody will ask for the log of this reign.
    if (gate === 'open' && this.leading.stream.state === 'keeping') this.leading.stopStream();
  }

  bootGuest(): void {
    this.orders.boot();
  }

  goLive(): void {
    this.orders.goLive(this.current?.generation ?? 0);
  }

  pauseGuest(): void {
    this.orders.pause();
  }

  resumeGuest(): void {
    this.orders.resume();
  }

  discardGuest(): void {
    this.following.stop();
    this.leading.stop();
    this.orders.discard();
  }

  syncSource(partner: Grant): void {
    this.leading.syncSource(partner);
  }

  syncTarget(session: number): void {
    this.leading.stop();
    this.following.syncTarget(session);
    this.orders.awaitAnother();
  }

  setSyncRate(mibS: number): void {
    this.syncRate.mibS = mibS;
  }

  syncStop(): void {
    this.following.stop();
    this.leading.stop();
    this.orders.stopFollowing();
  }

  markLog(mark: 'grant' | 'leave', partner: Grant): void {
    this.orders.mark(mark, partner);
  }

  follow(_boot: number, _session: number): void {
    this.orders.follow();
  }

  announceGuest(): void {
    this.announcer.start();
  }

  private announce(isFirst: boolean): void {
    const frames = this.guestOutput.announce();
    if (!isFirst || frames === 0) return;
    const text = `the plant network is told where the guest is, in ${frames} frames, three times`;
    this.event('GUEST-ANNOUNCED', text, { frames });
  }

  sayOnLog(frame: Uint8Array): boolean {
    return this.link.sendNow(encodeLogMessage({ type: 'statement', frame }));
  }

  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    clearInterval(this.timer);
    await this.resources.stop();
    this.announcer.stop();
    this.guestOutput.setMode('closed');
    this.following.stop();
    this.leading.stop();
    this.tasks.add('end', () => this.runner.empty());
    await this.tasks.idle();
    this.link.channel.stop();
    await this.runner.close();
    await this.changes?.close();
  }

  // ---- what the guest does ------------------------------------------------------------------

  private runnerEvents(): RunnerEvents {
    return {
      isBackedUp: () => this.guestOutput.mode !== 'open',
      onLog: (bytes) => this.leading.log(bytes),
      onOutputs: (outputs, leads) => {
        if (leads) this.guestOutput.lead(outputs, this.leading.stream.cover);
        else this.guestOutput.follow(outputs);
      },
      onProgress: () => {
        this.orders.progress();
        this.following.progress();
      },
      onDivergence: (divergence) => this.following.diverged(divergence),
      onReboot: (life) => {
        this.guestOutput.reborn();
        this.event('GUEST-REBOOTED', `the guest restarts, life ${life}`);
      },
      onEnded: (end) => this.orders.ended(end),
      beforeDiskWrite: (disk, range) => this.changes?.before(disk, range),
      onDiskWriteFailed: () => this.changes?.writeFailed(),
      onDiskTrouble: (words) => this.event('DISK-TROUBLE', words),
      onNotice: (line) => this.event('GUEST-NOTICE', line),
    };
  }

  // ---- what comes over the link -------------------------------------------------------------

  private linkHandler(): LogLinkHandler {
    return {
      log: (message) => handOn(message, this.receivers),
      bulk: (message) => handOnBulk(message, this.receivers),
      turn: () => this.following.turn(),
      up: () => {
        this.leading.linkUp();
        this.following.linkUp();
        this.sayAbout();
        this.clockTalk.linkUp();
      },
      down: () => {
        this.leading.linkDown();
        this.following.linkDown();
        this.clockTalk.linkDown();
        this.options.events.arbiter({ type: 'path-down', path: 'log' });
      },
      cut: () => this.options.events.arbiter({ type: 'path-down', path: 'log' }),
      channel: (event) => this.tellOfChannel(event),
    };
  }

  private sayAbout(): void {
    const { about } = this.options;
    if (about === undefined) return;
    this.link.send(encodeLogMessage({ type: 'about', about: encodeAbout(about) }), false);
  }

  private tellOfChannel(event: ChannelEvent): void {
    const news = channelNews(event, () => this.link.channel.paths().map(({ name }) => name));
    if (news !== undefined) this.options.events.event(news);
  }

  // ---- the rest -----------------------------------------------------------------------------

  private step(): void {
    this.resources.watch();
    this.diskCare.look();
    this.rate.sample(this.link.logBytes, this.nowMs());
    this.clockTalk.step();
    this.guestClock.look(this.runner.vcpu?.facts(), this.runner.leads);
    if (this.runner.leads) this.leading.govern();
    else this.following.progress();
  }

  tick(): void {
    this.link.channel.tick();
  }

  facts(): ReplicationFacts {
    const { runner, orders } = this;
    return {
      ...partFacts(this, this.options.plan),
      guest: orders.phase,
      clock: this.guestClock.facts(runner.vcpu?.facts(), runner.leads, this.clockTalk.offset),
      syncRateMibS: this.syncRate.mibS,
      logKbps: this.rate.kbps,
      lastTakeover: orders.lastTakeover,
      peerAbout: this.peerAbout,
    };
  }

  private event(code: EventCode, text: string, data?: Readonly<Record<string, unknown>>): void {
    this.options.events.event({ code, text, ...(data === undefined ? {} : { data }) });
  }
}
