// What a vCPU thread does next, without the thread: when to run and how far, what to inject, when
// the guest's clock is set to real time, how long an idle guest may sleep.
//
// Caller's duties:
// 1. `push()` what came from outside, whenever.
// 2. `step()` again and again: it runs one slice, or says how long there is nothing to do.
// 3. Kick the engine when something came: the slice ends early and the next step injects it.
//
// A guest that idles is not run at all: its next timer, or an input, wakes it with a clock step.

import type { Input, SerialPortName, VirtualNs } from '../../devices/contracts.ts';
import type { Pacer, PacerMoment } from '../../lockstep/pacer.ts';
import type { Position } from '../../machine/engine.ts';
import type { SliceEnd, StopReason } from '../../machine/machine-types.ts';
import type { WallClock } from './wall-clock.ts';

/** What the loop asks of a machine. */
export interface LoopMachine {
  readonly position: Position;
  readonly stopReason: StopReason | undefined;
  /** How fast virtual time passes, 32.32 ns a position. */
  readonly multiplier: bigint;
  nowNs(): VirtualNs;
  nextDeadlineNs(): VirtualNs | undefined;
  /** Bytes that wait on the wire of a serial port because the guest has not read them. */
  serialBacklog(port: SerialPortName): number;
}

/** What it may do with it: the recorder, so that everything is written down. */
export interface LoopRecorder {
  inject(input: Input): void;
  runSlice(limit: Position): SliceEnd;
  writeDigest(): void;
}

export interface LoopOptions {
  machine: LoopMachine;
  recorder: LoopRecorder;
  pacer: Pacer;
  /** Real time, monotonic. */
  realNs: () => bigint;
  /** Virtual time between two digest entries; undefined: none are written. */
  digestIntervalNs: bigint | undefined;
  /** What the CMOS clock follows; left out: nothing. */
  wallClock?: WallClock | undefined;
}

export type Next =
  | { readonly kind: 'run' }
  /** Idle until then, or for ever when undefined; or until something is pushed. */
  | { readonly kind: 'sleep'; readonly untilRealNs: bigint | undefined }
  | { readonly kind: 'stopped'; readonly reason: StopReason };

/** A slice of a busy guest: long enough to cost nothing, and the pacer's interval has passed. */
export const SLICE_NS = 4_200_000n;
/** Of virtual time: a guest that is suddenly faster than its clock was set for must not run far ahead. */
const SLICE_VIRTUAL_NS = 6_000_000n;
/** So little in front of the guest's UART that more may come: the host keeps the rest. */
export const SERIAL_BACKLOG_BYTES_MAX = 4096;

const SLICE_POSITIONS = { first: 100_000n, min: 20_000n, max: 200_000_000n } as const;
/** What a timer's interrupt has before the next one comes, while the guest makes up for a pause. */
const TURN_POSITIONS = 10_000n;
const RUN: Next = { kind: 'run' };

export class VcpuLoop {
  /** Of the time a slice takes otherwise: a guest that is throttled gets many short ones. */
  sliceShare = 1;

  private readonly options: LoopOptions;
  private queue: Input[] = [];
  /** Serial bytes the guest has no room for yet, in order. */
  private readonly held: Extract<Input, { kind: 'serial-rx' }>[] = [];
  private isIdle = false;
  private slicePositions: bigint = SLICE_POSITIONS.first;
  private digestAtNs: VirtualNs;

  constructor(options: LoopOptions) {
    this.options = options;
    this.digestAtNs = options.machine.nowNs() + (options.digestIntervalNs ?? 0n);
  }

  push(input: Input): void {
    if (input.kind === 'serial-rx') this.held.push(input);
    else this.queue.push(input);
  }

  /** Serial bytes that were pushed and not given to the guest yet. */
  heldBytes(port: SerialPortName): number {
    return this.held.reduce((sum, one) => sum + (one.port === port ? one.bytes.length : 0), 0);
  }

  /** What was pushed goes in now, without running on: the guest is about to stand still. */
  settle(): void {
    this.releaseSerial();
    if (this.queue.length === 0) return;
    this.setClock(this.options.realNs());
    this.isIdle = false;
    this.injectAll();
  }

  /** What was pushed and not given to the guest, in order within each kind; it never will be. */
  takeQueued(): Input[] {
    return [...this.queue.splice(0), ...this.held.splice(0)];
  }

  step(): Next {
    const { machine, realNs } = this.options;
    const before = realNs();
    this.releaseSerial();
    if (this.isIdle && this.queue.length === 0) {
      const wakeNs = this.wakeRealNs();
      if (wakeNs === undefined || before < wakeNs) return { kind: 'sleep', untilRealNs: wakeNs };
    }
    this.setClock(before);
    this.tellWallClock(before);
    this.injectAll();
    this.writeDigest();
    return machine.stopReason === undefined ? this.runSlice(before) : this.stopped();
  }

  private setClock(realNs: bigint): void {
    const { pacer, recorder } = this.options;
    const now = this.now(realNs);
    const step = this.isIdle ? pacer.wake(now, this.wakeRealNs()) : pacer.busy(now);
    if (step !== undefined) recorder.inject({ kind: 'clock-step', ...step });
    pacer.observe({ realNs, virtualNs: step?.ns ?? now.virtualNs });
  }

  private tellWallClock(realNs: bigint): void {
    const { machine, recorder, wallClock } = this.options;
    const wallNs = wallClock?.due(realNs, machine.nowNs());
    if (wallNs !== undefined) recorder.inject({ kind: 'wall-clock', wallNs });
  }

  private now(realNs: bigint): PacerMoment {
    const { machine } = this.options;
    const timerNs = machine.nextDeadlineNs();
    return { realNs, virtualNs: machine.nowNs(), position: machine.position, timerNs };
  }

  private injectAll(): void {
    const { queue } = this;
    if (queue.length === 0) return;
    this.queue = [];
    for (const input of queue) this.options.recorder.inject(input);
  }

  private writeDigest(): void {
    const { machine, recorder, digestIntervalNs } = this.options;
    if (digestIntervalNs === undefined || machine.nowNs() < this.digestAtNs) return;
    this.digestAtNs = machine.nowNs() + digestIntervalNs;
    recorder.writeDigest();
  }

  private runSlice(startRealNs: bigint): Next {
    const { machine, pacer, recorder, realNs } = this.options;
    const start = machine.position;
    const end = recorder.runSlice(start + this.sliceLength());
    this.isIdle = end === 'idle';
    if (end === 'stopped') return this.stopped();
    const now = this.now(realNs());
    pacer.observe(now);
    if (this.isIdle) pacer.idles(now);
    if (end === 'limit' && !pacer.isOwing)
      this.adapt(now.realNs - startRealNs, now.position - start);
    return RUN;
  }

  private sliceLength(): bigint {
    const { min } = SLICE_POSITIONS;
    if (this.options.pacer.isOwing) return TURN_POSITIONS;
    const most = (SLICE_VIRTUAL_NS << 32n) / this.options.machine.multiplier;
    if (most >= this.slicePositions) return this.slicePositions;
    return most > min ? most : min;
  }

  private stopped(): Next {
    const { stopReason } = this.options.machine;
    if (stopReason === undefined) throw new Error('stopped without a reason');
    return { kind: 'stopped', reason: stopReason };
  }

  /** Follows the speed of this host, and of what the guest does just now. */
  private adapt(elapsedNs: bigint, positions: bigint): void {
    const { min, max } = SLICE_POSITIONS;
    const sliceNs = BigInt(Math.round(Number(SLICE_NS) * this.sliceShare));
    const wanted = elapsedNs > 0n ? (positions * sliceNs) / elapsedNs : max;
    const smoothed = (this.slicePositions + wanted) / 2n;
    this.slicePositions = smoothed < min ? min : smoothed > max ? max : smoothed;
  }

  private wakeRealNs(): bigint | undefined {
    const deadlineNs = this.options.machine.nextDeadlineNs();
    return deadlineNs === undefined ? undefined : this.options.pacer.realNsOf(deadlineNs);
  }

  /** Moves held serial bytes to the queue as far as the guest keeps up with them. */
  private releaseSerial(): void {
    if (this.held.length === 0) return;
    const room = new Map<SerialPortName, number>();
    for (let at = 0; at < this.held.length; ) {
      const { kind, port, bytes } = this.held[at]!;
      const backlog = this.options.machine.serialBacklog(port);
      const left = room.get(port) ?? Math.max(0, SERIAL_BACKLOG_BYTES_MAX - backlog);
      const taken = bytes.subarray(0, left);
      room.set(port, left - taken.length);
      if (taken.length > 0) this.queue.push({ kind, port, bytes: taken });
      if (taken.length === bytes.length) this.held.splice(at, 1);
      else this.held[at++] = { kind, port, bytes: bytes.subarray(taken.length) };
    }
  }
}
