// The age of the oldest log the follower has received or is yet to receive and not applied: how much a
// takeover now would have to replay, in real time. Pure. Messages are numbered from 1.

export class LogLag {
  /** When message `first + i` was sent. */
  private sentMs: number[] = [];
  private first = 1;
  private head = 0;

  sent(nowMs: number): void {
    this.sentMs.push(nowMs);
  }

  /** Messages up to this number are behind the follower. */
  applied(through: number): void {
    const count = Math.min(through - this.first + 1, this.sentMs.length);
    if (count <= this.head) return;
    this.head = count;
    if (this.head < 1024) return;
    this.sentMs = this.sentMs.slice(this.head);
    this.first += this.head;
    this.head = 0;
  }

  lagMs(nowMs: number): number {
    const oldest = this.sentMs[this.head];
    return oldest === undefined ? 0 : Math.max(0, nowMs - oldest);
  }
}
