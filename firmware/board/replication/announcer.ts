// When a new primary tells the plant network that the guest is here now. It does so more than once: a
// switch may have been just starting up, or have lost the first frame.
//
// A primary that slept over such a moment may be none any more: the backup may have taken over meanwhile, and
// an announcement would turn the switches away from it. So a late one waits LATE_MS again. In that time the
// board hears of the newer reign, and its caller stops this announcer.

const AFTER_MS = [0, 50, 500];
/** Below the shortest silence after which another board may have gone on. */
const LATE_MS = 30;

export class Announcer {
  /** Sends the frames. */
  private readonly announce: (isFirst: boolean) => void;
  private readonly nowMs: () => number;
  private timers: NodeJS.Timeout[] = [];

  constructor(announce: (isFirst: boolean) => void, nowMs: () => number) {
    this.announce = announce;
    this.nowMs = nowMs;
  }

  start(): void {
    this.stop();
    for (const [n, ms] of AFTER_MS.entries()) this.after(ms, n === 0);
  }

  stop(): void {
    for (const timer of this.timers.splice(0)) clearTimeout(timer);
  }

  private after(ms: number, isFirst: boolean): void {
    const dueMs = this.nowMs() + ms;
    const timer = setTimeout(() => {
      if (this.nowMs() - dueMs > LATE_MS) this.after(LATE_MS, isFirst);
      else this.announce(isFirst);
    }, ms);
    this.timers.push(timer);
  }
}
