// How far this board's clock and its peer's are apart, from questions and answers with four times, as NTP
// has them: asked (here), received (there), answered (there), heard (here). Wherever on the two ways the
// delay was, each answer gives bounds that cannot be wrong; bounds of several are met, and widen with the
// time since, because two clocks drift. Pure.

export interface ClockAnswer {
  readonly askedNs: bigint;
  readonly receivedNs: bigint;
  readonly answeredNs: bigint;
  readonly heardNs: bigint;
}

export interface PeerClockOffset {
  /** This board's clock minus the peer's. */
  readonly offsetNs: bigint;
  /** It is not further from it than that. */
  readonly errorNs: bigint;
}

/** Two crystals, and what an NTP daemon lets each kernel slew: a millionth part. */
export const DRIFT_MAX_PPM = 500n;

export class PeerClock {
  /** Of own minus peer's clock, at `atNs` here. */
  private bounds:
    | { readonly fromNs: bigint; readonly toNs: bigint; readonly atNs: bigint }
    | undefined;
  private isStale = false;

  /** False: an answer that no clock could give. */
  note({ askedNs, receivedNs, answeredNs, heardNs }: ClockAnswer): boolean {
    // The question arrived after it left, the answer was heard after it was given.
    const fresh = { fromNs: askedNs - receivedNs, toNs: heardNs - answeredNs, atNs: heardNs };
    if (fresh.fromNs > fresh.toNs || answeredNs < receivedNs || heardNs < askedNs) return false;
    const { bounds } = this;
    this.bounds = fresh;
    if (this.isStale || bounds === undefined) {
      this.isStale = false;
      return true;
    }
    const drift = driftNs(heardNs - bounds.atNs);
    const fromNs = most(fresh.fromNs, bounds.fromNs - drift);
    const toNs = least(fresh.toNs, bounds.toNs + drift);
    // Bounds that do not meet: one of the clocks was set, or slewed faster than any is.
    if (fromNs <= toNs) this.bounds = { fromNs, toNs, atNs: heardNs };
    return true;
  }

  /** The peer may have started anew: the next answer is a new beginning. What is known counts until then. */
  renew(): void {
    this.isStale = true;
  }

  /** Undefined: the peer has not answered yet. */
  at(nowNs: bigint): PeerClockOffset | undefined {
    const { bounds } = this;
    if (bounds === undefined) return undefined;
    const { fromNs, toNs, atNs } = bounds;
    return {
      offsetNs: (fromNs + toNs) / 2n,
      errorNs: (toNs - fromNs + 1n) / 2n + driftNs(nowNs - atNs),
    };
  }
}

const driftNs = (passedNs: bigint): bigint => (passedNs * DRIFT_MAX_PPM) / 1_000_000n + 1n;
const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);
const most = (a: bigint, b: bigint): bigint => (a > b ? a : b);
