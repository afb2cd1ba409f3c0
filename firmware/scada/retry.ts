// How long to wait before the next attempt: doubling, bounded, and with jitter, so that a plant full of
// boards does not come back to its broker in one moment. Pure: the owner brings the randomness.
export const RETRY = { firstMs: 500, mostMs: 30_000 } as const;

export class Retry {
  private readonly limits: { readonly firstMs: number; readonly mostMs: number };
  private failures = 0;

  constructor(limits: { readonly firstMs: number; readonly mostMs: number } = RETRY) {
    this.limits = limits;
  }

  /** `random` in [0, 1). Between half of the present step and all of it. */
  nextMs(random: number): number {
    const { firstMs, mostMs } = this.limits;
    const step = Math.min(mostMs, firstMs * 2 ** this.failures);
    this.failures++;
    return step * (0.5 + random / 2);
  }

  /** Once a connection has proven itself. */
  succeeded(): void {
    this.failures = 0;
  }
}
