// A queue whose head moves: taking from the front of a long array would move all the rest, every time.
// What was taken is dropped once it is many and half of all, so every item moves once at most.

const COMPACT_FROM = 1024;

export class Fifo<T> implements Iterable<T> {
  private items: T[];
  private head = 0;

  constructor(items: Iterable<T> = []) {
    this.items = [...items];
  }

  get length(): number {
    return this.items.length - this.head;
  }

  get first(): T | undefined {
    return this.items[this.head];
  }

  get last(): T | undefined {
    return this.length === 0 ? undefined : this.items[this.items.length - 1];
  }

  push(item: T): void {
    this.items.push(item);
  }

  // In the place of the last one, which must be there.
  replaceLast(item: T): void {
    if (this.length === 0) throw new Error('an empty queue has no last item');
    this.items[this.items.length - 1] = item;
  }

  shift(): T | undefined {
    const item = this.items[this.head];
    this.drop(1);
    return item;
  }

  // The first so many, or as many as there are.
  drop(count: number): void {
    this.head = Math.min(this.head + count, this.items.length);
    if (this.head === this.items.length) this.clear();
    else if (this.head >= COMPACT_FROM && this.head * 2 >= this.items.length) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
  }

  // Everything, in order; nothing is left.
  takeAll(): T[] {
    const items = this.items.slice(this.head);
    this.clear();
    return items;
  }

  clear(): void {
    this.items = [];
    this.head = 0;
  }

  *[Symbol.iterator](): Generator<T> {
    for (let at = this.head; at < this.items.length; at++) yield this.items[at]!;
  }
}
