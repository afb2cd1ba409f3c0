// What could not be told yet, in order and bounded: the oldest go first when there are too many, and
// how many went is known.

/** Events kept while the broker is away. */
export const BACKLOG_MAX = 1_000;

export class Backlog<T> {
  lost = 0;
  private readonly max: number;
  private items: T[] = [];

  constructor(max: number) {
    this.max = max;
  }

  push(item: T): void {
    this.items.push(item);
    if (this.items.length <= this.max) return;
    this.items.shift();
    this.lost++;
  }

  take(): T[] {
    const { items } = this;
    this.items = [];
    return items;
  }
}
