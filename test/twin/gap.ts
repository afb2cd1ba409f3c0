// How long nobody was answered.

/** The longest time without an answer, while one was due. */
export class Gap {
  longestMs = 0;
  private lastMs = performance.now();

  answer(nowMs: number): void {
    this.longestMs = Math.max(this.longestMs, nowMs - this.lastMs);
    this.lastMs = nowMs;
  }

  /** Nothing was due up to now. */
  idle(nowMs: number): void {
    this.lastMs = nowMs;
  }

  /** Of the time since the last call, the gap that lasts now with all its length. */
  take(nowMs: number): number {
    const longest = Math.max(this.longestMs, nowMs - this.lastMs);
    this.longestMs = 0;
    return longest;
  }
}
