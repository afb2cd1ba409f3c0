// Simulated time: what is to happen, in order. Two things at the same moment come as they were asked.

interface Entry {
  readonly atMs: number;
  readonly run: () => void;
}

export class Timeline {
  nowMs = 0;
  private readonly queue: Entry[] = [];

  in(delayMs: number, run: () => void): void {
    const entry = { atMs: this.nowMs + delayMs, run };
    const { queue } = this;
    let low = 0;
    let high = queue.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((queue[middle] as Entry).atMs <= entry.atMs) low = middle + 1;
      else high = middle;
    }
    queue.splice(low, 0, entry);
  }

  /** Stops early when `goesOn` says no. */
  until(endMs: number, goesOn: () => boolean): void {
    while (goesOn()) {
      const next = this.queue[0];
      if (next === undefined || next.atMs > endMs) break;
      this.queue.shift();
      this.nowMs = next.atMs;
      next.run();
    }
    this.nowMs = endMs;
  }
}
