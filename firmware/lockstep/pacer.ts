// Virtual time follows real time: the rule, without a clock. The driver tells it real time whenever a
// slice ended; it answers with the clock step to inject, if one is due.
//
// A busy guest's time passes with its position, at a rate (multiplier) that is the measured speed
// of this host, so it is nearly right by itself and a step every few milliseconds corrects the rest.
// Time never goes back: a guest that is ahead gets a slower clock until real time has caught up. An
// idle guest's time stands still until a step says how late it is. Integers only.
import type { VirtualNs } from '../devices/contracts.ts';
import type { Position } from '../machine/engine.ts';

export interface PacerLimits {
  /** Between two steps of a busy guest. */
  readonly stepIntervalNs: bigint;
  /** A busy guest that is behind jumps at most so far a step: a stall is made good smoothly. */
  readonly jumpMaxNs: bigint;
  /** But always as far as the slice itself took, up to here: a starved host must not lose time. */
  readonly sliceMaxNs: bigint;
  /** How much of the error one interval removes when the guest is ahead: 1/this. */
  readonly catchUpIntervals: bigint;
  /** Bounds of the clock rate, 32.32 ns a position. */
  readonly multiplierMin: bigint;
  readonly multiplierMax: bigint;
}

const ONE = 1n << 32n;

export const PACER_LIMITS: PacerLimits = {
  stepIntervalNs: 4_000_000n,
  jumpMaxNs: 20_000_000n,
  sliceMaxNs: 250_000_000n,
  catchUpIntervals: 4n,
  multiplierMin: ONE / 8n,
  multiplierMax: 1024n * ONE,
};

export interface ClockStep {
  readonly ns: VirtualNs;
  readonly multiplier: bigint;
}

export class Pacer {
  private readonly limits: PacerLimits;
  /** Real minus virtual time at the start: afterwards they should stay this far apart. */
  readonly offsetNs: bigint;
  private lastNs: bigint;
  private lastPosition: Position;
  /** Measured rate, smoothed; the machine's own before there is a measurement. */
  private rate: bigint;

  constructor(options: {
    realNs: bigint;
    virtualNs: VirtualNs;
    position: Position;
    multiplier: bigint;
    /** Where the guest is behind already: what the offset should become. */
    offsetNs?: bigint | undefined;
    limits?: PacerLimits;
  }) {
    this.limits = options.limits ?? PACER_LIMITS;
    this.offsetNs = options.offsetNs ?? options.realNs - options.virtualNs;
    this.lastNs = options.realNs;
    this.lastPosition = options.position;
    this.rate = options.multiplier;
  }

  /** Where virtual time should be at this real time. */
  targetNs(realNs: bigint): VirtualNs {
    return realNs - this.offsetNs;
  }

  /** Real time at which virtual time should reach `ns`: how long an idle guest may sleep. */
  realNsOf(ns: VirtualNs): bigint {
    return ns + this.offsetNs;
  }

  /** The step for a busy guest at the end of a slice, at most one an interval. */
  busy(now: { realNs: bigint; virtualNs: VirtualNs; position: Position }): ClockStep | undefined {
    const elapsed = now.realNs - this.lastNs;
    if (elapsed < this.limits.stepIntervalNs) return undefined;
    const retired = now.position - this.lastPosition;
    // A long interval is a stall of the host, not its speed.
    const isStall = elapsed > 4n * this.limits.stepIntervalNs;
    if (retired > 0n && !isStall)
      this.rate = (this.rate * 3n + this.clamp((elapsed << 32n) / retired)) / 4n;
    this.mark(now);
    const { jumpMaxNs, sliceMaxNs } = this.limits;
    const within = elapsed > jumpMaxNs && elapsed <= sliceMaxNs;
    const capped = elapsed > sliceMaxNs ? sliceMaxNs : jumpMaxNs;
    return this.step(now, elapsed, within ? elapsed : capped);
  }

  /** The step that wakes an idle guest: to where real time is, never back. */
  wake(now: { realNs: bigint; virtualNs: VirtualNs; position: Position }): ClockStep {
    this.mark(now);
    return this.step(now, this.limits.stepIntervalNs, undefined);
  }

  private step(
    now: { realNs: bigint; virtualNs: VirtualNs },
    intervalNs: bigint,
    jumpMaxNs: bigint | undefined,
  ): ClockStep {
    const ahead = now.virtualNs - this.targetNs(now.realNs);
    if (ahead <= 0n) {
      const jump = jumpMaxNs !== undefined && -ahead > jumpMaxNs ? jumpMaxNs : -ahead;
      return { ns: now.virtualNs + jump, multiplier: this.clamp(this.rate) };
    }
    // Pass slower than real time, so that the lead shrinks by a part each interval.
    const horizon = intervalNs * this.limits.catchUpIntervals;
    return { ns: now.virtualNs, multiplier: this.clamp((this.rate * horizon) / (horizon + ahead)) };
  }

  private mark(now: { realNs: bigint; position: Position }): void {
    this.lastNs = now.realNs;
    this.lastPosition = now.position;
  }

  private clamp(multiplier: bigint): bigint {
    const { multiplierMin, multiplierMax } = this.limits;
    if (multiplier < multiplierMin) return multiplierMin;
    return multiplier > multiplierMax ? multiplierMax : multiplier;
  }
}
