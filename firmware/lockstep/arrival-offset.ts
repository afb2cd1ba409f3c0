// How far a follower's real time is from the guest's virtual time, learnt from the clock steps that
// arrive: a step is as late as its way was long, so the smallest difference is the best one. Two
// boards' clocks drift apart, so only the last while counts.
import type { VirtualNs } from '../devices/contracts.ts';

/** Samples count for one to two of these: 50 ppm of drift are 3 ms in it. */
export const ARRIVAL_WINDOW_NS = 30_000_000_000n;

export class ArrivalOffset {
  private startNs: bigint | undefined;
  private present: bigint | undefined;
  private before: bigint | undefined;

  /** A clock step to `ns` arrived at this real time. */
  note(realNs: bigint, ns: VirtualNs): void {
    this.startNs ??= realNs;
    if (realNs - this.startNs >= ARRIVAL_WINDOW_NS) {
      this.before = this.present;
      this.present = undefined;
      this.startNs = realNs;
    }
    this.present = smaller(this.present, realNs - ns);
  }

  /** Known from elsewhere: this board led until now. */
  assume(offsetNs: bigint): void {
    this.before = offsetNs;
  }

  /** Another life: its virtual time starts over. */
  reset(): void {
    this.startNs = undefined;
    this.present = undefined;
    this.before = undefined;
  }

  /** Real minus virtual time; undefined while nothing arrived. */
  get offsetNs(): bigint | undefined {
    return smaller(this.present, this.before);
  }
}

function smaller(a: bigint | undefined, b: bigint | undefined): bigint | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a < b ? a : b;
}
