// Tells the plant network where the guest is now, more than once: a switch may have been just starting
// up, or have lost the first one.
//
// A board that was asleep meanwhile may have been followed by the other, and the switches would send it
// what is not its any more: it first listens for a moment, in which it is told and its gate closed.

const AFTER_MS = [0, 50, 500];
/** Below the shortest silence after which another board may have gone on. */
const LATE_MS = 30;

export class Announcer {
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
