// A board that follows: the machine runs along the log of the leading one, with the completions of
// the local disks. It never goes beyond what it was given, and stops for good at the first difference.
//
// Lives are items of the log like entries: at one the machine must have stopped, and the caller
// switches the guest on again (`restart`, then `attach`). The line of the guest's clock comes with the log, too.

import type { Input, SerialPortName } from '../../devices/contracts.ts';
import { Fifo } from '../../devices/fifo.ts';
import { type Birth, type Item, ItemReader } from '../../lockstep/item-stream.ts';
import type { OutputCounter } from '../../lockstep/outputs.ts';
import { type Divergence, Replayer } from '../../lockstep/replayer.ts';
import type { StopReason } from '../../machine/machine-types.ts';
import type { GuestDevices } from '../../machine/plug.ts';
import type { Life } from './life.ts';
import type { Line } from './line.ts';
import { Replica } from './replica.ts';

export type FollowNext =
  | { readonly kind: 'run' }
  /** All that was given is applied, or the local replica is not so far. */
  | { readonly kind: 'wait'; readonly for: 'log' | 'disk' }
  | { readonly kind: 'restart'; readonly birth: Birth }
  | { readonly kind: 'diverged'; readonly divergence: Divergence }
  /** The log ended in order, and the guest with it. */
  | { readonly kind: 'stopped'; readonly reason: StopReason };

/** A busy leader writes a clock step every few milliseconds; no entry is so far from the next. */
const GAP_MAX = 1n << 30n;
const RUN: FollowNext = { kind: 'run' };
const WAIT = { log: { kind: 'wait', for: 'log' }, disk: { kind: 'wait', for: 'disk' } } as const;

export class Follow {
  readonly role = 'following';
  readonly outputs: OutputCounter;
  /** Inputs that came after go-live was asked for: they wait for it. */
  readonly early: Input[] = [];

  /** Of the guest's clock; undefined: not told yet in this life. */
  line: Line | undefined;

  private readonly devices: GuestDevices;
  private replica: Replica;
  private reader = new ItemReader();
  private readonly items = new Fifo<Item>();
  private itemsPushed = 0;
  /** How many items had been pushed with each piece that is not applied to its end. */
  private readonly pieceEnds = new Fifo<number>();
  private piecesApplied = 0;
  private life: Life;
  private replayer: Replayer;

  constructor(options: { life: Life; devices: GuestDevices; outputs: OutputCounter }) {
    this.life = options.life;
    this.devices = options.devices;
    this.outputs = options.outputs;
    this.replica = new Replica(this.life.pendingRequests());
    this.replayer = this.replayerOf(this.life);
  }

  /** Entries applied since this board began to follow. */
  get entries(): number {
    return this.replayer.applied;
  }

  /** Items that are still to be applied. */
  get backlog(): number {
    return this.items.length + this.replayer.backlog;
  }

  /** Pieces applied to their last item. */
  get pieces(): number {
    const applied = this.itemsPushed - this.backlog;
    const { pieceEnds } = this;
    while (pieceEnds.first !== undefined && pieceEnds.first <= applied) {
      pieceEnds.shift();
      this.piecesApplied++;
    }
    return this.piecesApplied;
  }

  beginStream(): void {
    this.reader = new ItemReader();
  }

  push(log: Uint8Array): void {
    for (const item of this.reader.push(log)) {
      this.items.push(item);
      this.itemsPushed++;
    }
    this.pieceEnds.push(this.itemsPushed);
    const { problem } = this.reader;
    if (problem !== undefined) this.replayer.refuse('items of a log', problem);
  }

  /** With the number it has inside this life. */
  completed(completion: Extract<Input, { kind: 'disk-completion' }>): void {
    this.replica.arrived(completion);
  }

  /** Completions the guest never heard of; after go-live they are inputs like any other. */
  takeCompletions(): Input[] {
    return this.replica.takeAll();
  }

  heldBytes(port: SerialPortName): number {
    return this.early.reduce(
      (sum, one) => sum + (one.kind === 'serial-rx' && one.port === port ? one.bytes.length : 0),
      0,
    );
  }

  /** The life after a `restart`. */
  attach(life: Life): void {
    const { applied } = this.replayer;
    this.life = life;
    this.line = undefined;
    // The guest that asked for what is still under way is gone.
    this.replica = new Replica([]);
    this.replayer = this.replayerOf(life);
    this.replayer.applied = applied;
  }

  step(): FollowNext {
    const { replayer } = this;
    if (replayer.divergence !== undefined) return this.diverged();
    if (replayer.backlog === 0) {
      const item = this.items.first;
      if (item === undefined) return WAIT.log;
      if (item.kind === 'life') return this.restart(item.birth);
      this.items.shift();
      if (item.kind === 'line') {
        this.line = { offsetNs: item.offsetNs, by: 'leader' };
        return RUN;
      }
      if (item.entry.position - this.life.machine.position > GAP_MAX) {
        replayer.refuse('an entry close by', `one at ${item.entry.position}`);
        return this.diverged();
      }
      replayer.push(item.entry);
    }
    return this.advance();
  }

  private advance(): FollowNext {
    switch (this.replayer.advance()) {
      case 'applied':
      case 'kicked':
        return RUN;
      case 'disk':
        return WAIT.disk;
      case 'waiting':
        return WAIT.log;
      case 'ended':
        return this.ended();
      case 'diverged':
        return this.diverged();
    }
  }

  private restart(birth: Birth): FollowNext {
    const { machine, birth: own } = this.life;
    if (machine.stopReason === undefined) {
      this.replayer.refuse('a machine that has stopped', `one that runs at ${machine.position}`);
    } else if (birth.number !== own.number + 1) {
      this.replayer.refuse(`life ${own.number + 1} of the guest`, `life ${birth.number}`);
    } else {
      this.items.shift();
      return { kind: 'restart', birth };
    }
    return this.diverged();
  }

  private ended(): FollowNext {
    const { stopReason } = this.life.machine;
    if (stopReason !== undefined) return { kind: 'stopped', reason: stopReason };
    this.replayer.refuse('a machine that has stopped', 'the end of the log');
    return this.diverged();
  }

  private diverged(): FollowNext {
    const { divergence } = this.replayer;
    if (divergence === undefined) throw new Error('diverged without a difference');
    return { kind: 'diverged', divergence };
  }

  private replayerOf({ machine, tap, digest, outbox }: Life): Replayer {
    const { nics, disks, hasConsole } = this.devices;
    return new Replayer({
      ...{ machine, tap, digest, outputs: this.outputs },
      targets: { nics: nics.length, disks: disks.length, hasConsole },
      onOutput: (output, sequence) => outbox.add(output, sequence),
      // At a marker the primary's owner had them all, so text is cut there, too.
      onMarker: () => outbox.closeRuns(),
      onDiskRequest: (request) => {
        this.replica.issued(request);
        outbox.request(request);
      },
      localCompletion: (disk, id) => this.replica.completion(disk, id),
    });
  }
}
