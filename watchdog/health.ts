// Is this board fit, and is it alive: one verdict from probes that each can fail. The watchdog is petted from this
// verdict only, while it is alive, and a backup that is not fit is not in step. Pure: the owner brings times and facts.

export const PROBES = ['loop', 'vcpu', 'channel', 'disk', 'resource'] as const;
export type Probe = (typeof PROBES)[number];

export interface HealthLimits {
  /** A turn of the event loop that took longer makes the board unfit until a good one. */
  readonly loopLagMs: number;
  /** A running vCPU whose position stands still this long is stuck. */
  readonly vcpuStuckMs: number;
  /** A write to the board's disk that has not come back after this long. */
  readonly diskMs: number;
}

export const DEFAULT_HEALTH_LIMITS: HealthLimits = {
  loopLagMs: 1_000,
  vcpuStuckMs: 2_000,
  diskMs: 4_000,
};

/** Whose limits say that it may stand still for long is not unfit for it: at the defaults nothing changes. */
export function healthLimitsFor(stallMs: number): HealthLimits {
  const { loopLagMs, vcpuStuckMs, diskMs } = DEFAULT_HEALTH_LIMITS;
  return {
    loopLagMs: Math.max(loopLagMs, stallMs),
    vcpuStuckMs: Math.max(vcpuStuckMs, 4 * stallMs),
    diskMs: Math.max(diskMs, 4 * stallMs),
  };
}

export interface Verdict {
  readonly ok: boolean;
  /** Bit n: `PROBES[n]` fails. */
  readonly bits: number;
  readonly words: readonly string[];
}

export class Health {
  private readonly limits: HealthLimits;
  private tickMs: number;
  private lagMs = 0;
  private position: bigint | null = null;
  private movedMs: number;
  private vcpuRuns = false;
  private diskSinceMs: number | null = null;
  private diskError: string | null = null;
  private channelError: string | null = null;
  private missing: string | null = null;

  constructor(limits: HealthLimits, nowMs: number) {
    this.limits = limits;
    this.tickMs = nowMs;
    this.movedMs = nowMs;
  }

  /** Once a tick, with the period the tick should have. */
  loop(nowMs: number, periodMs: number): void {
    this.lagMs = Math.max(0, nowMs - this.tickMs - periodMs);
    this.tickMs = nowMs;
  }

  /** `runs`: the vCPU should be making progress (not paused, not halted waiting for input). */
  vcpu(position: bigint, runs: boolean, nowMs: number): void {
    if (position !== this.position || !runs || !this.vcpuRuns) this.movedMs = nowMs;
    this.position = position;
    this.vcpuRuns = runs;
  }

  diskBegins(nowMs: number): void {
    this.diskSinceMs ??= nowMs;
  }

  diskEnds(error: string | null): void {
    this.diskSinceMs = null;
    this.diskError = error;
  }

  channel(error: string | null): void {
    this.channelError = error;
  }

  /** What the guest cannot be without and this board does not have. */
  resource(missing: string | null): void {
    this.missing = missing;
  }

  verdict(nowMs: number): Verdict {
    const { loopLagMs, vcpuStuckMs } = this.limits;
    const found: Record<Probe, string | null> = {
      loop: this.lagMs > loopLagMs ? `the event loop stood still for ${this.lagMs} ms` : null,
      vcpu:
        this.vcpuRuns && nowMs - this.movedMs > vcpuStuckMs
          ? `the vCPU has not moved for ${nowMs - this.movedMs} ms`
          : null,
      channel: this.channelError,
      disk:
        this.diskError ??
        (this.isDiskHung(nowMs)
          ? `a disk write has taken ${nowMs - (this.diskSinceMs ?? nowMs)} ms so far`
          : null),
      resource: this.missing,
    };
    const words = PROBES.flatMap((probe) => found[probe] ?? []);
    const bits = PROBES.reduce((all, probe, n) => all | (found[probe] === null ? 0 : 1 << n), 0);
    return { ok: bits === 0, bits, words };
  }

  /** False: what a reset may mend is wrong. What is missing or fails with an error comes back no sooner by one. */
  isAlive(nowMs: number): boolean {
    const { loopLagMs, vcpuStuckMs } = this.limits;
    const isStuck = this.vcpuRuns && nowMs - this.movedMs > vcpuStuckMs;
    return this.lagMs <= loopLagMs && !isStuck && !this.isDiskHung(nowMs);
  }

  private isDiskHung(nowMs: number): boolean {
    return this.diskSinceMs !== null && nowMs - this.diskSinceMs > this.limits.diskMs;
  }
}
