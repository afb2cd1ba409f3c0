// The orders that change the guest, carried out one after the other, and the phase it is in by them. An order that
// fails leaves a guest that is not what the arbiter thinks, and says so.
import type { Grant } from '../../../watchdog/arbiter-types.ts';
import type { VcpuEnd } from '../../host/vcpu/vcpu.ts';
import type { EventCode } from '../event-codes.ts';
import type { ClockTalk } from './clock-talk.ts';
import type { Following } from './following.ts';
import { toMs } from './guest-clock.ts';
import type { GuestOutput } from './guest-output.ts';
import type { GuestRunner } from './guest-runner.ts';
import type { Leading } from './leading.ts';
import { TakeoverMarks } from './takeover-marks.ts';
import type { TaskQueue } from './task-queue.ts';
import type { ReplicationEvents, ReplicationFacts, Takeover } from './types.ts';

type GuestPhase = ReplicationFacts['guest'];

export interface GuestOrdersParts {
  readonly runner: GuestRunner;
  readonly guestOutput: GuestOutput;
  readonly leading: Leading;
  readonly following: Following;
  readonly clockTalk: ClockTalk;
  readonly tasks: TaskQueue;
  readonly events: ReplicationEvents;
  readonly nowMs: () => number;
}

const MARK = 'mark the log';

export class GuestOrders {
  private readonly parts: GuestOrdersParts;
  private current: GuestPhase = 'none';
  /** Where the newest reign of this board began. */
  private livePosition = 0n;
  private takeover: TakeoverMarks | undefined;

  constructor(parts: GuestOrdersParts) {
    this.parts = parts;
  }

  get phase(): GuestPhase {
    const isFollowing = this.current === 'none' && this.parts.runner.vcpu !== undefined;
    return isFollowing ? 'following' : this.current;
  }

  get lastTakeover(): Takeover | null {
    return this.takeover?.facts() ?? null;
  }

  // ---- orders -------------------------------------------------------------------------------

  boot(): void {
    const { runner, guestOutput, tasks } = this.parts;
    tasks.add('boot the guest', async () => {
      await runner.empty();
      guestOutput.clear();
      this.current = 'starting';
      await runner.boot();
      this.leads();
      this.event('GUEST-STARTED', 'the guest starts from power-on');
    });
  }

  goLive(generation: number): void {
    const { following, tasks, nowMs } = this.parts;
    const cause = following.wasHandedOver ? 'handed over' : 'the leader is gone';
    const takeover = new TakeoverMarks(cause, generation, nowMs());
    this.takeover = takeover;
    following.end();
    tasks.add('go live', () => this.live(takeover));
  }

  private async live(takeover: TakeoverMarks): Promise<void> {
    const { runner, leading, guestOutput, clockTalk, nowMs } = this.parts;
    const { vcpu } = runner;
    if (vcpu === undefined) throw new Error('there is no machine to go live with');
    if (this.current === 'paused') {
      await vcpu.resume({ log: false });
      this.leads();
      takeover.isLive(nowMs(), 0);
      return;
    }
    // The log of the new reign may come before the answer.
    leading.keepLog();
    const peerClockNs = clockTalk.offset?.offsetNs;
    const answer = vcpu.goLive({
      log: true,
      ...(peerClockNs === undefined ? {} : { peerClockNs }),
    });
    runner.listen();
    const live = await answer;
    this.livePosition = live.position;
    runner.setLeads(true);
    guestOutput.whenFirst(() => takeover.said(nowMs()));
    const repeated = guestOutput.takeOver();
    this.leads();
    takeover.isLive(nowMs(), live.tookMs);
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
    this.current = 'leading';
    this.parts.leading.startSync();
  }

  pause(): void {
    const { runner, tasks } = this.parts;
    tasks.add('pause the guest', async () => {
      await runner.vcpu?.pause();
      this.current = 'paused';
    });
  }

  resume(): void {
    const { runner, tasks } = this.parts;
    tasks.add('resume the guest', async () => {
      if (this.current !== 'paused') return;
      await runner.vcpu?.resume({ log: false });
      this.leads();
    });
  }

  discard(): void {
    const { runner, guestOutput, tasks, events } = this.parts;
    tasks.add('discard the guest', async () => {
      await runner.empty();
      guestOutput.clear();
      this.current = 'none';
      events.arbiter({ type: 'guest-discarded' });
    });
  }

  /** The machine that is here, if there is one, counts no longer: another is to come. */
  awaitAnother(): void {
    this.current = 'none';
  }

  stopFollowing(): void {
    const { runner, tasks } = this.parts;
    tasks.add('stop following', async () => {
      if (runner.leads) return;
      await runner.empty();
      this.current = 'none';
    });
  }

  mark(mark: 'grant' | 'leave', partner: Grant): void {
    const { leading, tasks } = this.parts;
    tasks.add(`${MARK} (${mark})`, async () => {
      leading.mark(mark, partner, this.livePosition);
    });
  }

  follow(): void {
    const { runner, leading, following, guestOutput, tasks } = this.parts;
    const mayFollow = following.willFollow();
    tasks.add('follow', async () => {
      await runner.vcpu?.follow();
      runner.setLeads(false);
      leading.stop();
      guestOutput.handOver();
      // A later order may have come before the machine stood: then it is not to go on along the log.
      if (!mayFollow()) return;
      this.current = 'following';
      following.follow();
    });
  }

  // ---- what comes of them -------------------------------------------------------------------

  /** A machine that followed has come on. */
  progress(): void {
    this.current = this.phase;
  }

  ended(end: VcpuEnd | Error): void {
    const isError = end instanceof Error;
    this.current = isError ? 'failed' : 'ended';
    const words = isError ? `the guest's thread broke: ${end.message}` : 'the guest has ended';
    const reason = isError ? 'broken' : end.reason.kind;
    this.event(isError ? 'GUEST-FAILED' : 'GUEST-OFF', words, { reason });
  }

  failed(what: string, error: Error): void {
    this.event('GUEST-FAILED', `could not ${what}: ${error.message}`);
    if (what === 'go live') {
      // The reign is this board's; a guest that starts anew serves better than none. Nobody follows it.
      this.parts.leading.stream.break();
      this.boot();
      return;
    }
    // The guest is what it was: whoever waits for the mark waits in vain.
    if (!what.startsWith(MARK)) this.current = 'failed';
  }

  private event(code: EventCode, text: string, data?: Readonly<Record<string, unknown>>): void {
    this.parts.events.event({ code, text, ...(data === undefined ? {} : { data }) });
  }
}
