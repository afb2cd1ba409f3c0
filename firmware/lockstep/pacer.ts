// Virtual time follows real time: the rule, without a clock. The driver tells it real time whenever a
// slice ended; it answers with the clock step to inject, if one is due.
//
// The guest's time is one line: real time minus `offsetNs`, from its power-on to its power-off. A busy guest's
// time passes with its position, at a rate (multiplier) that is the measured speed of this host, so it is
// nearly right by itself and a step every few milliseconds corrects the rest. An idle guest's time stands
// still until a step says how late it is.
//
// Time never goes back, and never passes faster than a bound. A guest ahead of its line gets a slower clock. One
// behind it (its host stood still, another board led) gets a faster one: a quarter to twice as fast, about
// two seconds for what is missing. Every clock in the guest is made of this one, so Linux has nothing to find it
// wrong by; only what it measures against the world is so much off meanwhile. A short pause of the host is no loss:
// a guest of any hypervisor finds that time has passed while it did not run. But a step ends where a timer fires, and
// the rest is the next step's: a guest that counts ticks of the 8254 would lose what is passed over for good.
// Integers only.
import type { VirtualNs } from '../devices/contracts.ts';
import type { Position } from '../machine/engine.ts';

export interface PacerLimits {
  /** Between two steps of a busy guest. */
  readonly stepIntervalNs: bigint;
  /** A busy guest further ahead than this gets its step at once. */
  readonly aheadMaxNs: bigint;
  /** So much of a pause of the host passes in the guest as it did outside; the rest is made good. */
  readonly pauseMaxNs: bigint;
  /** A step goes no further than so far beyond the guest's next timer: each fires in its turn. */
  readonly beyondTimerNs: bigint;
  /** What is missing is made good in about this time, within the bounds of the gain. */
  readonly makeGoodNs: bigint;
  /** How much faster than real time the clock of a guest that is behind passes, in 1/1024. */
  readonly gainMin: bigint;
  readonly gainMax: bigint;
  /** How much of the lead one interval removes when the guest is ahead: 1/this. */
  readonly catchUpIntervals: bigint;
  /** Bounds of the clock rate, 32.32 ns a position. */
  readonly multiplierMin: bigint;
  readonly multiplierMax: bigint;
}

const ONE = 1n << 32n;
const GAIN_ONE = 1024n;

export const PACER_LIMITS: PacerLimits = {
  stepIntervalNs: 4_000_000n,
  aheadMaxNs: 2_000_000n,
  pauseMaxNs: 250_000_000n,
  beyondTimerNs: 500_000n,
  makeGoodNs: 2_000_000_000n,
  gainMin: GAIN_ONE / 4n,
  gainMax: GAIN_ONE,
  catchUpIntervals: 4n,
  multiplierMin: ONE / 8n,
  multiplierMax: 1024n * ONE,
};

/** What ran for less says little about the speed of this host. */
const SAMPLE_NS = 1_000_000n;

export interface ClockStep {
  readonly ns: VirtualNs;
  readonly multiplier: bigint;
}

export interface PacerNow {
  readonly realNs: bigint;
  readonly virtualNs: VirtualNs;
  readonly position: Position;
}
/** With the guest's next timer; undefined: none is set. */
export type PacerMoment = PacerNow & { readonly timerNs: VirtualNs | undefined };

export class Pacer {
  /** Real minus virtual time, as they should stay apart: the line. */
  readonly offsetNs: bigint;
  /** Virtual time beyond its line when the guest last looked; negative: it is behind. */
  errorNs = 0n;
  /** The furthest from the line it has been. */
  worstNs = 0n;
  private readonly limits: PacerLimits;
  /** The last step, or the start. */
  private mark: PacerNow;
  /** Since then virtual time may pass so much faster than real time, in 1/1024. */
  private gain: bigint;
  /** And has so much to pass at once, which a timer was in the way of. */
  private owedNs = 0n;
  /** Measured rate, smoothed; the machine's own before there is a measurement. */
  private rate: bigint;
  /** What ran and is not in the rate yet. */
  private ran = { ns: 0n, positions: 0n };

  constructor(
    options: PacerNow & {
      multiplier: bigint;
      /** Where the guest had a line before; undefined: it begins here. */
      offsetNs?: bigint | undefined;
      limits?: PacerLimits;
    },
  ) {
    const { realNs, virtualNs, position, multiplier, offsetNs, limits } = options;
    this.limits = limits ?? PACER_LIMITS;
    this.offsetNs = offsetNs ?? realNs - virtualNs;
    this.mark = { realNs, virtualNs, position };
    this.gain = this.gainFor(this.targetNs(realNs) - virtualNs);
    this.rate = multiplier;
    this.observe(this.mark);
  }

  /** Where virtual time should be at this real time. */
  targetNs(realNs: bigint): VirtualNs {
    return realNs - this.offsetNs;
  }

  /** Real time at which virtual time reaches `ns` if the guest idles: how long it may sleep. */
  realNsOf(ns: VirtualNs): bigint {
    const onLine = ns + this.offsetNs;
    if (this.gain === 0n) return onLine;
    // Rounded up: at that time it must have been reached.
    const per = GAIN_ONE + this.gain;
    const left = ns - this.mark.virtualNs - this.owedNs;
    const made = this.mark.realNs + (left * GAIN_ONE + per - 1n) / per + 1n;
    return made > onLine ? made : onLine;
  }

  /** The last step ended at a timer, short of where time is: let it fire, and step again. */
  get isOwing(): boolean {
    return this.owedNs > 0n;
  }

  /** What the guest sees now; call it where it begins to run and where it stopped. */
  observe({ realNs, virtualNs }: Pick<PacerNow, 'realNs' | 'virtualNs'>): void {
    this.errorNs = virtualNs - this.targetNs(realNs);
    if (size(this.errorNs) > size(this.worstNs)) this.worstNs = this.errorNs;
  }

  /** The step for a busy guest at the end of a slice, at most one an interval unless it runs ahead. */
  busy(now: PacerMoment): ClockStep | undefined {
    const elapsed = now.realNs - this.mark.realNs;
    const ahead = now.virtualNs - this.targetNs(now.realNs);
    const { stepIntervalNs, aheadMaxNs, pauseMaxNs } = this.limits;
    const isEarly = elapsed < stepIntervalNs && (ahead <= aheadMaxNs || elapsed < SAMPLE_NS);
    if (isEarly && !this.isOwing) return undefined;
    this.measure(now);
    return this.step(now, least(elapsed, pauseMaxNs));
  }

  /** The guest idles from here on: until it wakes, its speed cannot be seen. */
  idles(now: PacerNow): void {
    this.measure(now);
  }

  /** The step that wakes an idle guest. `dueNs`: real time at which it was to wake by itself. */
  wake(now: PacerMoment, dueNs: bigint | undefined): ClockStep {
    const elapsed = now.realNs - this.mark.realNs;
    const planned = dueNs === undefined ? elapsed : dueNs - this.mark.realNs;
    return this.step(now, least(elapsed, most(planned, 0n) + this.limits.pauseMaxNs));
  }

  /** `passedNs`: of the real time since the last step, what the guest may find to have passed. */
  private step(now: PacerMoment, passedNs: bigint): ClockStep {
    const { realNs, virtualNs, position, timerNs } = now;
    const target = this.targetNs(realNs);
    const passed = this.owedNs + passedNs + (passedNs * this.gain) / GAIN_ONE;
    const reached = most(virtualNs, least(target, this.mark.virtualNs + passed));
    const hasTimer = timerNs !== undefined && timerNs > virtualNs;
    const ns = hasTimer ? least(reached, timerNs + this.limits.beyondTimerNs) : reached;
    this.owedNs = reached - ns;
    this.gain = this.gainFor(target - reached);
    this.mark = { realNs, virtualNs: ns, position };
    const faster = (this.rate * (GAIN_ONE + this.gain)) / GAIN_ONE;
    return { ns, multiplier: this.clamp(ns > target ? this.slower(ns - target) : faster) };
  }

  private gainFor(missingNs: bigint): bigint {
    if (missingNs <= 0n) return 0n;
    const { makeGoodNs, gainMin, gainMax } = this.limits;
    return least(gainMax, most(gainMin, (missingNs * GAIN_ONE) / makeGoodNs));
  }

  /** Slower than real time, so that the lead shrinks by a part each interval; half as fast at least. */
  private slower(aheadNs: bigint): bigint {
    const horizon = this.limits.stepIntervalNs * this.limits.catchUpIntervals;
    return most(this.rate / 2n, (this.rate * horizon) / (horizon + aheadNs));
  }

  /** Takes in what ran since the last step. A long interval is a stall of the host, not its speed. */
  private measure({ realNs, position }: PacerNow): void {
    const elapsed = realNs - this.mark.realNs;
    if (elapsed > 4n * this.limits.stepIntervalNs) return;
    const ns = this.ran.ns + elapsed;
    const positions = this.ran.positions + (position - this.mark.position);
    if (ns < SAMPLE_NS || positions <= 0n) {
      this.ran = { ns, positions };
      return;
    }
    this.ran = { ns: 0n, positions: 0n };
    const sample = this.clamp((ns << 32n) / positions);
    // A guest that is faster than thought runs ahead, and time cannot go back: believed sooner.
    this.rate =
      sample < this.rate
        ? (this.rate + sample) / 2n
        : (this.rate * 3n + least(sample, 2n * this.rate)) / 4n;
  }

  private clamp(multiplier: bigint): bigint {
    const { multiplierMin, multiplierMax } = this.limits;
    return most(multiplierMin, least(multiplierMax, multiplier));
  }
}

const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);
const most = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const size = (value: bigint): bigint => (value < 0n ? -value : value);
