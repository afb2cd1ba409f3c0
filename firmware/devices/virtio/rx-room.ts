// Where what came from outside waits for the guest's receive buffers, in order and up to a bound: frames
// of a network card, bytes of a console. What comes while no driver is there is lost, as on a cable that
// is not plugged in; a full room drops the newest. Both are counted.

import { Fifo } from '../fifo.ts';
import type { Chain } from './chain.ts';
import type { VirtioPci } from './pci.ts';

export type RxCounters = {
  rxNoDriver: number; // the guest has no driver running
  rxWaitingFull: number; // the guest gives no buffers and the room is full
};

export class RxRoom<Unit> {
  private readonly pci: VirtioPci;
  private readonly queue: number;
  private readonly unitsMax: number;
  private readonly deliver: (chain: Chain) => void;
  private waiting = new Fifo<Unit>();

  // `deliver` fills a buffer of the guest with what it takes.
  constructor(options: {
    pci: VirtioPci;
    queue: number;
    unitsMax: number;
    deliver: (chain: Chain) => void;
  }) {
    this.pci = options.pci;
    this.queue = options.queue;
    this.unitsMax = options.unitsMax;
    this.deliver = options.deliver;
  }

  get length(): number {
    return this.waiting.length;
  }

  // In order, as far as there is room.
  receive(units: ArrayLike<Unit> & Iterable<Unit>, counters: RxCounters): void {
    if (!this.pci.isReady(this.queue)) {
      counters.rxNoDriver += units.length;
      return;
    }
    for (const unit of units) {
      if (this.waiting.length < this.unitsMax) this.waiting.push(unit);
      else counters.rxWaitingFull++;
    }
    this.serve();
  }

  // Takes buffers as long as anything waits.
  serve(): void {
    this.pci.drain(this.queue, this.deliver, () => this.waiting.length > 0);
  }

  // The longest waiting one, which must be there.
  take(): Unit {
    if (this.waiting.length === 0) throw new Error('nothing waits');
    return this.waiting.shift()!;
  }

  // The newest, if it has to wait, in another form.
  keepNewest(keep: (unit: Unit) => Unit): void {
    const { last } = this.waiting;
    if (last !== undefined) this.waiting.replaceLast(keep(last));
  }

  clear(): void {
    this.waiting.clear();
  }

  units(): Unit[] {
    return [...this.waiting];
  }

  restore(units: Iterable<Unit>): void {
    this.waiting = new Fifo(units);
  }
}
