// The hands of a board: they carry out what the arbiter decides. This file takes the orders, keeps them
// in order and answers; the work is done beside it: guest-seat (machine, disks, world), outlet (gate),
// leading (log out, sync-up as source), following (log in, sync-up as target), link (the channel).
//
// A gate order takes effect before it returns. What changes the guest runs in a chain, one after the
// other. Everything that comes from the channel is worked off in the turn in which it comes.
import type { ChannelEvent } from '../../../logchan/endpoint.ts';
import type { Gate, Grant } from '../../../watchdog/arbiter-types.ts';
import type { VcpuEnd } from '../../host/vcpu/vcpu.ts';
import { LAG_LIMITS } from '../../lockstep/lag.ts';
import { SYNC_PLAN_LIMITS } from '../../lockstep/sync-plan.ts';
import { type About, decodeAbout, encodeAbout } from '../about.ts';
import type { EventCode } from '../event-codes.ts';
import { Announcer } from './announcer.ts';
import { factsOf } from './board-facts.ts';
import { Chain } from './chain.ts';
import type { BoardFacts } from './compat.ts';
import { Following } from './following.ts';
import { GuestSeat, type OpenOutside, type SeatEvents } from './guest-seat.ts';
import { Leading } from './leading.ts';
import { type ChannelFactory, Link, type LinkHandler } from './link.ts';
import { type BulkMessage, encodeLogMessage, type LogMessage } from './messages.ts';
import { Outlet } from './outlet.ts';
import type { HandsPlan } from './plan.ts';
import { RateMeter } from './rate.ts';
import type { HandsLimits, Shared } from './shared.ts';
import { TakeoverRecord } from './takeover.ts';
import type { Hands, HandsEvents, HandsFacts, Reign, SyncFacts } from './types.ts';

export interface HandsOptions {
  readonly plan: HandsPlan;
  readonly makeChannel: ChannelFactory;
  readonly events: HandsEvents;
  readonly limits?: Partial<HandsLimits>;
  /** What the peer is told of this board, for people. */
  readonly about?: About;
  /** @default performance.now */
  readonly nowMs?: () => number;
  /** Who carries what the guest says; @default the world of this host. */
  readonly openOutside?: OpenOutside;
}

const HANDS_LIMITS: HandsLimits = {
  lag: LAG_LIMITS,
  sync: SYNC_PLAN_LIMITS,
  retryMs: 10_000,
  catchUpMs: 15_000,
};
const STEP_MS = 50;
/** What the guest lives on may come later than the board: a disk, a TAP, a file. */
const RESOURCE_RETRY_MS = 500;
const NO_SYNC: SyncFacts = { phase: 'none', percent: 0, etaS: null, round: 0, refusals: [] };

type GuestPhase = HandsFacts['guest'];

export class BoardHands implements Hands {
  readonly seat: GuestSeat;
  readonly outlet: Outlet;
  readonly link: Link;
  readonly leading: Leading;
  private readonly options: HandsOptions;
  private readonly following: Following;
  private readonly chain: Chain;
  private readonly announcer: Announcer;
  private readonly nowMs: () => number;
  private readonly rate = new RateMeter();
  private boardFacts: BoardFacts | undefined;
  /** What the guest cannot be without and does not have, in words. */
  private missing: string | undefined = 'not looked for yet';
  private timer: NodeJS.Timeout | undefined;
  private resourceTimer: NodeJS.Timeout | undefined;
  private current: Reign | undefined;
  private phase: GuestPhase = 'none';
  private liveIcount = 0n;
  private takeover: TakeoverRecord | undefined;
  private closing: Promise<void> | undefined;
  private opening: Promise<void> = Promise.resolve();
  private isToldMissing = false;
  private peerAbout: About | null = null;

  /** For tests and benches: started, with everything the guest needs. Throws one clear line. */
  static async open(options: HandsOptions): Promise<BoardHands> {
    const hands = new BoardHands(options);
    hands.start();
    await hands.opening;
    if (hands.missing === undefined) return hands;
    await hands.close();
    throw new Error(hands.missing);
  }

  /** Nothing happens before `start`. Throws where the engine asked for cannot be had. */
  constructor(options: HandsOptions) {
    const { nowMs = () => performance.now() } = options;
    this.options = options;
    const { plan, openOutside } = options;
    this.seat = new GuestSeat(plan, this.seatEvents(), nowMs, openOutside);
    this.nowMs = nowMs;
    this.link = new Link(options.makeChannel, this.linkHandler());
    this.chain = new Chain((what, error) => this.failed(what, error));
    this.outlet = new Outlet({
      macs: options.plan.nics.map(({ mac }) => mac),
      deliver: (outputs) => this.seat.deliver(outputs),
      released: (sequence) => this.leading.stream.released(sequence),
      nowMs,
    });
    this.announcer = new Announcer(() => this.outlet.announce(), nowMs);
    const shared: Shared = {
      ...{ seat: this.seat, nowMs, link: this.link, outlet: this.outlet, events: options.events },
      limits: { ...HANDS_LIMITS, ...options.limits },
      reign: () => this.current,
      facts: () => this.boardFacts,
      inTurn: (what, work) => this.chain.add(what, work),
    };
    this.leading = new Leading(shared);
    this.following = new Following(shared);
  }

  /** Opens the log link, which throws one clear line, and what the guest lives on, as soon as it is there. */
  start(): void {
    this.link.channel.start();
    this.timer = setInterval(() => this.step(), STEP_MS);
    this.opening = this.openResources();
  }

  /** All of it or nothing, again and again: a board without a disk is a board, and says what it lacks. */
  private async openResources(): Promise<void> {
    const before = this.missing;
    try {
      await this.seat.open();
      this.boardFacts = factsOf(this.options.plan, this.seat);
      this.missing = undefined;
      if (this.isToldMissing) this.event('RESOURCE-BACK', 'the guest has all it needs');
      this.following.linkUp();
    } catch (error) {
      this.missing = (error as Error).message;
      if (this.missing !== before) this.event('RESOURCE-MISSING', this.missing);
      this.isToldMissing = true;
      if (this.closing !== undefined) return;
      this.resourceTimer = setTimeout(() => void this.openResources(), RESOURCE_RETRY_MS);
    }
  }

  // ---- orders -------------------------------------------------------------------------------

  reign(reign: Reign): void {
    this.current = reign;
    this.leading.countAck();
  }

  gate(gate: Gate): void {
    this.outlet.setMode(gate);
    // Who may say nothing must not say where the guest is either.
    if (gate === 'closed') this.announcer.stop();
    // Nobody will ask for the log of this reign.
    if (gate === 'open' && this.leading.stream.state === 'keeping') this.leading.stopStream();
  }

  bootGuest(): void {
    this.chain.add('boot the guest', () => this.boot());
  }

  private async boot(): Promise<void> {
    await this.seat.empty();
    this.outlet.clear();
    this.phase = 'starting';
    await this.seat.boot();
    this.leads();
    this.event('GUEST-STARTED', 'the guest starts from power-on');
  }

  goLive(): void {
    const cause = this.following.wasHandedOver ? 'handed over' : 'the leader is gone';
    const generation = this.current?.generation ?? 0;
    const takeover = new TakeoverRecord(cause, generation, this.nowMs());
    this.takeover = takeover;
    this.following.end();
    this.chain.add('go live', () => this.live(takeover));
  }

  private async live(takeover: TakeoverRecord): Promise<void> {
    const { seat, leading, outlet } = this;
    const { vcpu } = seat;
    if (vcpu === undefined) throw new Error('there is no machine to go live with');
    if (this.phase === 'paused') {
      await vcpu.resume({ log: false });
      this.leads();
      takeover.isLive(this.nowMs(), 0);
      return;
    }
    // The log of the new reign may come before the answer.
    leading.keepLog();
    const answer = vcpu.goLive({ log: true });
    seat.listen();
    const live = await answer;
    this.liveIcount = live.icount;
    seat.setLeads(true);
    outlet.whenFirst(() => takeover.said(this.nowMs()));
    const repeated = outlet.takeOver();
    this.leads();
    takeover.isLive(this.nowMs(), live.tookMs);
    this.event('GUEST-LIVE', `leads where the log ended, ${takeover.words}`, {
      ...takeover.facts(),
      ...{ entries: live.entries, repeated, icount: String(live.icount) },
    });
    if (leading.stream.state === 'keeping' && outlet.mode !== 'open') return;
    // The gate was opened while it went live: nobody wants this log.
    leading.stream.stop();
    await vcpu.stopLog();
  }

  private leads(): void {
    this.phase = 'leading';
    this.leading.startSync();
  }

  pauseGuest(): void {
    this.chain.add('pause the guest', async () => {
      await this.seat.vcpu?.pause();
      this.phase = 'paused';
    });
  }

  resumeGuest(): void {
    this.chain.add('resume the guest', async () => {
      if (this.phase !== 'paused') return;
      await this.seat.vcpu?.resume({ log: false });
      this.leads();
    });
  }

  discardGuest(): void {
    this.following.stop();
    this.leading.stop();
    this.chain.add('discard the guest', async () => {
      await this.seat.empty();
      this.outlet.clear();
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

  syncStop(): void {
    this.following.stop();
    this.leading.stop();
    if (this.seat.leads) return;
    this.chain.add('stop following', async () => {
      if (this.seat.leads) return;
      await this.seat.empty();
      this.phase = 'none';
    });
  }

  markLog(mark: 'grant' | 'leave', partner: Grant): void {
    this.chain.add(`mark the log (${mark})`, async () => {
      this.leading.mark(mark, partner, this.liveIcount);
    });
  }

  follow(_boot: number, _session: number): void {
    this.chain.add('follow', async () => {
      await this.seat.vcpu?.follow();
      this.seat.setLeads(false);
      this.leading.stop();
      this.outlet.handOver();
      this.phase = 'following';
      this.following.follow();
    });
  }

  announceGuest(): void {
    this.announcer.start();
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
    clearTimeout(this.resourceTimer);
    await this.opening;
    this.announcer.stop();
    this.outlet.setMode('closed');
    this.following.stop();
    this.leading.stop();
    this.chain.add('end', () => this.seat.empty());
    await this.chain.idle();
    this.link.channel.stop();
    await this.seat.close();
  }

  // ---- what the guest does ------------------------------------------------------------------

  private seatEvents(): SeatEvents {
    return {
      onLog: (bytes) => this.leading.log(bytes),
      onOutputs: (outputs, leads) => {
        if (leads) this.outlet.lead(outputs, this.leading.stream.cover);
        else this.outlet.follow(outputs);
      },
      onProgress: () => {
        if (this.phase === 'none' && this.seat.vcpu !== undefined) this.phase = 'following';
        this.following.progress();
      },
      onDivergence: (divergence) => this.following.diverged(divergence),
      onReboot: (life) => this.event('GUEST-REBOOTED', `the guest restarts, life ${life}`),
      onEnded: (end) => this.guestEnded(end),
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

  private linkHandler(): LinkHandler {
    return {
      log: (message) => this.message(message),
      bulk: (message) => this.bulk(message),
      turn: () => this.following.turn(),
      up: () => {
        this.leading.linkUp();
        this.following.linkUp();
        this.sayAbout();
      },
      down: () => {
        this.leading.linkDown();
        this.following.linkDown();
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
    switch (event.type) {
      case 'up':
        this.event('LINK-UP', 'the log link stands');
        return;
      case 'down':
        this.event('LINK-DOWN', `the log link has ended: ${event.why}`, { why: event.why });
        return;
      case 'refused':
        this.event('LINK-REFUSED', `the peer is refused: ${event.why}`, { why: event.why });
        return;
      case 'link':
        if (!event.up) this.event('LINK-DOWN', 'no carrier on the log link', { why: 'carrier' });
    }
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
      case 'about':
        this.peerAbout = decodeAbout(message.about);
        return;
    }
  }

  private bulk(message: BulkMessage): void {
    if (message.type === 'hashes') this.leading.hashes(message);
    else this.following.bulk(message);
  }

  // ---- the rest -----------------------------------------------------------------------------

  private step(): void {
    this.rate.sample(this.link.logBytes, this.nowMs());
    if (this.seat.leads) this.leading.govern();
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

  facts(): HandsFacts {
    const { seat, outlet, leading, following, link } = this;
    const facts = seat.vcpu?.facts();
    const channel = link.channel.state();
    return {
      guest: this.guestPhase(),
      icount: facts?.icount ?? 0n,
      virtualNs: facts?.virtualNs ?? 0n,
      runs: facts?.doing === 'runs',
      lives: facts?.life ?? 0,
      engine: seat.engine,
      lagMs: leading.lagMs,
      isFarBehind: leading.isFarBehind,
      logKbps: this.rate.kbps,
      gate: { mode: outlet.mode, waiting: outlet.waiting, oldestMs: outlet.oldestMs() },
      link: {
        up: channel.up && channel.linkUp,
        rttUs: channel.rttUs,
        frameBytes: channel.frameBytes,
      },
      sync: leading.syncFacts() ?? following.syncFacts() ?? NO_SYNC,
      lastTakeover: this.takeover?.facts() ?? null,
      disks: this.disks(),
      diskBusySinceMs: seat.diskBusySinceMs,
      peerAbout: this.peerAbout,
      missing: this.missing ?? null,
    };
  }

  /** Those of the plan while they are not open. */
  private disks(): HandsFacts['disks'] {
    const { seat, options } = this;
    if (seat.isOpen) return seat.disks.map(({ path, trouble }) => ({ path, trouble }));
    return options.plan.disks.map(({ path }) => ({ path, trouble: null }));
  }

  private guestPhase(): GuestPhase {
    const isFollowing = this.phase === 'none' && this.seat.vcpu !== undefined;
    return isFollowing ? 'following' : this.phase;
  }

  private event(code: EventCode, text: string, data?: Readonly<Record<string, unknown>>): void {
    this.options.events.event({ code, text, ...(data === undefined ? {} : { data }) });
  }
}
