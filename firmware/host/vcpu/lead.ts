// A board that leads: the guest runs in real time, every input is recorded before it goes in. Whether
// anybody keeps the log changes while it runs; an unprotected guest is one whose log nobody keeps.
import { kick } from '../../../native/index.ts';
import type { Input, SerialPortName } from '../../devices/contracts.ts';
import { isPrompt, type OutputCounter } from '../../lockstep/outputs.ts';
import { Pacer } from '../../lockstep/pacer.ts';
import { Recorder } from '../../lockstep/recorder.ts';
import type { StopReason } from '../../machine/machine-types.ts';
import type { Life } from './life.ts';
import { type LogSink, StreamSink } from './log-sink.ts';
import { type Next, VcpuLoop } from './loop.ts';
import type { WallClock } from './wall-clock.ts';

export interface LeadOptions {
  life: Life;
  sink: LogSink | undefined;
  digestIntervalNs: bigint | undefined;
  /** Counts go on over lives and changes of role. */
  outputs: OutputCounter;
  /** The line of the guest's clock, real minus virtual time; undefined: it begins as it is now. */
  offsetNs: bigint | undefined;
  realNs: () => bigint;
  wallClock?: WallClock | undefined;
}

export class Lead {
  readonly role = 'leading';
  /** Of a follower's log; a leader has none. */
  readonly pieces = 0;
  isPaused = false;
  /** Why step() said to sleep. */
  doing: 'paused' | 'idles' | 'runs' = 'runs';
  /** Who gets the log; undefined: nobody. */
  sink: LogSink | undefined;
  readonly outputs: OutputCounter;

  private readonly life: Life;
  private readonly recorder: Recorder;
  private readonly loop: VcpuLoop;
  private readonly pacer: Pacer;
  private readonly realNs: () => bigint;
  private share = 0;
  private restUntilNs = 0n;

  constructor(options: LeadOptions) {
    const { life, sink, digestIntervalNs, outputs, offsetNs, realNs, wallClock } = options;
    const { machine, tap, digest, outbox, kickToken, slices } = life;
    this.life = life;
    this.sink = sink;
    this.outputs = outputs;
    this.realNs = realNs;
    this.recorder = new Recorder({
      ...{ machine, tap, digest, outputs, slices },
      append: (entry) => this.sink?.append(entry),
      onOutput: (output, sequence) => {
        outbox.add(output, sequence);
        // Somebody waits for it: end the slice, so that it leaves now.
        if (isPrompt(output)) kick(kickToken);
      },
      onDiskRequest: (request) => {
        outbox.request(request);
        kick(kickToken);
      },
    });
    const { position, multiplier } = machine;
    const virtualNs = machine.nowNs();
    this.pacer = new Pacer({ realNs: realNs(), virtualNs, position, multiplier, offsetNs });
    this.loop = new VcpuLoop({
      ...{ machine, pacer: this.pacer, realNs, digestIntervalNs, wallClock },
      recorder: {
        inject: (input) => this.recorder.inject(input),
        runSlice: (limit) => this.recorder.runSlice(limit),
        writeDigest: () => this.writeDigest(),
      },
    });
  }

  get stopReason(): StopReason | undefined {
    return this.life.machine.stopReason;
  }

  get entries(): number {
    return this.sink?.entries ?? 0;
  }

  /** Real minus virtual time it keeps. */
  get offsetNs(): bigint {
    return this.pacer.offsetNs;
  }

  /** How far the guest's clock is from its line, and was at worst; positive: ahead. */
  get clockErrorNs(): { readonly now: bigint; readonly worst: bigint } {
    return { now: this.pacer.errorNs, worst: this.pacer.worstNs };
  }

  push(input: Input): void {
    this.loop.push(input);
  }

  heldBytes(port: SerialPortName): number {
    return this.loop.heldBytes(port);
  }

  step(): Next {
    this.doing = this.isPaused ? 'paused' : 'runs';
    if (this.isPaused) return { kind: 'sleep', untilRealNs: undefined };
    const before = this.realNs();
    if (before < this.restUntilNs) return { kind: 'sleep', untilRealNs: this.restUntilNs };
    const next = this.loop.step();
    if (next.kind === 'sleep') this.doing = 'idles';
    if (this.share > 0 && next.kind === 'run') this.rest(before);
    return next;
  }

  /** Stands still from here on; a follower that was given the log stands at the same place. */
  pause(): void {
    if (this.isPaused) return;
    this.loop.settle();
    // Also where no input was: only an entry says how far the guest came.
    this.writeDigest();
    this.isPaused = true;
  }

  /** A fresh log begins here. Outputs that wait for a marker get theirs in it. */
  startLog(): void {
    this.sink = new StreamSink();
    this.sink.line(this.offsetNs);
    this.writeDigest();
    this.recorder.markPending();
  }

  /** What the world gave and the guest never got, in order. */
  takeQueued(): Input[] {
    return this.loop.takeQueued();
  }

  throttle(share: number): void {
    this.share = share;
    this.restUntilNs = 0n;
    this.loop.sliceShare = 1 - share;
  }

  /** The last words of a log: the guest itself has ended. */
  end(): void {
    this.writeDigest();
    this.recorder.end();
  }

  private writeDigest(): void {
    if (this.sink !== undefined) this.recorder.writeDigest();
  }

  /** A slice has run since `startNs`: sleep its share. */
  private rest(startNs: bigint): void {
    const now = this.realNs();
    const ratio = this.share / (1 - this.share);
    this.restUntilNs = now + BigInt(Math.round(Number(now - startNs) * ratio));
  }
}
