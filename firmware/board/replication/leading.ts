// The leading side: the log to the follower, its acknowledgements to the gate, sync-up as source, and
// how far the follower may be behind.
import type { Grant } from '../../../watchdog/arbiter-types.ts';
import { BackOff, LagGovernor } from '../../lockstep/lag.ts';
import type { EventCode } from '../event-codes.ts';
import { baseFor } from './bases.ts';
import { refusals } from './compat.ts';
import { InStepCare } from './in-step-care.ts';
import { LagNews } from './lag-news.ts';
import { Stopped } from './log-link.ts';
import { type Ack, encodeLogMessage, type LogMessage } from './messages.ts';
import type { Shared } from './shared.ts';
import { StreamOut } from './stream-out.ts';
import type { Survey } from './surveys.ts';
import { SyncSource, type SyncSourceReport } from './sync-source.ts';
import { NO_SYNC, type SyncFacts } from './types.ts';

type Want = Extract<LogMessage, { type: 'want' }>;
type Synced = Extract<LogMessage, { type: 'synced' }>;

const isSame = (a: Grant | null | undefined, b: Grant | null | undefined): boolean =>
  a?.boot === b?.boot && a?.session === b?.session;

/** What counts as nearer: a guest is not slowed for ever for one that gains a millisecond a second. */
const NEARER = 0.9;

export class Leading {
  readonly stream: StreamOut;
  /** Of the newest sync-up that came to its end here. */
  lastSync: SyncSourceReport | undefined;
  private readonly shared: Shared;
  private readonly governor: LagGovernor;
  private readonly lagNews: LagNews;
  private readonly backOff: BackOff;
  private partner: Grant | undefined;
  private want: Want | undefined;
  private source: SyncSource | undefined;
  private syncs = 0;
  /** Of the disks, while somebody is in step. */
  readonly care: InStepCare;
  /** How far the newest sync-up that was interrupted had come. */
  private reached = { base: 0, percent: 0 };
  private refused: readonly string[] = [];
  /** The target's machine goes along with this one. */
  private isMoving = false;
  private isSynced = false;
  /** The least a target that is not in step yet has been behind. */
  private nearestMs = Number.POSITIVE_INFINITY;
  private isDropSaid = false;
  private syncShare = 0;
  private shareTold = 0;
  private retry: NodeJS.Timeout | undefined;

  constructor(shared: Shared) {
    const { link, limits, nowMs } = shared;
    this.shared = shared;
    this.stream = new StreamOut((message, urgent) => link.send(message, urgent), nowMs);
    this.governor = new LagGovernor(limits.lag);
    this.lagNews = new LagNews(limits.lag);
    this.backOff = new BackOff(limits.lag.backOffMs);
    this.care = new InStepCare(shared, this.stream, {
      event: (code, text, data) => this.event(code, text, data),
      drop: (code, reason) => this.dropFollower(code, reason),
    });
  }

  // ---- the log ------------------------------------------------------------------------------

  log(bytes: Uint8Array): void {
    this.stream.append(bytes);
  }

  /** Went live: the log is kept until it is known who follows. */
  keepLog(): void {
    this.stream.keep();
  }

  mark(mark: 'grant' | 'leave', partner: Grant, position: bigint): void {
    const { generation = 0, grant } = this.shared.current() ?? {};
    if (mark === 'grant' && this.stream.state === 'keeping') {
      this.stream.begin(partner, generation, position);
      this.partner = partner;
      this.isMoving = true;
      this.isSynced = true;
    }
    if (mark === 'grant' && this.stream.state !== 'flowing') {
      // Whoever holds this grant would wait for a log that never comes. One that was withdrawn while the
      // guest went live nobody holds.
      if (isSame(partner, grant))
        this.drop(partner.session, 'LOG-TROUBLE', 'there is no log to follow');
      return;
    }
    // Before it may promote: the guest may have said long ago where it is to be found.
    if (mark === 'grant') this.tellHeard();
    this.stream.mark(mark, partner, generation);
  }

  private tellHeard(): void {
    const { link, guestOutput } = this.shared;
    link.send(encodeLogMessage({ type: 'heard', heard: guestOutput.heard() }), false);
  }

  ack(ack: Ack): void {
    if (!this.stream.acked(ack)) return;
    this.countAck();
    this.govern();
  }

  /** An acknowledgement counts when it names the own generation and the grant (arbiter duty 5). */
  countAck(): void {
    const { newestAck, follower } = this.stream;
    const current = this.shared.current();
    if (newestAck === undefined || current?.grant == null) return;
    if (!isSame(follower, current.grant) || newestAck.generation !== current.generation) return;
    this.shared.guestOutput.acked(newestAck.through);
  }

  /** Nobody follows any more: from now on nobody keeps the log. */
  stop(): void {
    clearTimeout(this.retry);
    this.endSource();
    this.partner = undefined;
    this.refused = [];
    this.stopStream();
  }

  stopStream(): void {
    const wasOn = this.stream.state !== 'off';
    this.stream.stop();
    this.care.stop();
    this.isMoving = false;
    this.isSynced = false;
    this.nearestMs = Number.POSITIVE_INFINITY;
    this.isDropSaid = false;
    this.governor.reset();
    this.lagNews.reset();
    this.throttle();
    const { runner, inTurn } = this.shared;
    if (!wasOn || !runner.leads) return;
    inTurn('stop the log', async () => {
      // A stream that began meanwhile needs its log.
      if (this.stream.state === 'off' && runner.leads) await runner.vcpu?.stopLog();
    });
  }

  // ---- sync-up ------------------------------------------------------------------------------

  syncSource(partner: Grant): void {
    this.partner = partner;
    this.startSync();
  }

  wanted(want: Want): void {
    this.want = want;
    // It asks again: whatever was under way has failed there.
    this.endSource();
    this.startSync();
  }

  private endSource(): void {
    this.noteReached();
    this.source?.stop();
    this.source = undefined;
    this.syncShare = 0;
    this.throttle();
  }

  /** The next attempt goes on from there, and says so. */
  private noteReached(): void {
    const { source } = this;
    if (source === undefined || source.baseNumber === 0) return;
    this.reached = { base: source.baseNumber, percent: source.facts.percent };
  }

  hashes(message: Survey): void {
    this.source?.take(message);
  }

  /** Begins when everything for it is there: who, what it has, a guest that leads. */
  startSync(): void {
    const { partner, want, shared } = this;
    const vcpu = shared.runner.vcpu;
    if (partner === undefined || want === undefined || this.source !== undefined) return;
    if (!isSame(want, partner) || vcpu === undefined || !shared.runner.leads) return;
    const waitMs = this.backOff.waitMs(shared.nowMs());
    if (waitMs > 0) {
      this.startLater(waitMs);
      return;
    }
    const own = shared.facts();
    if (own === undefined) return;
    this.refused = refusals(want.facts, own);
    if (this.refused.length > 0) {
      this.refuse(partner, this.refused);
      return;
    }
    if (this.stream.state !== 'off') this.stopStream();
    const source = new SyncSource({
      ...partner,
      sync: ++this.syncs,
      ...{ link: shared.link, vcpu, disks: shared.runner.disks },
      base: () => baseFor(shared.changes, want),
      percentBefore: (base) => (base === this.reached.base ? this.reached.percent : 0),
      memory: shared.runner.memory(),
      limits: shared.limits.sync,
      nowMs: shared.nowMs,
      rate: shared.rate,
      beginStream: (position) => this.beginStream(partner, position),
      throttle: (share) => {
        // A source that was stopped ends in its own time; the next one may be at work already.
        if (this.source !== source) return;
        this.syncShare = share;
        this.throttle();
      },
    });
    this.source = source;
    this.event('SYNC-BEGUN', 'brings the other board into step', { ...partner });
    source.run().then(
      (report) => this.synced(source, report),
      (error) => this.failed(source, error as Error),
    );
  }

  private startLater(ms: number): void {
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.startSync(), ms);
  }

  private refuse({ session }: Grant, reasons: readonly string[]): void {
    this.shared.link.send(encodeLogMessage({ type: 'refuse', session, reasons }), true);
    this.event('SYNC-REFUSED', `the other board cannot follow: ${reasons.join('; ')}`, { reasons });
  }

  private beginStream(partner: Grant, position: bigint): number {
    this.stream.begin(partner, this.shared.current()?.generation ?? 0, position);
    this.shared.guestOutput.restart();
    return this.stream.streamNumber;
  }

  private synced(source: SyncSource, report: SyncSourceReport): void {
    this.lastSync = report;
    this.event(
      'SYNC-PHASE',
      `everything is sent, with a pause of ${report.pauseMs.toFixed(1)} ms`,
      {
        ...report,
      },
    );
    if (this.source !== source) return;
    this.source = undefined;
  }

  private failed(source: SyncSource, error: Error): void {
    if (this.source !== source) return;
    this.noteReached();
    this.source = undefined;
    this.stopStream();
    if (error instanceof Stopped) return;
    this.event('SYNC-STOPPED', `sync-up failed: ${error.message}`);
    this.startLater(this.shared.limits.retryMs);
  }

  /** The target says that its machine moves along. */
  targetSynced({ stream, session }: Synced): void {
    const { partner } = this;
    const isOurs = this.stream.state === 'flowing' && stream === this.stream.streamNumber;
    if (!isOurs || partner === undefined || session !== partner.session || this.isSynced) return;
    this.isMoving = true;
    this.governor.forgive();
    this.countInStep();
  }

  /** A machine that moves along far behind cannot go on for this one: not in step yet. */
  private countInStep(): void {
    const { partner } = this;
    if (!this.isMoving || this.isSynced || this.isFarBehind || partner === undefined) return;
    this.isSynced = true;
    this.event('SYNC-DONE', 'the other board is in step', { ...this.lastSync });
    this.shared.events.arbiter({ type: 'sync-done', partner });
  }

  // ---- the link -----------------------------------------------------------------------------

  linkDown(): void {
    this.noteReached();
    this.source?.stop();
    this.want = undefined;
    if (this.stream.state === 'flowing') this.stream.break();
  }

  /** A follower whose log has a gap must not wait for what never comes. */
  linkUp(): void {
    this.isDropSaid = false;
    this.tellBroken();
  }

  private tellBroken(): void {
    const { stream, shared } = this;
    if (stream.state !== 'broken' || this.isDropSaid || !shared.link.isUp) return;
    if (!isSame(stream.follower, shared.current()?.grant)) return;
    this.dropFollower('LOG-TROUBLE', 'part of the log was lost on its way');
  }

  private dropFollower(code: EventCode, reason: string): void {
    const session = this.stream.follower?.session;
    if (session !== undefined) this.drop(session, code, reason);
  }

  private drop(session: number, code: EventCode, reason: string): void {
    this.isDropSaid = true;
    this.shared.link.send(encodeLogMessage({ type: 'drop', session, reason }), true);
    this.event(code, `goes on without the other board: ${reason}`, { session });
  }

  // ---- lag ----------------------------------------------------------------------------------

  /** How far a follower that moves along is behind; null: there is none. */
  get lagMs(): number | null {
    const { stream } = this;
    const moves = stream.isApplied || this.isMoving;
    return stream.state === 'flowing' && moves ? stream.lagMs : null;
  }

  /** A takeover now would be felt. */
  get isFarBehind(): boolean {
    return (this.lagMs ?? 0) > this.shared.limits.lag.hardMs;
  }

  /** Often: with every acknowledgement, and by a timer. */
  govern(): void {
    const { stream, shared } = this;
    if (stream.state === 'broken') {
      this.tellBroken();
      return;
    }
    const { lagMs } = this;
    const now = shared.nowMs();
    if (lagMs === null) {
      this.spareTarget(now);
      return;
    }
    if (this.isSynced && shared.current()?.grant != null) this.care.look(now);
    if (!this.isSynced && lagMs < this.nearestMs * NEARER) {
      // On its way, however far: patience is for one that comes no nearer, or hardly.
      this.nearestMs = lagMs;
      this.governor.forgive();
    }
    const verdict = this.governor.step(lagMs, now);
    if (verdict === 'changed') this.throttle();
    const news = this.lagNews.look(this.governor.share > 0, lagMs, now);
    if (news !== null) this.event(news.code, news.text, news.data);
    this.countInStep();
    if (verdict !== 'drop' || !this.isMoving) return;
    this.backOff.dropped(now);
    this.governor.reset();
    this.throttle();
    const words = `it is ${Math.round(lagMs)} ms behind and cannot keep up`;
    this.dropFollower('LAG-DROPPED', words);
    stream.break();
  }

  /**
   * A target that takes seconds to make a machine of what it got has all to do after it that the guest does
   * meanwhile: the longer it takes the less that is.
   */
  private spareTarget(now: number): void {
    const { stream, governor, shared } = this;
    if (stream.lagMs <= shared.limits.lag.hardMs) return;
    if (governor.step(stream.lagMs, now) === 'changed') this.throttle();
    governor.forgive();
  }

  private throttle(): void {
    const share = Math.max(this.syncShare, this.governor.share);
    if (share === this.shareTold) return;
    this.shareTold = share;
    this.shared.runner.vcpu?.throttle(share);
  }

  get throttleShare(): number {
    return this.shareTold;
  }

  // ---- facts --------------------------------------------------------------------------------

  syncFacts(): SyncFacts | undefined {
    const { source, partner, refused } = this;
    if (source !== undefined) {
      return { ...source.facts, refusals: [] };
    }
    if (partner === undefined || this.isSynced) return undefined;
    const phase =
      refused.length > 0 ? 'refused' : this.stream.state === 'flowing' ? 'adopting' : 'asking';
    const percent = phase === 'adopting' ? 98 : 0;
    return { ...NO_SYNC, phase, percent, refusals: refused };
  }

  private event(code: EventCode, text: string, data?: Readonly<Record<string, unknown>>): void {
    this.shared.events.event({ code, text, ...(data === undefined ? {} : { data }) });
  }
}
