// The age of the oldest log the follower has received or is yet to receive and not applied: how much a
// takeover now would have to replay, in real time. Pure. Messages are numbered from 1.

import { Fifo } from '../devices/fifo.ts';

export class LogLag {
  /** When each message behind the last applied one was sent. */
  private readonly sentMs = new Fifo<number>();
  private appliedThrough = 0;

  sent(nowMs: number): void {
    this.sentMs.push(nowMs);
  }

  /** Messages up to this number are behind the follower. */
  applied(through: number): void {
    const count = Math.min(through - this.appliedThrough, this.sentMs.length);
    if (count <= 0) return;
    this.sentMs.drop(count);
    this.appliedThrough += count;
  }

  lagMs(nowMs: number): number {
    const oldest = this.sentMs.first;
    return oldest === undefined ? 0 : Math.max(0, nowMs - oldest);
  }
}
