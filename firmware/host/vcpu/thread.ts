// The vCPU thread without its messages: which role it has, what changes it, what is handed to the
// owner after every slice. worker.ts feeds it.
import { randomBytes } from 'node:crypto';
import { GuestMemory } from '../../../native/index.ts';
import type { Input } from '../../devices/contracts.ts';
import type { Birth } from '../../lockstep/item-stream.ts';
import { decodeLiveState } from '../../lockstep/live-state.ts';
import { OutputCounter } from '../../lockstep/outputs.ts';
import type { Divergence } from '../../lockstep/replayer.ts';
import { PAGE_BYTES } from '../../machine/memory-map.ts';
import { FactWords } from './facts.ts';
import { Follow } from './follow.ts';
import { Lead } from './lead.ts';
import { adoptedMemory, Life } from './life.ts';
import { lineHere } from './line.ts';
import { FileSink, type LogSink } from './log-sink.ts';
import type { Answers, Ask, EndReason, VcpuErrorCode, WorkerStart } from './messages.ts';
import { CONTROL, LIFE_REQUESTS } from './messages.ts';
import type { Sender } from './sender.ts';
import { SerialFlow } from './serial-flow.ts';
import { WallClock } from './wall-clock.ts';

type GoLive = Extract<Ask, { kind: 'go-live' }>;
type GoingLive = GoLive & {
  readonly id: number;
  readonly startNs: bigint;
  readonly entries: number;
};

export type ThreadNext =
  | { readonly kind: 'run' }
  | { readonly kind: 'sleep'; readonly untilRealNs: bigint | undefined }
  | { readonly kind: 'stopped'; readonly reason: EndReason };

/** Between two words of progress to the owner. */
const PROGRESS_NS = 4_000_000n;
/** A follower's outputs wait for their release anyway: a message for many entries. */
const FOLLOW_FLUSH_NS = 2_000_000n;
const RUN: ThreadNext = { kind: 'run' };
const FOR_EVER: ThreadNext = { kind: 'sleep', untilRealNs: undefined };

const realNs = () => process.hrtime.bigint();

export class VcpuThread {
  private readonly start: WorkerStart;
  private readonly sender: Sender;
  private readonly facts: FactWords;
  private readonly memory: GuestMemory;
  private readonly serial = new SerialFlow();
  private life: Life;
  private role: Lead | Follow;
  private share = 0;
  private divergence: Divergence | undefined;
  private goingLive: GoingLive | undefined;
  private flushedNs = 0n;
  private reported = { ns: 0n, entries: 0 };

  /** Throws BootError, LockstepError for a checkpoint, RangeError for memory. */
  constructor(start: WorkerStart, sender: Sender) {
    this.start = start;
    this.sender = sender;
    this.facts = new FactWords(start.facts);
    const { config, adoption, log } = start;
    if (adoption === undefined) {
      this.memory = new GuestMemory({ bytes: config.memoryBytes });
      const { epochSeconds, entropySeed, multiplier } = config;
      this.life = this.powerOn({ number: 1, epochSeconds, entropySeed, multiplier });
      const sink = log?.kind === 'file' ? new FileSink(log.identity, realNs) : undefined;
      this.role = this.leader(sink, new OutputCounter(), undefined);
    } else {
      this.memory = adoptedMemory(adoption.memoryToken, config.memoryBytes);
      const { birth, machine, outputs } = decodeLiveState(adoption.checkpoint);
      const { memory, hasDigest } = this;
      const { digestToken } = adoption;
      this.life = Life.adopt({ config, memory, birth, hasDigest, digestToken }, machine);
      const counter = new OutputCounter();
      counter.restore(outputs);
      this.role = this.follower(counter);
      for (const request of this.life.pendingRequests()) this.life.outbox.request(request);
    }
    this.announce();
    this.flush();
  }

  // ---- what the owner says ------------------------------------------------------------------

  inputs(inputs: readonly Input[]): void {
    let frames = 0;
    let dropped = 0;
    for (const input of inputs) {
      if (input.kind === 'net-rx') frames++;
      if (input.kind === 'serial-rx') this.serial.given(input.port, input.bytes.length);
      if (!this.take(input)) dropped++;
    }
    if (frames > 0) Atomics.add(this.start.control, CONTROL.framesTaken, frames);
    if (dropped > 0) Atomics.add(this.start.control, CONTROL.inputsDropped, dropped);
  }

  push(log: Uint8Array): void {
    const { role } = this;
    if (role.role === 'following' && this.divergence === undefined) role.push(log);
    else Atomics.add(this.start.control, CONTROL.logDropped, 1);
  }

  beginStream(): void {
    if (this.role.role === 'following') this.role.beginStream();
  }

  throttle(share: number): void {
    this.share = share;
    if (this.role.role === 'leading') this.role.throttle(share);
  }

  ask(id: number, ask: Ask): void {
    const { role, divergence } = this;
    const needsStream = 'log' in ask ? ask.log : ask.kind === 'start-log';
    if (divergence !== undefined) this.refuse(id, 'E_VCPU_DIVERGED', wordsOf(divergence));
    else if (needsStream && this.start.log?.kind !== 'stream') {
      this.refuse(id, 'E_VCPU_LOG', 'this guest was started without a stream');
    } else if (ask.kind === 'take-dirty') this.answer(id, this.life.takeDirty());
    else if (role.role === 'leading') this.askLeader(id, ask, role);
    else if (ask.kind !== 'go-live') this.refuse(id, 'E_VCPU_ROLE', `${ask.kind}: it follows`);
    else if (this.goingLive !== undefined) {
      this.refuse(id, 'E_VCPU_ROLE', 'go-live: it is under way already');
    } else {
      this.goingLive = { ...ask, id, startNs: realNs(), entries: role.backlog };
    }
  }

  // ---- what the thread does -----------------------------------------------------------------

  step(): ThreadNext {
    if (this.divergence !== undefined) return FOR_EVER;
    return this.role.role === 'leading' ? this.stepLeader(this.role) : this.stepFollower(this.role);
  }

  /** The last words of a log, and where the guest stood. Its memory may be kept: the digest has all of it. */
  end(): bigint {
    this.life.digest?.refresh();
    const { role } = this;
    if (role.role === 'leading') {
      // To a twin an end is that of the guest, not of this board.
      const isEnd = this.start.log?.kind === 'file' || role.stopReason !== undefined;
      if (isEnd) role.end();
    }
    this.flush(true);
    return this.life.machine.position;
  }

  private stepLeader(lead: Lead): ThreadNext {
    if (!lead.isPaused) this.facts.doing('runs');
    const next = lead.step();
    this.publish();
    this.flush();
    this.life.keepCurrent();
    if (next.kind === 'sleep') this.facts.doing(lead.doing);
    if (next.kind !== 'stopped') return next;
    if (!this.start.restartsOn.includes(next.reason.kind)) return next;
    this.restart({
      number: this.life.birth.number + 1,
      epochSeconds: Math.floor(Date.now() / 1000),
      entropySeed: new Uint8Array(randomBytes(32)),
      multiplier: this.life.machine.multiplier,
    });
    return RUN;
  }

  private stepFollower(follow: Follow): ThreadNext {
    this.facts.doing('runs');
    const next = follow.step();
    this.publish();
    switch (next.kind) {
      case 'run':
        this.flushSometimes();
        this.life.keepCurrent();
        this.reportDue();
        return RUN;
      case 'wait':
        this.flush();
        if (next.for === 'log' && this.goingLive !== undefined) {
          this.goLive(follow);
          return RUN;
        }
        this.life.keepCurrent();
        this.facts.doing(next.for === 'log' ? 'waits' : 'disk');
        return { kind: 'sleep', untilRealNs: this.reportDue() };
      case 'restart':
        this.restart(next.birth);
        return RUN;
      case 'diverged':
        this.diverge(next.divergence);
        return FOR_EVER;
      case 'stopped':
        return next;
    }
  }

  // ---- roles --------------------------------------------------------------------------------

  private askLeader(id: number, ask: Ask, lead: Lead): void {
    switch (ask.kind) {
      case 'pause':
        this.pause(lead);
        this.answer(id, undefined);
        return;
      case 'checkpoint':
        this.checkpoint(id, lead);
        return;
      case 'resume':
        if (ask.log) lead.startLog();
        lead.isPaused = false;
        this.answer(id, undefined);
        return;
      case 'start-log':
        lead.startLog();
        this.answer(id, undefined);
        return;
      case 'stop-log':
        this.flush(true);
        if (this.start.log?.kind === 'stream') lead.sink = undefined;
        this.answer(id, undefined);
        return;
      case 'follow':
        if (lead.isPaused) this.follow(id, lead);
        else this.refuse(id, 'E_VCPU_ROLE', 'follow: it leads and is not paused');
        return;
      default:
        this.refuse(id, 'E_VCPU_ROLE', `${ask.kind}: it leads`);
    }
  }

  private pause(lead: Lead): void {
    lead.pause();
    this.publish();
    this.flush(true);
    this.facts.doing('paused');
  }

  private checkpoint(id: number, lead: Lead): void {
    this.pause(lead);
    const { machine } = this.life;
    this.answer(id, {
      state: this.life.state(lead.outputs),
      dirty: this.life.takeDirty(),
      position: machine.position,
      virtualNs: machine.nowNs(),
    });
  }

  /** From leading to following; what the disks finished in the meantime is the local replica's. */
  private follow(id: number, lead: Lead): void {
    this.flush(true);
    this.share = 0;
    const follow = this.follower(lead.outputs);
    follow.line = { offsetNs: lead.offsetNs, by: 'own' };
    this.role = follow;
    this.reported = { ns: 0n, entries: 0 };
    let dropped = 0;
    for (const input of lead.takeQueued()) {
      if (input.kind === 'disk-completion') follow.completed(input);
      else dropped++;
    }
    Atomics.add(this.start.control, CONTROL.inputsDropped, dropped);
    this.answer(id, undefined);
  }

  /** From following to leading: everything that was given is applied. */
  private goLive(follow: Follow): void {
    const { id, log, startNs, entries, peerClockNs } = this.goingLive!;
    this.goingLive = undefined;
    const now = { realNs: realNs(), virtualNs: this.life.machine.nowNs() };
    const offsetNs = lineHere(follow.line, peerClockNs, now);
    const lead = this.leader(undefined, follow.outputs, offsetNs);
    this.role = lead;
    if (log) lead.startLog();
    for (const input of [...follow.takeCompletions(), ...follow.early]) lead.push(input);
    const tookMs = Number(realNs() - startNs) / 1e6;
    const clockErrorNs = offsetNs === undefined ? null : lead.clockErrorNs.now;
    this.answer(id, { position: this.life.machine.position, entries, tookMs, clockErrorNs });
  }

  private restart(birth: Birth): void {
    this.flush(true);
    const { role } = this;
    this.life.close();
    this.memory.clearPages(0, this.start.config.memoryBytes / PAGE_BYTES);
    this.life = this.powerOn(birth);
    if (role.role === 'following') role.attach(this.life);
    else {
      // What was on its way to the guest went down with it.
      role.sink?.life(birth);
      const lead = this.leader(role.sink, role.outputs, undefined);
      lead.sink?.line(lead.offsetNs);
      this.role = lead;
    }
    this.announce();
  }

  private diverge(divergence: Divergence): void {
    this.divergence = divergence;
    this.flush(true);
    this.facts.doing('diverged');
    this.sender.post({ kind: 'diverged', divergence });
    if (this.goingLive === undefined) return;
    this.refuse(this.goingLive.id, 'E_VCPU_DIVERGED', wordsOf(divergence));
    this.goingLive = undefined;
  }

  private powerOn(birth: Birth): Life {
    const { memory, hasDigest } = this;
    return Life.powerOn({ config: this.start.config, memory, birth, hasDigest });
  }

  private leader(
    sink: LogSink | undefined,
    outputs: OutputCounter,
    offsetNs: bigint | undefined,
  ): Lead {
    const digestIntervalNs = this.start.log?.digestIntervalNs;
    const { life } = this;
    const wallClock = new WallClock(() => BigInt(Date.now()) * 1_000_000n);
    const lead = new Lead({
      ...{ life, sink, digestIntervalNs, outputs, offsetNs, realNs, wallClock },
    });
    if (this.share > 0) lead.throttle(this.share);
    return lead;
  }

  private follower(outputs: OutputCounter): Follow {
    return new Follow({ life: this.life, devices: this.start.config.devices, outputs });
  }

  private get hasDigest(): boolean {
    return this.start.log?.digestIntervalNs !== undefined;
  }

  // ---- to the owner -------------------------------------------------------------------------

  /** Whether this board has a use for it just now. */
  private take(input: Input): boolean {
    const { role } = this;
    if (input.kind === 'disk-completion') {
      if (Math.floor(input.id / LIFE_REQUESTS) !== this.life.birth.number) return true;
      const completion = { ...input, id: input.id % LIFE_REQUESTS };
      if (role.role === 'following') role.completed(completion);
      else role.push(completion);
      return true;
    }
    if (role.role === 'leading') role.push(input);
    else if (this.goingLive !== undefined) role.early.push(input);
    else return false;
    return true;
  }

  private announce(): void {
    const { kickToken, birth } = this.life;
    this.facts.life(birth.number);
    this.publish();
    const tokens = { memoryToken: this.memory.token, digestToken: this.life.digest?.memoryToken };
    this.sender.post({ kind: 'started', life: birth.number, kickToken, ...tokens });
  }

  private publish(): void {
    const { machine } = this.life;
    const { entries, pieces } = this.role;
    this.facts.position(machine.position, machine.nowNs(), entries, pieces);
    if (this.role.role === 'leading') this.facts.clock(this.role.clockErrorNs);
  }

  private flushSometimes(): void {
    const isDue = this.life.outbox.hasRequests || realNs() - this.flushedNs >= FOLLOW_FLUSH_NS;
    if (isDue) this.flush();
  }

  private flush(isLast = false): void {
    const { outbox, birth } = this.life;
    const endNs = realNs();
    this.flushedNs = endNs;
    const isCovering = !outbox.isEmpty;
    const sink = this.role.role === 'leading' ? this.role.sink : undefined;
    const log = sink?.take({ isCovering, isLast }) ?? [];
    const serialTaken = this.serial.taken((port) => this.role.heldBytes(port));
    this.sender.batch({ life: birth.number, ...outbox.take(), serialTaken, log, endNs });
  }

  /** Says that entries were applied, at most every few milliseconds; answers when it wants to again. */
  private reportDue(): bigint | undefined {
    const { entries } = this.role;
    if (entries === this.reported.entries) return undefined;
    const now = realNs();
    const dueNs = this.reported.ns + PROGRESS_NS;
    if (now < dueNs) return dueNs;
    this.reported = { ns: now, entries };
    this.sender.post({ kind: 'progress' });
    return undefined;
  }

  private answer(id: number, value: Answers[keyof Answers]): void {
    this.sender.post({ kind: 'answer', id, value });
  }

  private refuse(id: number, code: VcpuErrorCode, message: string): void {
    this.sender.post({ kind: 'refused', id, refusal: { code, message } });
  }
}

/** A difference between the boards in one sentence. */
function wordsOf({ what, expected, actual, position }: Divergence): string {
  return `${what} differs at ${position}: expected ${expected}, found ${actual}`;
}
