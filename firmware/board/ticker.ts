// Calls back every period by CLOCK_BOOTTIME, without adding up the delays of timers; late calls are
// not caught up with. Counts how late it was: on a board that keeps its promises it is not.

export interface TickCounters {
  readonly ticks: number;
  /** Later than one whole period. */
  readonly late: number;
  readonly worstLateMs: number;
}

const EARLY_MS = 0.5;

export class Ticker {
  private readonly periodMs: number;
  private readonly nowMs: () => number;
  private readonly onTick: (nowMs: number) => void;
  private timer: NodeJS.Timeout | null = null;
  private dueMs = 0;
  private ticks = 0;
  private late = 0;
  private worstLateMs = 0;

  constructor(periodMs: number, nowMs: () => number, onTick: (nowMs: number) => void) {
    this.periodMs = periodMs;
    this.nowMs = nowMs;
    this.onTick = onTick;
  }

  get counters(): TickCounters {
    return { ticks: this.ticks, late: this.late, worstLateMs: this.worstLateMs };
  }

  start(): void {
    this.dueMs = this.nowMs() + this.periodMs;
    this.arm(this.periodMs);
  }

  stop(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  private arm(delayMs: number): void {
    this.timer = setTimeout(() => this.turn(), Math.max(1, delayMs));
  }

  private turn(): void {
    const nowMs = this.nowMs();
    const lateMs = nowMs - this.dueMs;
    // Timers count from when the event loop last looked at the clock: after a long turn, too early.
    if (lateMs < -EARLY_MS) {
      this.arm(-lateMs);
      return;
    }
    this.ticks += 1;
    if (lateMs > this.periodMs) this.late += 1;
    this.worstLateMs = Math.max(this.worstLateMs, lateMs);
    this.dueMs = Math.max(this.dueMs + this.periodMs, nowMs + 1);
    this.arm(this.dueMs - nowMs);
    this.onTick(nowMs);
  }
}
