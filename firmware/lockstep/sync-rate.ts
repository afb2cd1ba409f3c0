// How fast sync-up may read and send, as somebody set it: so many bytes, then a wait. Pure.

/** More than any link or disk gives. */
export const SYNC_RATE_MIB_S_MAX = 100_000;
const BYTES_A_MIB = 1 << 20;
/** What was not used this long ago is not made up for. */
const BURST_MS = 50;

export class SyncRate {
  /** 0: as fast as it goes. */
  mibS: number;
  private freeMs = Number.NEGATIVE_INFINITY;

  constructor(mibS = 0) {
    this.mibS = mibS;
  }

  /** So much was read or sent; how long to wait before more is. */
  waitMs(bytes: number, nowMs: number): number {
    if (this.mibS === 0) return 0;
    const costMs = (bytes * 1000) / (this.mibS * BYTES_A_MIB);
    this.freeMs = Math.max(this.freeMs, nowMs - BURST_MS) + costMs;
    return Math.max(0, this.freeMs - nowMs);
  }
}
