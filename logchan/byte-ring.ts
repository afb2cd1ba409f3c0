// A stream's bytes between two offsets, in a buffer of fixed size. Offsets grow for ever, places in
// the buffer repeat; whoever uses it sees to it that no more than the capacity is alive at once.
import { assert } from './errors.ts';

export class ByteRing {
  readonly capacityBytes: number;
  private readonly buffer: Uint8Array;

  constructor(capacityBytes: number) {
    assert(capacityBytes > 0, 'a ring of nothing');
    this.capacityBytes = capacityBytes;
    this.buffer = new Uint8Array(capacityBytes);
  }

  /** Stores bytes[start, end) as the stream from `offset` on. */
  write(offset: number, bytes: Uint8Array, start: number, end: number): void {
    const at = offset % this.capacityBytes;
    const untilWrap = this.capacityBytes - at;
    if (end - start <= untilWrap) {
      copy(bytes, start, end, this.buffer, at);
    } else {
      copy(bytes, start, start + untilWrap, this.buffer, at);
      copy(bytes, start + untilWrap, end, this.buffer, 0);
    }
  }

  /** Copies `count` bytes of the stream from `offset` on to into[at]. */
  read(offset: number, count: number, into: Uint8Array, at: number): void {
    const from = offset % this.capacityBytes;
    const untilWrap = this.capacityBytes - from;
    if (count <= untilWrap) {
      copy(this.buffer, from, from + count, into, at);
    } else {
      copy(this.buffer, from, this.capacityBytes, into, at);
      copy(this.buffer, 0, count - untilWrap, into, at + untilWrap);
    }
  }

  byteAt(offset: number): number {
    return this.buffer[offset % this.capacityBytes] as number;
  }
}

/** Below this a loop is faster than making a view for set(). */
const LOOP_BYTES_MAX = 48;

function copy(from: Uint8Array, start: number, end: number, into: Uint8Array, at: number): void {
  if (end - start > LOOP_BYTES_MAX) {
    into.set(start === 0 && end === from.length ? from : from.subarray(start, end), at);
  } else {
    for (let i = start; i < end; i++) into[at++] = from[i] as number;
  }
}
