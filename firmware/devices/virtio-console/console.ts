// The console device with its one port: bytes in, bytes out, as the port named 'console'.
//
// Bytes from outside wait for the guest's buffers, up to RX_WAITING_BYTES_MAX; a full queue drops
// the newest, as a serial line without flow control does.

import type { GuestRam, IrqLine, OutputSink, SerialEndpoint, StateObject } from '../contracts.ts';
import { type Chain, gather, scatter } from '../virtio/chain.ts';
import type { VirtioModel } from '../virtio/model.ts';
import { VirtioPci } from '../virtio/pci.ts';
import { DeviceType } from '../virtio/registers.ts';

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

export type ConsoleCounters = {
  rxBytes: number;
  rxNoDriver: number; // bytes; the guest has no driver running
  rxWaitingFull: number; // bytes; the guest gives no buffers
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

  readonly #ram: GuestRam;
  readonly #output: OutputSink;
  #waiting: Uint8Array = new Uint8Array(0);

  constructor({ ram, intx, output }: VirtioConsoleOptions) {
    this.#ram = ram;
    this.#output = output;
    this.pci = new VirtioPci({ ram, intx, model: this });
  }

  // Input serial-rx.
  receive(bytes: Uint8Array): void {
    if (!this.pci.isReady(RX_QUEUE)) {
      this.counters.rxNoDriver += bytes.length;
      return;
    }
    const room = Math.min(bytes.length, RX_WAITING_BYTES_MAX - this.#waiting.length);
    this.counters.rxWaitingFull += bytes.length - room;
    const joined = new Uint8Array(this.#waiting.length + room);
    joined.set(this.#waiting);
    joined.set(bytes.subarray(0, room), this.#waiting.length);
    this.#waiting = joined;
    this.serve(RX_QUEUE);
  }

  get waitingBytes(): number {
    return this.#waiting.length;
  }

  serve(queue: number): void {
    if (queue === TX_QUEUE) this.pci.drain(TX_QUEUE, (chain) => this.#transmit(chain));
    else
      this.pci.drain(
        RX_QUEUE,
        (chain) => this.#deliver(chain),
        () => this.#waiting.length > 0,
      );
  }

  deviceReset(): void {
    this.#waiting = new Uint8Array(0);
  }

  powerReset(): void {
    this.counters = noCounters();
  }

  state(): VirtioConsoleState {
    return { waiting: this.#waiting.slice(), counters: { ...this.counters } };
  }

  restore(state: StateObject): void {
    const from = state as VirtioConsoleState;
    this.#waiting = from.waiting.slice();
    this.counters = { ...(from.counters as ConsoleCounters) };
  }

  #deliver(chain: Chain): void {
    const bytes = scatter(this.#ram, chain.writable, 0, this.#waiting);
    this.#waiting = this.#waiting.slice(bytes);
    this.counters.rxBytes += bytes;
    this.pci.give(RX_QUEUE, chain.head, bytes);
  }

  #transmit(chain: Chain): void {
    const text = gather(this.#ram, chain.readable, 0, TX_BYTES_MAX);
    this.counters.txBytes += text.length;
    this.counters.txTooLong += chain.readableBytes - text.length;
    for (const byte of text) this.#output({ kind: 'serial-tx', port: 'console', byte });
    this.pci.give(TX_QUEUE, chain.head, 0);
  }
}

function noCounters(): ConsoleCounters {
  return { rxBytes: 0, rxNoDriver: 0, rxWaitingFull: 0, txBytes: 0, txTooLong: 0 };
}
