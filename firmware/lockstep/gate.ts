// The output gate (Output Rule): what the guest says waits here until the peer holds the log that led
// to it. Pure. Each item comes with its cover, the number of log messages that must be in the peer's
// memory before the world may see it; items leave in the order they came.
//
//     closed  nothing leaves
//     acked   what is covered by an acknowledgement leaves
//     open    everything leaves: nobody else can go on from here
import { strict as assert } from 'node:assert';

export type GateMode = 'closed' | 'acked' | 'open';

/** The cover of what is said while nobody takes the log: only an open gate lets it out. */
export const UNCOVERED = Number.POSITIVE_INFINITY;

interface Waiting<T> {
  readonly item: T;
  readonly cover: number;
  readonly sinceMs: number;
}

export class OutputGate<T> {
  private readonly release: (items: readonly T[]) => void;
  private queue: Waiting<T>[] = [];
  private current: GateMode = 'closed';
  private ackedThrough = 0;

  /** `release` is called with what leaves, in order, never with nothing. */
  constructor(release: (items: readonly T[]) => void) {
    this.release = release;
  }

  get mode(): GateMode {
    return this.current;
  }

  get waiting(): number {
    return this.queue.length;
  }

  oldestMs(nowMs: number): number {
    const first = this.queue[0];
    return first === undefined ? 0 : nowMs - first.sinceMs;
  }

  /** Takes effect before it returns. */
  setMode(mode: GateMode): void {
    this.current = mode;
    this.flush();
  }

  /** Covers are counted anew from here; items that wait keep only what an open gate gives them. */
  restart(): void {
    this.ackedThrough = 0;
    this.queue = this.queue.map((waiting) => ({ ...waiting, cover: UNCOVERED }));
  }

  put(items: readonly T[], cover: number, nowMs: number): void {
    const last = this.queue.at(-1)?.cover ?? 0;
    assert.ok(cover >= 0, `a cover of ${cover}`);
    // One that left an older stream's numbers behind: what came later must not overtake it.
    const waitsFor = Math.max(cover, last);
    for (const item of items) this.queue.push({ item, cover: waitsFor, sinceMs: nowMs });
    this.flush();
  }

  /** The peer's memory holds this many log messages of the stream that covers count. */
  acked(through: number): void {
    if (through <= this.ackedThrough) return;
    this.ackedThrough = through;
    this.flush();
  }

  /** What has not left and now never will from here. */
  takeAll(): T[] {
    const items = this.queue.map(({ item }) => item);
    this.queue = [];
    return items;
  }

  private flush(): void {
    if (this.current === 'closed' || this.queue.length === 0) return;
    let count = 0;
    const through = this.current === 'open' ? UNCOVERED : this.ackedThrough;
    while (count < this.queue.length && this.queue[count]!.cover <= through) count++;
    if (count === 0) return;
    const leaving = this.queue.splice(0, count).map(({ item }) => item);
    this.release(leaving);
  }
}
