// The console device with its one port: bytes in, bytes out, as the port named 'console'.
//
// Bytes from outside wait for the guest's buffers, up to RX_WAITING_BYTES_MAX; a full queue drops
// the newest, as a serial line without flow control does.

import type { GuestRam, IrqLine, OutputSink, SerialEndpoint, StateObject } from '../contracts.ts';
import { type Chain, gather, scatter } from '../virtio/chain.ts';
import type { VirtioModel } from '../virtio/model.ts';
import { VirtioPci } from '../virtio/pci.ts';
import { DeviceType } from '../virtio/registers.ts';
import { type RxCounters, RxRoom } from '../virtio/rx-room.ts';

const RX_QUEUE = 0;
const TX_QUEUE = 1;
// More than anyone types or pastes before a guest takes notice.
export const RX_WAITING_BYTES_MAX = 4096;
// Far above a driver's page-sized writes; bounds what one notification can put out.
export const TX_BYTES_MAX = 65536;

export type VirtioConsoleOptions = {
  readonly ram: GuestRam;
  readonly intx: IrqLine;
  readonly output: OutputSink;
};

// Those of the room count bytes.
export type ConsoleCounters = RxCounters & {
  rxBytes: number;
  txBytes: number;
  txTooLong: number; // bytes beyond TX_BYTES_MAX of one buffer
};

export type VirtioConsoleState = {
  readonly waiting: Uint8Array;
  readonly counters: StateObject;
};

export class VirtioConsole implements VirtioModel, SerialEndpoint {
  readonly name = 'virtio-console';
  readonly deviceType = DeviceType.console;
  readonly classCode = 0x078000;
  readonly features = [];
  readonly queueSizes = [64, 64];
  // Columns, rows, ports, emergency write: none of them offered, but drivers may look.
  readonly configSpace = new Uint8Array(12);
  readonly pci: VirtioPci;
  counters = noCounters();

  private readonly ram: GuestRam;
  private readonly output: OutputSink;
  private readonly room: RxRoom<number>;

  constructor({ ram, intx, output }: VirtioConsoleOptions) {
    this.ram = ram;
    this.output = output;
    this.pci = new VirtioPci({ ram, intx, model: this });
    this.room = new RxRoom({
      ...{ pci: this.pci, queue: RX_QUEUE, unitsMax: RX_WAITING_BYTES_MAX },
      deliver: (chain) => this.deliver(chain),
    });
  }

  // Input serial-rx.
  receive(bytes: Uint8Array): void {
    this.room.receive(bytes, this.counters);
  }

  get waitingBytes(): number {
    return this.room.length;
  }

  serve(queue: number): void {
    if (queue === TX_QUEUE) this.pci.drain(TX_QUEUE, (chain) => this.transmit(chain));
    else this.room.serve();
  }

  deviceReset(): void {
    this.room.clear();
  }

  powerReset(): void {
    this.counters = noCounters();
  }

  state(): VirtioConsoleState {
    return { waiting: Uint8Array.from(this.room.units()), counters: { ...this.counters } };
  }

  restore(state: StateObject): void {
    const from = state as VirtioConsoleState;
    this.room.restore(from.waiting);
    this.counters = { ...(from.counters as ConsoleCounters) };
  }

  private deliver(chain: Chain): void {
    const bytes = new Uint8Array(Math.min(chain.writableBytes, this.room.length));
    for (let at = 0; at < bytes.length; at++) bytes[at] = this.room.take();
    scatter(this.ram, chain.writable, 0, bytes);
    this.counters.rxBytes += bytes.length;
    this.pci.give(RX_QUEUE, chain.head, bytes.length);
  }

  private transmit(chain: Chain): void {
    const text = gather(this.ram, chain.readable, 0, TX_BYTES_MAX);
    this.counters.txBytes += text.length;
    this.counters.txTooLong += chain.readableBytes - text.length;
    for (const byte of text) this.output({ kind: 'serial-tx', port: 'console', byte });
    this.pci.give(TX_QUEUE, chain.head, 0);
  }
}

function noCounters(): ConsoleCounters {
  return { rxBytes: 0, rxNoDriver: 0, rxWaitingFull: 0, txBytes: 0, txTooLong: 0 };
}
