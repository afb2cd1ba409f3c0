// Sync-up, planned: when another round of copying pays, when the guest has to be slowed so that copying
// gains on it, when to stop it for the rest; and what to tell people meanwhile. Pure: the owner copies
// and tells how long it took.
//
// A round copies what was written during the one before. The guest stands still only while the last
// rest is copied aside in memory, so the rest is measured in bytes to copy, not in bytes to send.

export interface SyncPlanLimits {
  /** A rest of this many bytes of pages is copied aside well within the pause that is allowed. */
  readonly restPageBytes: number;
  /** The same for disk blocks, which are read from a file. */
  readonly restBlockBytes: number;
  /** From this round on the guest is slowed, more with each. */
  readonly throttleFromRound: number;
  /** After so many rounds it is stopped whatever is left. */
  readonly roundsMax: number;
  readonly shareMax: number;
}

export const SYNC_PLAN_LIMITS: SyncPlanLimits = {
  restPageBytes: 8 << 20,
  restBlockBytes: 1 << 20,
  throttleFromRound: 4,
  roundsMax: 16,
  shareMax: 0.8,
};

export type Verdict =
  | { readonly next: 'round'; readonly throttle: number }
  | { readonly next: 'stop'; readonly why: 'converged' | 'patience' };

const THROTTLE_A_ROUND = 0.15;
/** The last percents are for what nobody can foresee: the stop, and the target's start. */
const PERCENT_ROUNDS = 97;
const RATE_SMOOTHING = 0.3;

export class SyncPlan {
  round = 0;
  private readonly limits: SyncPlanLimits;
  /** Looked at so far, and in all. */
  doneBytes = 0;
  totalBytes = 0;
  private bytesPerMs = 0;
  private percentTold = 0;
  private percentBefore = 0;

  constructor(limits: SyncPlanLimits = SYNC_PLAN_LIMITS) {
    this.limits = limits;
  }

  /**
   * All of the disks to compare and all of the memory to copy, at first sight. `percentBefore`: where it stood when
   * it was interrupted, from which it goes on.
   */
  expect(bytes: number, percentBefore = 0): void {
    this.totalBytes = bytes;
    this.percentBefore = Math.min(percentBefore, PERCENT_ROUNDS);
  }

  /** So much was compared or copied, in so long. */
  worked(bytes: number, tookMs: number): void {
    this.doneBytes = Math.min(this.doneBytes + bytes, this.totalBytes);
    if (tookMs <= 0) return;
    const rate = bytes / tookMs;
    const isFirst = this.bytesPerMs === 0;
    this.bytesPerMs = isFirst ? rate : this.bytesPerMs + (rate - this.bytesPerMs) * RATE_SMOOTHING;
  }

  /** A round is done; so much was written meanwhile. */
  decide(restPageBytes: number, restBlockBytes: number): Verdict {
    const { limits } = this;
    const fits = restPageBytes <= limits.restPageBytes && restBlockBytes <= limits.restBlockBytes;
    if (fits) return { next: 'stop', why: 'converged' };
    this.round++;
    if (this.round >= limits.roundsMax) return { next: 'stop', why: 'patience' };
    const above = this.round - limits.throttleFromRound + 1;
    return {
      next: 'round',
      throttle: Math.min(limits.shareMax, Math.max(0, above) * THROTTLE_A_ROUND),
    };
  }

  /** Never goes back, and is 100 only when its owner says so. */
  get percent(): number {
    const share = this.doneBytes / Math.max(1, this.totalBytes);
    const { percentBefore } = this;
    const percent = percentBefore + Math.floor(share * (PERCENT_ROUNDS - percentBefore));
    this.percentTold = Math.max(this.percentTold, percent);
    return this.percentTold;
  }

  /** Whole seconds to go if all goes on like this; null before there is anything to go by. */
  get etaS(): number | null {
    if (this.bytesPerMs === 0) return null;
    const leftBytes = this.totalBytes - this.doneBytes;
    return Math.ceil(leftBytes / this.bytesPerMs / 1000);
  }
}
