// How far the backup is behind, and what the primary does about it. Pure; the owner tells the time.
//
// A backup behind is no danger to what was said (Output Rule), but a takeover has to replay what is
// missing. Above the soft bound the guest is slowed, a little more with every step that does not help,
// until the backup gains on it; above the hard bound for too long the backup is let go and service
// goes on without. Before the next sync-up there is a pause that grows while this repeats itself.

export interface LagLimits {
  readonly stepMs: number;
  /** A takeover from here is as fast as one in step. */
  readonly softMs: number;
  /** A takeover from here is felt. */
  readonly hardMs: number;
  /** So long above the hard bound, throttled as far as allowed: it cannot keep up. */
  readonly patienceMs: number;
  /** Share of the time a guest is held back, at most. */
  readonly shareMax: number;
  readonly backOffMs: { readonly first: number; readonly max: number; readonly forgetMs: number };
}

export const LAG_LIMITS: LagLimits = {
  stepMs: 50,
  softMs: 40,
  hardMs: 1_000,
  patienceMs: 5_000,
  shareMax: 0.8,
  backOffMs: { first: 5_000, max: 300_000, forgetMs: 600_000 },
};

/** Above the soft bound the share grows with the excess; below it, it shrinks by a quarter a step. */
const SHARE_A_STEP = 0.05;
const RELIEF = 0.75;
const SHARE_MIN = 0.01;

export class LagGovernor {
  private readonly limits: LagLimits;
  private steppedMs = Number.NEGATIVE_INFINITY;
  private hardSinceMs: number | undefined;
  private current = 0;
  private lastLagMs = Number.POSITIVE_INFINITY;

  constructor(limits: LagLimits = LAG_LIMITS) {
    this.limits = limits;
  }

  /** Share of the time the guest is to be held back. */
  get share(): number {
    return this.current;
  }

  /** Call it often; it decides at its own pace. 'drop': the backup cannot keep up. */
  step(lagMs: number, nowMs: number): 'changed' | 'same' | 'drop' {
    const { stepMs, hardMs, patienceMs } = this.limits;
    if (lagMs <= hardMs) this.hardSinceMs = undefined;
    else this.hardSinceMs ??= nowMs;
    if (this.hardSinceMs !== undefined && nowMs - this.hardSinceMs >= patienceMs) return 'drop';
    if (nowMs - this.steppedMs < stepMs) return 'same';
    this.steppedMs = nowMs;
    const before = this.current;
    this.current = this.next(lagMs);
    return this.current === before ? 'same' : 'changed';
  }

  private next(lagMs: number): number {
    const { softMs, shareMax, stepMs } = this.limits;
    // A backup that gains on the guest as it is, or has only just begun, needs no help.
    const isGaining = lagMs < this.lastLagMs - stepMs / 4;
    this.lastLagMs = lagMs;
    if (lagMs > softMs) {
      if (isGaining) return this.current;
      const urgency = Math.min(4, lagMs / softMs);
      return Math.min(shareMax, this.current + SHARE_A_STEP * urgency);
    }
    const relieved = this.current * RELIEF;
    return relieved < SHARE_MIN ? 0 : relieved;
  }

  /** The backup counts from here on: what it was behind before is forgiven. */
  forgive(): void {
    this.hardSinceMs = undefined;
  }

  /** Another backup, or none. */
  reset(): void {
    this.current = 0;
    this.lastLagMs = Number.POSITIVE_INFINITY;
    this.hardSinceMs = undefined;
    this.steppedMs = Number.NEGATIVE_INFINITY;
  }
}

/** The pause before a backup that was let go may come back. */
export class BackOff {
  private readonly limits: LagLimits['backOffMs'];
  private times = 0;
  private lastMs = Number.NEGATIVE_INFINITY;
  private untilMs = Number.NEGATIVE_INFINITY;

  constructor(limits: LagLimits['backOffMs'] = LAG_LIMITS.backOffMs) {
    this.limits = limits;
  }

  dropped(nowMs: number): void {
    const { first, max, forgetMs } = this.limits;
    if (nowMs - this.lastMs > forgetMs) this.times = 0;
    this.lastMs = nowMs;
    this.untilMs = nowMs + Math.min(max, first * 2 ** this.times);
    this.times++;
  }

  /** How long a sync-up has to wait; 0: not at all. */
  waitMs(nowMs: number): number {
    return Math.max(0, this.untilMs - nowMs);
  }
}
