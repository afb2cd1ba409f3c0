// The output gate (Output Rule): what the guest says waits here until the peer holds the log that led
// to it. Pure. Each item comes with its cover, the number of log messages that must be in the peer's
// memory before the world may see it; items leave in the order they came.
//
//     closed  nothing leaves
//     acked   what is covered by an acknowledgement leaves
//     open    everything leaves: nobody else can go on from here
import { strict as assert } from 'node:assert';
import { Fifo } from '../devices/fifo.ts';

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
  private readonly queue = new Fifo<Waiting<T>>();
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
    const { first } = this.queue;
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
    for (const waiting of this.queue.takeAll()) this.queue.push({ ...waiting, cover: UNCOVERED });
  }

  put(items: readonly T[], cover: number, nowMs: number): void {
    const last = this.queue.last?.cover ?? 0;
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
    return this.queue.takeAll().map(({ item }) => item);
  }

  private flush(): void {
    const { queue } = this;
    if (this.current === 'closed') return;
    const through = this.current === 'open' ? UNCOVERED : this.ackedThrough;
    const leaving: T[] = [];
    while (queue.first !== undefined && queue.first.cover <= through) {
      leaving.push(queue.first.item);
      queue.shift();
    }
    if (leaving.length > 0) this.release(leaving);
  }
}
