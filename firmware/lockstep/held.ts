// What a follower's machine said too. The primary lets its own copy out and tells how far; what it has
// not told of is kept, because after a takeover it must leave from here: repeated perhaps, never lost.
// Pure. Numbers are those of the outputs, which are the same on both boards and only grow.

import { Fifo } from '../devices/fifo.ts';

export interface Numbered {
  readonly sequence: bigint;
}

export class HeldOutputs<T extends Numbered> {
  private readonly queue = new Fifo<T>();
  private released = 0n;

  get waiting(): number {
    return this.queue.length;
  }

  /** The primary may have been faster: what it has let out already is not kept. */
  put(items: readonly T[]): void {
    for (const item of items) if (item.sequence > this.released) this.queue.push(item);
  }

  /** The primary let out everything up to this number. */
  release(sequence: bigint): void {
    if (sequence <= this.released) return;
    this.released = sequence;
    const { queue } = this;
    while (queue.first !== undefined && queue.first.sequence <= sequence) queue.shift();
  }

  /** Everything the world may not have seen, in order; nothing is kept. */
  takeAll(): T[] {
    const items = this.queue.takeAll();
    this.clear();
    return items;
  }

  /** Another machine: numbers begin anew. */
  clear(): void {
    this.queue.clear();
    this.released = 0n;
  }
}
