// What was sent of a stream and is not yet acknowledged from its start: pieces in stream order, each
// with the frame that carried it last. Objects are reused: a sender makes and drops thousands a second.
import { assert } from './errors.ts';

export const SENT = { inFlight: 0, received: 1, lost: 2 } as const;

export interface Segment {
  offset: number;
  end: number;
  /** Counter of the frame that carried it last, over which path, and when that left. */
  counter: number;
  path: number;
  sentUs: number;
  /** inFlight: nothing is known; received: behind a gap; lost: to be sent again. */
  state: (typeof SENT)[keyof typeof SENT];
  /** How often it was sent. More than once, and its counter no longer follows stream order. */
  sends: number;
}

function segment(): Segment {
  return { offset: 0, end: 0, counter: 0, path: 0, sentUs: 0, state: SENT.inFlight, sends: 0 };
}

export class SegmentQueue {
  count = 0;
  private items: Segment[] = Array.from({ length: 64 }, segment);
  private head = 0;

  at(index: number): Segment {
    return this.items[(this.head + index) & (this.items.length - 1)] as Segment;
  }

  /** A segment at the end, to be filled in by the caller. */
  push(): Segment {
    if (this.count === this.items.length) this.grow();
    return this.at(this.count++);
  }

  shift(): void {
    assert(this.count > 0, 'shift of an empty queue');
    this.head = (this.head + 1) & (this.items.length - 1);
    this.count--;
  }

  /** Cuts the segment at `index` in two at `offset`; the second part has the same history. */
  split(index: number, offset: number): void {
    const first = this.at(index);
    assert(first.offset < offset && offset < first.end, 'a split outside the segment');
    this.push();
    const mask = this.items.length - 1;
    const spare = this.at(this.count - 1);
    for (let i = this.count - 1; i > index + 1; i--) {
      this.items[(this.head + i) & mask] = this.at(i - 1);
    }
    this.items[(this.head + index + 1) & mask] = spare;
    Object.assign(spare, first);
    spare.offset = offset;
    first.end = offset;
  }

  /** Makes one segment of those at `index` and the `more` after it. */
  merge(index: number, more: number): void {
    if (more === 0) return;
    this.at(index).end = this.at(index + more).end;
    const mask = this.items.length - 1;
    const spares = Array.from({ length: more }, (_, i) => this.at(index + 1 + i));
    for (let i = index + 1 + more; i < this.count; i++) {
      this.items[(this.head + i - more) & mask] = this.at(i);
    }
    this.count -= more;
    spares.forEach((spare, i) => {
      this.items[(this.head + this.count + i) & mask] = spare;
    });
  }

  /** Index of the first segment that ends beyond `offset`; `count` when none does. */
  find(offset: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.at(middle).end > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  private grow(): void {
    const ordered = Array.from({ length: this.count }, (_, i) => this.at(i));
    while (ordered.length < 2 * this.count) ordered.push(segment());
    this.items = ordered;
    this.head = 0;
  }
}
