// The following side: sync-up as target, the log as it comes, its acknowledgement in the same turn,
// marks for the arbiter, and a machine that moves along.
import { LogLag } from '../../lockstep/log-lag.ts';
import type { Divergence } from '../../lockstep/replayer.ts';
import type { EventCode } from '../event-codes.ts';
import { FollowingBases } from './bases.ts';
import { type BulkMessage, encodeBulkMessage } from './bulk-messages.ts';
import { encodeFacts } from './compat.ts';
import { FollowingCheck } from './disk-check.ts';
import { encodeLogMessage, type LogMessage } from './messages.ts';
import type { Shared } from './shared.ts';
import { StreamIn } from './stream-in.ts';
import { SyncTarget } from './sync-target.ts';
import type { TargetMemory } from './target-memory.ts';
import { NO_SYNC, type SyncFacts } from './types.ts';

type Of<Type extends LogMessage['type']> = Extract<LogMessage, { type: Type }>;

/** News of what is applied, when no log comes. */
const PROGRESS_MS = 5;

export class Following {
  private readonly shared: Shared;
  /** Counts what ended an earlier order to follow. */
  private orders = 0;
  /** Wants to be in step, in this session. */
  private session: number | undefined;
  private target: SyncTarget | undefined;
  /** Counts what makes a machine void that was made, or is just being made, of an attempt to come into step. */
  private attempts = 0;
  private inbound: StreamIn | undefined;
  private lag = new LogLag();
  /** The machine here goes on along this stream of the leader. */
  private adopted: { readonly stream: number | 'next'; readonly atMs: number } | undefined;
  private isSyncedSaid = false;
  private owesAck = false;
  private ackedMs = Number.NEGATIVE_INFINITY;
  private refused: readonly string[] = [];
  private retry: NodeJS.Timeout | undefined;
  private readonly bases: FollowingBases;
  private readonly check: FollowingCheck;

  constructor(shared: Shared) {
    this.shared = shared;
    this.bases = new FollowingBases({
      changes: () => shared.changes?.log,
      flushed: async () => shared.changes?.flushed(),
      say: (step, base) => {
        const session = this.inbound?.session;
        if (session === undefined) return;
        shared.link.send(encodeLogMessage({ type: 'base', step, session, base }), false);
      },
    });
    this.check = new FollowingCheck({
      disks: shared.runner.disks,
      answer: async ({ id }, { zeros, hashes }) => {
        const signal = { isStopped: this.inbound === undefined };
        const message = encodeBulkMessage({ type: 'looked', id, zeros, hashes });
        await shared.link.sendBulk(message, signal);
      },
    });
  }

  /** Whether a hand-over brought all of the log: who leads next had a reason to leave. */
  get wasHandedOver(): boolean {
    return this.inbound?.mark === 'leave';
  }

  // ---- sync-up ------------------------------------------------------------------------------

  syncTarget(session: number): void {
    this.stop();
    this.session = session;
    this.ask();
  }

  /** Not any more; the machine, if there is one, is the caller's to throw away. */
  stop(): void {
    this.orders++;
    clearTimeout(this.retry);
    this.session = undefined;
    this.target?.stop();
    this.target = undefined;
    this.inbound = undefined;
    this.bases.stop();
    this.check.stop();
    this.adopted = undefined;
    this.refused = [];
  }

  /**
   * A stale attempt is thrown away first, with its machine: whatever that one still had to write is behind
   * it when the hash of the first block is taken.
   */
  private ask(): void {
    const { shared, session } = this;
    clearTimeout(this.retry);
    if (session === undefined) return;
    this.target?.stop();
    this.target = undefined;
    this.inbound = undefined;
    this.adopted = undefined;
    this.isSyncedSaid = false;
    shared.inTurn('make room', async () => {
      if (this.session !== session) return;
      await shared.runner.empty();
      await shared.changes?.ready();
      if (this.session === session && this.target === undefined) this.tell(session);
    });
  }

  /** The leader is told what is here. */
  private tell(session: number): void {
    const { shared } = this;
    const boot = shared.current()?.boot;
    const own = shared.facts();
    if (boot === undefined || own === undefined || !shared.link.isUp) return;
    this.target = new SyncTarget({
      ...{ boot, session, link: shared.link, disks: shared.runner.disks },
      ...{ memoryBytes: own.memoryBytes, kept: shared.runner.kept },
      ...{ changes: () => shared.changes?.log, nowMs: shared.nowMs },
      began: () => this.began(),
      adopt: (memory, state, stream) => this.adopt(memory, state, stream),
      failed: (error) => this.failed(error),
    });
    const facts = encodeFacts(own);
    const { bases = [], forgotten = '' } = shared.changes?.log ?? {};
    const want = { type: 'want', boot, session, bases, forgotten, facts } as const;
    shared.link.send(encodeLogMessage(want), true);
  }

  /**
   * The leader begins, perhaps once more: what was made of an earlier attempt, or is just being made, is void. Settles
   * when it is gone and writes to no disk any more.
   */
  private began(): Promise<void> {
    const { shared } = this;
    this.attempts++;
    this.refused = [];
    this.adopted = undefined;
    this.inbound = undefined;
    this.isSyncedSaid = false;
    shared.guestOutput.clear();
    return new Promise((resolve, reject) => {
      shared.inTurn('throw away what was adopted', () =>
        shared.runner.empty().then(resolve, reject),
      );
    });
  }

  refuse({ session, reasons }: Of<'refuse'>): void {
    if (session !== this.session) return;
    this.refused = reasons;
    this.event('SYNC-REFUSED', `the leader refuses this board: ${reasons.join('; ')}`, { reasons });
    this.askLater();
  }

  private failed(error: Error): void {
    this.event('SYNC-STOPPED', `sync-up failed: ${error.message}`);
    this.target = undefined;
    this.askLater();
  }

  private askLater(): void {
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.ask(), this.shared.limits.retryMs);
  }

  bulk(message: BulkMessage): void {
    this.target?.take(message);
  }

  private adopt(memory: TargetMemory, state: Uint8Array, stream: number): void {
    const { target, attempts, shared } = this;
    const isVoid = () => this.target !== target || this.attempts !== attempts;
    shared.inTurn('adopt', async () => {
      if (isVoid()) return shared.runner.kept.keep(memory);
      await shared.runner.empty();
      shared.guestOutput.clear();
      try {
        await shared.runner.adopt(memory, state);
      } catch (error) {
        if (!isVoid()) this.failed(error as Error);
        return;
      }
      if (isVoid()) return await shared.runner.empty();
      this.adopted = { stream, atMs: shared.nowMs() };
      this.attach();
    });
  }

  /** The machine and its log have met. */
  private attach(): void {
    const { inbound, adopted } = this;
    const { vcpu } = this.shared.runner;
    if (inbound === undefined || inbound.isAttached || vcpu === undefined) return;
    if (adopted === undefined) return;
    if (adopted.stream !== 'next' && adopted.stream !== inbound.stream) return;
    inbound.attach((log) => vcpu.push(log));
    this.sayWhenSynced();
  }

  private sayWhenSynced(): void {
    const { inbound, adopted, session, shared } = this;
    if (this.isSyncedSaid || session === undefined || adopted === undefined) return;
    if (inbound === undefined || !inbound.isAttached) return;
    const isLate = shared.nowMs() - adopted.atMs > shared.limits.catchUpMs;
    if (!inbound.isCaughtUp(this.pieces()) && !isLate) return;
    this.isSyncedSaid = true;
    const { stream } = inbound;
    shared.link.send(encodeLogMessage({ type: 'synced', stream, session }), true);
    const { counts, memoryKind: memory } = this.target!;
    const data = { ...counts, memory };
    this.event('SYNC-PHASE', 'this board moves along with the leader', data);
  }

  // ---- the log ------------------------------------------------------------------------------

  begin(begin: Of<'begin'>): void {
    const current = this.shared.current();
    if (begin.boot !== current?.boot || begin.session !== current.session) return;
    this.inbound = new StreamIn(begin);
    this.lag = new LogLag();
    this.attach();
  }

  log({ bytes }: Of<'log'>): void {
    if (this.inbound === undefined) return;
    this.owesAck = true;
    this.lag.sent(this.shared.nowMs());
    if (this.inbound.log(bytes)) return;
    this.inbound = undefined;
    this.failed(new Error('the log grew too long before there was a machine for it'));
  }

  mark(mark: Of<'mark'>): void {
    const { inbound } = this;
    if (inbound === undefined) return;
    this.owesAck = true;
    this.lag.sent(this.shared.nowMs());
    if (!inbound.marked(mark)) return;
    // In step now, or about to be: no interruption of the link may begin a sync-up.
    this.session = undefined;
    this.shared.events.arbiter({ type: 'marked', mark: mark.mark, session: inbound.session });
  }

  /** The leader is about to renew what both remember of their disks, or says where in the log it did. */
  base({ step, session, base }: Of<'base'>): void {
    const { inbound } = this;
    if (inbound === undefined) return;
    if (step === 'here') {
      this.owesAck = true;
      this.lag.sent(this.shared.nowMs());
      const message = inbound.counted();
      if (session === inbound.session) this.bases.here(base, message);
    } else if (step === 'begin' && session === inbound.session) {
      this.bases.begin(base).catch(() => {});
    }
  }

  /** The leader asks for a survey of what lies there when the machine is here in the log. */
  look({ session, ...look }: Of<'look'>): void {
    const { inbound } = this;
    if (inbound === undefined) return;
    this.owesAck = true;
    this.lag.sent(this.shared.nowMs());
    const message = inbound.counted();
    if (session === inbound.session) this.check.look(look, message);
  }

  private lookAtDisks(): void {
    const { inbound, bases, shared } = this;
    const { vcpu } = shared.runner;
    if (inbound === undefined || vcpu === undefined) return;
    const applied = inbound.appliedThrough(this.pieces());
    // Its answer comes after all requests of its machine until there. Trouble is told elsewhere.
    bases.progress(applied, () => vcpu.takeDirty()).catch(() => {});
    this.check.progress(applied, () => vcpu.takeDirty()).catch(() => {});
  }

  released({ sequence }: Of<'released'>): void {
    if (this.inbound !== undefined) this.shared.guestOutput.releasedThere(sequence);
  }

  heard({ heard }: Of<'heard'>): void {
    if (this.inbound !== undefined) this.shared.guestOutput.takeHeard(heard);
  }

  drop({ session, reason }: Of<'drop'>): void {
    if (session !== this.shared.current()?.session || !this.isFollower()) return;
    this.event('LAG-DROPPED', `the leader goes on without this board: ${reason}`);
    this.shared.events.arbiter({ type: 'diverged', why: `dropped by the primary: ${reason}` });
  }

  /** All that came in this turn is in memory: say so, now. */
  turn(): void {
    if (this.owesAck) this.ack(true);
    this.inbound?.handOn();
    this.sayWhenSynced();
  }

  /** The machine moved. */
  progress(): void {
    this.sayWhenSynced();
    this.lookAtDisks();
    if (this.shared.nowMs() - this.ackedMs < PROGRESS_MS) return;
    if (this.inbound?.hasNews(this.pieces())) this.ack(false);
  }

  /** Role is target or backup, and only then (arbiter duty 5). */
  private ack(urgent: boolean): void {
    const { inbound, shared } = this;
    if (inbound === undefined || !this.isFollower()) return;
    this.owesAck = false;
    this.ackedMs = shared.nowMs();
    const facts = shared.runner.vcpu?.facts();
    const ack = inbound.ack(this.pieces(), facts?.position ?? 0n, facts?.virtualNs ?? 0n);
    shared.link.send(encodeLogMessage(ack), urgent);
  }

  private isFollower(): boolean {
    const role = this.shared.current()?.role;
    return role === 'target' || role === 'backup';
  }

  private pieces(): number {
    return this.shared.runner.vcpu?.facts().piecesApplied ?? 0;
  }

  diverged({ what, expected, actual, position }: Divergence): void {
    const words = `${what}: expected ${expected}, found ${actual}`;
    this.event('DIVERGED', `this board's guest is not the leader's any more: ${words}`, {
      ...{ what, expected, actual },
      position: String(position),
    });
    if (this.isFollower()) this.shared.events.arbiter({ type: 'diverged' });
  }

  // ---- hand-over and takeover ---------------------------------------------------------------

  /** A paused leader's machine will follow when it stands; answers whether that still holds then. */
  willFollow(): () => boolean {
    const order = this.orders;
    return () => this.orders === order;
  }

  /** A paused leader's machine follows now, along the log that `begin` named it for. */
  follow(): void {
    this.session = undefined;
    this.adopted = { stream: 'next', atMs: this.shared.nowMs() };
    this.isSyncedSaid = true;
    this.attach();
    if (this.owesAck) this.ack(true);
  }

  /** It leads from here: nothing more of the old leader's log counts. */
  end(): void {
    // The order may come between a message and the end of its turn.
    this.inbound?.handOn();
    this.stop();
  }

  // ---- the link -----------------------------------------------------------------------------

  linkUp(): void {
    this.ask();
  }

  /** What came is in memory. Without a mark it can never lead: sync-up begins anew. */
  linkDown(): void {
    if (this.session === undefined) return;
    this.target?.stop();
    this.target = undefined;
    this.inbound = undefined;
    if (this.adopted === undefined) return;
    this.adopted = undefined;
    this.shared.inTurn('throw away half a machine', () => this.shared.runner.empty());
  }

  // ---- facts --------------------------------------------------------------------------------

  /** Age of the oldest log here that the machine has not behind it; null: none follows. */
  get lagMs(): number | null {
    const { inbound, lag } = this;
    if (inbound === undefined || !inbound.isAttached) return null;
    lag.applied(inbound.appliedThrough(this.pieces()));
    return lag.lagMs(this.shared.nowMs());
  }

  syncFacts(): SyncFacts | undefined {
    const { session, target, refused } = this;
    if (session === undefined || this.isSyncedSaid) return undefined;
    if (refused.length > 0 || target === undefined) {
      const phase = refused.length > 0 ? 'refused' : 'asking';
      return { ...NO_SYNC, phase, refusals: refused };
    }
    const { phase, percent, etaS, round, kind, memoryKind: memory } = target;
    const { doneBytes, totalBytes } = target;
    return { ...NO_SYNC, phase, percent, etaS, round, kind, memory, doneBytes, totalBytes };
  }

  private event(code: EventCode, text: string, data?: Readonly<Record<string, unknown>>): void {
    this.shared.events.event({ code, text, ...(data === undefined ? {} : { data }) });
  }
}
