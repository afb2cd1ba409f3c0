// Replication carries out what the arbiter decides about the guest. This file takes the orders, keeps them
// in order and answers; the work is done beside it: guest-runner (machine, disks, backends), guest-output
// (gate), leading (log out, sync-up as source), following (log in, sync-up as target), log-link (the channel).
//
// A gate order takes effect before it returns. What changes the guest runs in a queue of tasks, one after
// the other. Everything that comes from the channel is worked off in the turn in which it comes.
import type { ChannelPathFacts } from '../../../logchan/channel.ts';
import type { ChannelEvent } from '../../../logchan/endpoint.ts';
import type { Gate, Grant } from '../../../watchdog/arbiter-types.ts';
import type { VcpuEnd } from '../../host/vcpu/vcpu.ts';
import { LAG_LIMITS } from '../../lockstep/lag.ts';
import { SYNC_PLAN_LIMITS } from '../../lockstep/sync-plan.ts';
import { SyncRate } from '../../lockstep/sync-rate.ts';
import { type About, decodeAbout, encodeAbout } from '../about.ts';
import type { GuestPlan } from '../config/types.ts';
import type { EventCode } from '../event-codes.ts';
import { Announcer } from './announcer.ts';
import { factsOf } from './board-facts.ts';
import type { BulkMessage } from './bulk-messages.ts';
import { channelNews } from './channel-news.ts';
import { ClockTalk } from './clock-talk.ts';
import type { BoardFacts } from './compat.ts';
import { DiskCare } from './disk-care.ts';
import { DiskChanges, type DiskChangesOptions } from './disk-changes.ts';
import { Following } from './following.ts';
import { GuestClock, toMs } from './guest-clock.ts';
import { GuestOutput } from './guest-output.ts';
import { GuestRunner, type OpenBackends, type RunnerEvents } from './guest-runner.ts';
import { Leading } from './leading.ts';
import { type ChannelFactory, LogLink, type LogLinkHandler } from './log-link.ts';
import { encodeLogMessage, type LogMessage } from './messages.ts';
import { RateMeter } from './rate.ts';
import { Resources } from './resources.ts';
import type { ReplicationLimits, Shared } from './shared.ts';
import { TakeoverMarks } from './takeover-marks.ts';
import { TaskQueue } from './task-queue.ts';
import {
  type CurrentRole,
  type LogPathFacts,
  NO_SYNC,
  type Replication,
  type ReplicationEvents,
  type ReplicationFacts,
} from './types.ts';

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

type GuestPhase = ReplicationFacts['guest'];

export class GuestReplication implements Replication {
  readonly runner: GuestRunner;
  readonly guestOutput: GuestOutput;
  readonly link: LogLink;
  private readonly syncRate: SyncRate;
  readonly leading: Leading;
  private readonly options: ReplicationOptions;
  private readonly following: Following;
  private readonly tasks: TaskQueue;
  private readonly announcer: Announcer;
  private readonly clockTalk: ClockTalk;
  private readonly guestClock = new GuestClock();
  private readonly nowMs: () => number;
  private readonly rate = new RateMeter();
  private boardFacts: BoardFacts | undefined;
  private readonly resources: Resources;
  private readonly diskCare: DiskCare;
  readonly changes: DiskChanges | undefined;
  private timer: NodeJS.Timeout | undefined;
  private current: CurrentRole | undefined;
  private phase: GuestPhase = 'none';
  private livePosition = 0n;
  private takeover: TakeoverMarks | undefined;
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
    this.tasks = new TaskQueue((what, error) => this.failed(what, error));
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
    this.tasks.add('boot the guest', () => this.boot());
  }

  private async boot(): Promise<void> {
    await this.runner.empty();
    this.guestOutput.clear();
    this.phase = 'starting';
    await this.runner.boot();
    this.leads();
    this.event('GUEST-STARTED', 'the guest starts from power-on');
  }

  goLive(): void {
    const cause = this.following.wasHandedOver ? 'handed over' : 'the leader is gone';
    const generation = this.current?.generation ?? 0;
    const takeover = new TakeoverMarks(cause, generation, this.nowMs());
    this.takeover = takeover;
    this.following.end();
    this.tasks.add('go live', () => this.live(takeover));
  }

  private async live(takeover: TakeoverMarks): Promise<void> {
    const { runner, leading, guestOutput } = this;
    const { vcpu } = runner;
    if (vcpu === undefined) throw new Error('there is no machine to go live with');
    if (this.phase === 'paused') {
      await vcpu.resume({ log: false });
      this.leads();
      takeover.isLive(this.nowMs(), 0);
      return;
    }
    // The log of the new reign may come before the answer.
    leading.keepLog();
    const peerClockNs = this.clockTalk.offset?.offsetNs;
    const answer = vcpu.goLive({
      log: true,
      ...(peerClockNs === undefined ? {} : { peerClockNs }),
    });
    runner.listen();
    const live = await answer;
    this.livePosition = live.position;
    runner.setLeads(true);
    guestOutput.whenFirst(() => takeover.said(this.nowMs()));
    const repeated = guestOutput.takeOver();
    this.leads();
    takeover.isLive(this.nowMs(), live.tookMs);
    this.event('GUEST-LIVE', `leads where the log ended, ${takeover.words}`, {
      ...takeover.facts(),
      ...{ entries: live.entries, repeated, position: String(live.position) },
      clockOffMs: live.clockErrorNs === null ? null : toMs(live.clockErrorNs),
    });
    if (leading.stream.state === 'keeping' && guestOutput.mode !== 'open') return;
    // The gate was opened while it went live: nobody wants this log.
    leading.stream.stop();
    await vcpu.stopLog();
  }

  private leads(): void {
    this.phase = 'leading';
    this.leading.startSync();
  }

  pauseGuest(): void {
    this.tasks.add('pause the guest', async () => {
      await this.runner.vcpu?.pause();
      this.phase = 'paused';
    });
  }

  resumeGuest(): void {
    this.tasks.add('resume the guest', async () => {
      if (this.phase !== 'paused') return;
      await this.runner.vcpu?.resume({ log: false });
      this.leads();
    });
  }

  discardGuest(): void {
    this.following.stop();
    this.leading.stop();
    this.tasks.add('discard the guest', async () => {
      await this.runner.empty();
      this.guestOutput.clear();
      this.phase = 'none';
      this.options.events.arbiter({ type: 'guest-discarded' });
    });
  }

  syncSource(partner: Grant): void {
    this.leading.syncSource(partner);
  }

  syncTarget(session: number): void {
    this.leading.stop();
    this.following.syncTarget(session);
    this.phase = 'none';
  }

  setSyncRate(mibS: number): void {
    this.syncRate.mibS = mibS;
  }

  syncStop(): void {
    this.following.stop();
    this.leading.stop();
    this.tasks.add('stop following', async () => {
      if (this.runner.leads) return;
      await this.runner.empty();
      this.phase = 'none';
    });
  }

  markLog(mark: 'grant' | 'leave', partner: Grant): void {
    this.tasks.add(`mark the log (${mark})`, async () => {
      this.leading.mark(mark, partner, this.livePosition);
    });
  }

  follow(_boot: number, _session: number): void {
    const mayFollow = this.following.willFollow();
    this.tasks.add('follow', async () => {
      await this.runner.vcpu?.follow();
      this.runner.setLeads(false);
      this.leading.stop();
      this.guestOutput.handOver();
      // A later order may have come before the machine stood: then it is not to go on along the log.
      if (!mayFollow()) return;
      this.phase = 'following';
      this.following.follow();
    });
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
        if (this.phase === 'none' && this.runner.vcpu !== undefined) this.phase = 'following';
        this.following.progress();
      },
      onDivergence: (divergence) => this.following.diverged(divergence),
      onReboot: (life) => {
        this.guestOutput.reborn();
        this.event('GUEST-REBOOTED', `the guest restarts, life ${life}`);
      },
      onEnded: (end) => this.guestEnded(end),
      beforeDiskWrite: (disk, range) => this.changes?.before(disk, range),
      onDiskWriteFailed: () => this.changes?.writeFailed(),
      onDiskTrouble: (words) => this.event('DISK-TROUBLE', words),
      onNotice: (line) => this.event('GUEST-NOTICE', line),
    };
  }

  private guestEnded(end: VcpuEnd | Error): void {
    const isError = end instanceof Error;
    this.phase = isError ? 'failed' : 'ended';
    const words = isError ? `the guest's thread broke: ${end.message}` : 'the guest has ended';
    const reason = isError ? 'broken' : end.reason.kind;
    this.event(isError ? 'GUEST-FAILED' : 'GUEST-OFF', words, { reason });
  }

  // ---- what comes over the link -------------------------------------------------------------

  private linkHandler(): LogLinkHandler {
    return {
      log: (message) => this.message(message),
      bulk: (message) => this.bulk(message),
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

  private message(message: LogMessage): void {
    switch (message.type) {
      case 'statement':
        this.options.events.statement(message.frame);
        return;
      case 'begin':
        this.following.begin(message);
        return;
      case 'log':
        this.following.log(message);
        return;
      case 'mark':
        this.following.mark(message);
        return;
      case 'released':
        this.following.released(message);
        return;
      case 'ack':
        this.leading.ack(message);
        return;
      case 'want':
        this.leading.wanted(message);
        return;
      case 'refuse':
        this.following.refuse(message);
        return;
      case 'synced':
        this.leading.targetSynced(message);
        return;
      case 'drop':
        this.following.drop(message);
        return;
      case 'look':
        this.following.look(message);
        return;
      case 'base':
        if (message.step === 'begin' || message.step === 'here') this.following.base(message);
        else this.leading.care.base(message);
        return;
      case 'about':
        this.peerAbout = decodeAbout(message.about);
        return;
      case 'heard':
        this.following.heard(message);
        return;
      case 'clock-ask':
        this.clockTalk.asked(message);
        return;
      case 'clock':
        this.clockTalk.answered(message);
        return;
    }
  }

  private bulk(message: BulkMessage): void {
    if (message.type === 'hashes') this.leading.hashes(message);
    else if (message.type === 'looked') this.leading.care.looked(message);
    else this.following.bulk(message);
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

  /** An order could not be carried out: the guest is not what the arbiter thinks. */
  private failed(what: string, error: Error): void {
    this.event('GUEST-FAILED', `could not ${what}: ${error.message}`);
    if (what === 'go live') {
      // The reign is this board's; a guest that starts anew serves better than none. Nobody follows it.
      this.leading.stream.break();
      this.bootGuest();
      return;
    }
    if (what !== 'mark the log') this.phase = 'failed';
  }

  tick(): void {
    this.link.channel.tick();
  }

  facts(): ReplicationFacts {
    const { runner, guestOutput, leading, following, link } = this;
    const facts = runner.vcpu?.facts();
    const { channel } = link;
    return {
      guest: this.guestPhase(),
      position: facts?.position ?? 0n,
      virtualNs: facts?.virtualNs ?? 0n,
      runs: facts?.doing === 'runs',
      lives: facts?.life ?? 0,
      clock: this.guestClock.facts(facts, runner.leads, this.clockTalk.offset),
      engine: runner.engine,
      lagMs: runner.leads ? leading.lagMs : following.lagMs,
      isFarBehind: leading.isFarBehind,
      syncRateMibS: this.syncRate.mibS,
      logKbps: this.rate.kbps,
      gate: {
        mode: guestOutput.mode,
        waiting: guestOutput.waiting,
        oldestMs: guestOutput.oldestMs(),
      },
      link: {
        up: channel.isUp && channel.linkUp,
        rttUs: channel.rttUs,
        frameBytes: channel.frameBytes,
        paths: channel.paths().map(pathFacts),
      },
      check: leading.care.checkFacts,
      sync: leading.syncFacts() ?? following.syncFacts() ?? NO_SYNC,
      lastTakeover: this.takeover?.facts() ?? null,
      disks: this.disks(),
      diskBusySinceMs: runner.diskBusySinceMs,
      nets: runner.nets,
      peerAbout: this.peerAbout,
      isReady: this.resources.areThere,
      missing: this.resources.missing,
    };
  }

  /** Those of the plan while they are not open. */
  private disks(): ReplicationFacts['disks'] {
    const { runner, options } = this;
    if (runner.isOpen) return runner.disks.map(({ path, trouble }) => ({ path, trouble }));
    return options.plan.disks.map(({ path }) => ({ path, trouble: null }));
  }

  private guestPhase(): GuestPhase {
    const isFollowing = this.phase === 'none' && this.runner.vcpu !== undefined;
    return isFollowing ? 'following' : this.phase;
  }

  private event(code: EventCode, text: string, data?: Readonly<Record<string, unknown>>): void {
    this.options.events.event({ code, text, ...(data === undefined ? {} : { data }) });
  }
}

function pathFacts(path: ChannelPathFacts): LogPathFacts {
  const { name, linkUp, trouble, isActive, rttUs, logBytesSent } = path;
  const isLost = path.isLost ?? null;
  return { name, hasCarrier: linkUp, trouble, isActive, isLost, rttUs, logBytes: logBytesSent };
}
