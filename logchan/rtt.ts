// Round trip of frames: smoothed, its variation, and the lowest seen lately. Every frame has a counter
// of its own and says how long it was held, so a sample is never ambiguous (RFC 6298 with RFC 9002's
// idea of saying the delay).
import { PROBE_TIMEOUT_US_MAX, RTT_INITIAL_US, TIMER_GRAIN_US } from './limits.ts';

/** The lowest round trip is forgotten after one to two of these: cables and switches change. */
const LOWEST_PERIOD_US = 10_000_000;

export class RoundTrip {
  smoothedUs = RTT_INITIAL_US;
  variationUs = RTT_INITIAL_US / 2;
  latestUs = RTT_INITIAL_US;
  samples = 0;
  private lowest = Number.POSITIVE_INFINITY;
  private lowestBefore = Number.POSITIVE_INFINITY;
  private periodEndUs = Number.NEGATIVE_INFINITY;

  sample(rttUs: number, nowUs: number): void {
    const us = Math.max(1, rttUs);
    if (this.samples++ === 0) {
      this.smoothedUs = us;
      this.variationUs = us / 2;
    } else {
      this.variationUs += (Math.abs(this.smoothedUs - us) - this.variationUs) / 4;
      this.smoothedUs += (us - this.smoothedUs) / 8;
    }
    this.latestUs = us;
    if (nowUs >= this.periodEndUs) {
      this.lowestBefore = this.lowest;
      this.lowest = Number.POSITIVE_INFINITY;
      this.periodEndUs = nowUs + LOWEST_PERIOD_US;
    }
    this.lowest = Math.min(this.lowest, us);
  }

  /** What the link takes when nothing queues. */
  get lowestUs(): number {
    return this.samples === 0 ? RTT_INITIAL_US : Math.min(this.lowest, this.lowestBefore);
  }

  /** How long to wait for news of something sent, the `attempt`th time (0 first). */
  timeoutUs(attempt: number): number {
    const us = this.smoothedUs + Math.max(4 * this.variationUs, TIMER_GRAIN_US);
    return Math.min(PROBE_TIMEOUT_US_MAX, us * 2 ** Math.min(attempt, 16));
  }

  /** A frame this much later than one sent after it is not merely overtaken. */
  get reorderUs(): number {
    return Math.max(TIMER_GRAIN_US, (Math.max(this.smoothedUs, this.latestUs) * 9) / 8);
  }
}
