// The modern virtio PCI transport: registers, negotiation, queues and the interrupt of one device.
//
//   guest ──BAR accesses──▶ VirtioPci ──serve(queue)──▶ model (net, blk, ...)
//                             ▲  └─ queues, status, ISR      │
//                             └───── take / give / interrupt ┘
//
// Interrupts go out on INTA# alone: with one virtual processor MSI-X buys little and costs a table.
//
// A guest that breaks the rules of its rings gets one answer: the device counts the reason, sets
// NEEDS_RESET, interrupts and touches nothing more until it is reset. Registers used wrongly are
// counted and ignored.
//
// A device is live, that is, it may touch guest memory, while the driver has said DRIVER_OK, no
// reset is needed and the function is bus master.

import type { GuestRam, IrqLine, StateObject } from '../contracts.ts';
import { PciConfig } from '../pci/config.ts';
import type { PciFunction } from '../pci/function.ts';
import { capabilities } from './capabilities.ts';
import { BROKEN_REASONS, type BrokenReason, type Chain } from './chain.ts';
import { CommonConfig, type CommonState } from './common.ts';
import type { VirtioModel } from './model.ts';
import { type QueueState, Virtqueue } from './queue.ts';
import {
  CAP,
  COMMON,
  COMMON_BYTES,
  Feature,
  IO_AT,
  IO_BAR,
  IO_BAR_BYTES,
  Isr,
  MEMORY_AT,
  MEMORY_BAR,
  MEMORY_BAR_BYTES,
  NOTIFY_MULTIPLIER,
  Status,
  VIRTIO_DEVICE_ID_BASE,
  VIRTIO_VENDOR_ID,
} from './registers.ts';

export type VirtioPciOptions = {
  readonly ram: GuestRam;
  readonly intx: IrqLine;
  readonly model: VirtioModel;
};

export type VirtioPciState = {
  readonly common: CommonState;
  readonly isr: number;
  readonly queues: readonly QueueState[];
  readonly counters: StateObject;
  readonly model: StateObject;
};

export type VirtioPciCounters = {
  badAccess: number; // no such register, or not with this width
  badNotify: number; // no such queue, or the device not live
  broken: Record<BrokenReason, number>;
};

export class VirtioPci implements PciFunction {
  readonly name: string;
  readonly config: PciConfig;
  readonly ram: GuestRam;
  counters = noCounters();

  private readonly model: VirtioModel;
  private readonly queues: readonly Virtqueue[];
  private readonly common: CommonConfig;
  private readonly windowAt: number; // of the access window's capability
  private isr = 0;

  constructor({ ram, intx, model }: VirtioPciOptions) {
    this.name = model.name;
    this.ram = ram;
    this.model = model;
    this.queues = model.queueSizes.map((size) => new Virtqueue(ram, size));
    this.common = new CommonConfig(model.features, this.queues);
    this.config = new PciConfig({
      identity: {
        vendorId: VIRTIO_VENDOR_ID,
        deviceId: VIRTIO_DEVICE_ID_BASE + model.deviceType,
        classCode: model.classCode,
        revision: 1,
        subsystemVendorId: VIRTIO_VENDOR_ID,
        subsystemId: 0x40 + model.deviceType,
      },
      bars: [
        { index: MEMORY_BAR, kind: 'memory32', bytes: MEMORY_BAR_BYTES },
        { index: IO_BAR, kind: 'io', bytes: IO_BAR_BYTES },
      ],
      capabilities: capabilities(this.queues.length, model.configSpace.length),
      intx,
    });
    this.windowAt = this.config.capabilityOffsets.at(-1)!;
    this.config.allowWrite(this.windowAt + CAP.bar, 1);
    this.config.allowWrite(this.windowAt + CAP.offset, 8); // offset and length
  }

  // ---- for the model ------------------------------------------------------------------------

  get isLive(): boolean {
    const { status } = this.common;
    return (
      (status & (Status.driverOk | Status.needsReset)) === Status.driverOk &&
      this.config.isBusMaster
    );
  }

  isReady(queue: number): boolean {
    return this.isLive && this.queues[queue]!.isEnabled;
  }

  hasFeature(bit: number): boolean {
    return this.common.isNegotiated(bit);
  }

  // Hands waiting chains to `handle` while `wants()`. Looks at the guest's index once, so that a
  // ring laid over itself cannot keep the device busy for ever.
  drain(queue: number, handle: (chain: Chain) => void, wants: () => boolean = always): void {
    if (!this.isReady(queue)) return;
    let left = this.queues[queue]!.waiting();
    if (left === undefined) this.fail('ring-index');
    for (; left !== undefined && left > 0 && this.isLive && wants(); left--) {
      const taken = this.queues[queue]!.take(this.hasFeature(Feature.indirectDescriptors));
      if (taken.ok) handle(taken.chain);
      else this.fail(taken.reason);
    }
  }

  // Gives a chain back and interrupts, if the driver wants that. The device must be live.
  give(queue: number, head: number, bytesWritten: number): void {
    if (!this.isReady(queue)) throw new Error(`${this.name}: gives a chain while not live`);
    const ring = this.queues[queue]!;
    ring.give(head, bytesWritten);
    if (ring.wantsInterrupt()) this.raise(Isr.queue);
  }

  // The guest broke the rules.
  fail(reason: BrokenReason): void {
    this.counters.broken[reason]++;
    const wasOk = (this.common.status & Status.driverOk) !== 0;
    this.common.status |= Status.needsReset;
    if (wasOk) this.raise(Isr.config);
  }

  // ---- for the host bridge ------------------------------------------------------------------

  configRead(offset: number, bytes: number): number {
    const data = this.windowAt + CAP.data;
    if (offset === data) this.config.set(data, 4, this.windowRead());
    return this.config.read(offset, bytes);
  }

  configWrite(offset: number, bytes: number, value: number): void {
    const wasLive = this.isLive;
    if (offset === this.windowAt + CAP.data) this.windowWrite(value);
    else this.config.write(offset, bytes, value);
    if (!wasLive && this.isLive) this.serveAll();
  }

  barRead(bar: number, offset: number, bytes: number): number {
    if (bar === IO_BAR) {
      if (offset === IO_AT.isr && bytes === 1) return this.takeIsr();
    } else if (offset < MEMORY_AT.common + COMMON_BYTES) {
      const value = this.common.read(offset - MEMORY_AT.common, bytes);
      if (value !== undefined) return value;
    } else if (offset === MEMORY_AT.isr && bytes === 1) {
      return this.takeIsr();
    } else if (offset >= MEMORY_AT.device && offset < MEMORY_AT.notify) {
      const value = readBytes(this.model.configSpace, offset - MEMORY_AT.device, bytes);
      if (value !== undefined) return value;
    }
    this.counters.badAccess++;
    return 0;
  }

  barWrite(bar: number, offset: number, bytes: number, value: number): void {
    if (bar === IO_BAR) {
      if (offset === IO_AT.notify && bytes >= 2) this.notify(value & 0xffff);
      else this.counters.badAccess++;
    } else if (offset < MEMORY_AT.common + COMMON_BYTES) {
      this.writeCommon(offset - MEMORY_AT.common, bytes, value);
    } else if (offset >= MEMORY_AT.notify && offset % NOTIFY_MULTIPLIER === 0 && bytes >= 2) {
      this.notify((offset - MEMORY_AT.notify) / NOTIFY_MULTIPLIER);
    } else {
      this.counters.badAccess++;
    }
  }

  state(): VirtioPciState {
    return {
      common: this.common.state(),
      isr: this.isr,
      queues: this.queues.map((queue) => queue.state()),
      counters: { ...this.counters, broken: { ...this.counters.broken } },
      model: this.model.state(),
    };
  }

  restore(state: StateObject): void {
    const from = state as VirtioPciState;
    const counters = from.counters as VirtioPciCounters;
    if (from.queues.length !== this.queues.length)
      throw new Error(`${this.name}: the state is of another device`);
    this.common.restore(from.common);
    for (const [index, queue] of this.queues.entries()) queue.restore(from.queues[index]!);
    this.counters = { ...counters, broken: { ...counters.broken } };
    this.model.restore(from.model);
    this.isr = from.isr;
    this.config.setInterrupt(this.isr !== 0);
  }

  reset(): void {
    this.deviceReset();
    this.counters = noCounters();
    this.model.powerReset();
  }

  // ---- inside -------------------------------------------------------------------------------

  private writeCommon(offset: number, bytes: number, value: number): void {
    if (offset === COMMON.deviceStatus && bytes === 1 && value === 0) {
      this.deviceReset();
      return;
    }
    const wasLive = this.isLive;
    const written = this.common.write(offset, bytes, value);
    if (written === 'bad') this.counters.badAccess++;
    else if (written !== 'ok') this.fail(written);
    if (!wasLive && this.isLive) this.serveAll();
  }

  private deviceReset(): void {
    this.common.reset();
    for (const queue of this.queues) queue.reset();
    this.isr = 0;
    this.config.setInterrupt(false);
    this.model.deviceReset();
  }

  private notify(queue: number): void {
    if (queue < this.queues.length && this.isReady(queue)) this.model.serve(queue);
    else this.counters.badNotify++;
  }

  // Drivers may have filled their rings, and even notified, before they said DRIVER_OK.
  private serveAll(): void {
    for (let queue = 0; queue < this.queues.length; queue++)
      if (this.isReady(queue)) this.model.serve(queue);
  }

  private raise(bit: number): void {
    if ((this.isr & bit) !== 0) return;
    this.isr |= bit;
    this.config.setInterrupt(true);
  }

  // Reading the interrupt status takes it back.
  private takeIsr(): number {
    const isr = this.isr;
    if (isr !== 0) {
      this.isr = 0;
      this.config.setInterrupt(false);
    }
    return isr;
  }

  // The access window: an access of `length` bytes at `offset` of a BAR, by way of configuration
  // space, for software that has not mapped the BARs.
  private window(): { bar: number; offset: number; bytes: number } | undefined {
    const bar = this.config.read(this.windowAt + CAP.bar, 1);
    const offset = this.config.read(this.windowAt + CAP.offset, 4);
    const bytes = this.config.read(this.windowAt + CAP.length, 4);
    const spec = this.config.bars.find(({ index }) => index === bar);
    const isSane = (bytes === 1 || bytes === 2 || bytes === 4) && offset % bytes === 0;
    if (isSane && spec !== undefined && offset + bytes <= spec.bytes) return { bar, offset, bytes };
    this.counters.badAccess++;
    return undefined;
  }

  private windowRead(): number {
    const window = this.window();
    return window === undefined ? 0 : this.barRead(window.bar, window.offset, window.bytes);
  }

  private windowWrite(value: number): void {
    const window = this.window();
    if (window === undefined) return;
    const mask = 2 ** (8 * window.bytes);
    this.barWrite(window.bar, window.offset, window.bytes, value % mask);
  }
}

function always(): boolean {
  return true;
}

function noCounters(): VirtioPciCounters {
  const broken = Object.fromEntries(BROKEN_REASONS.map((reason) => [reason, 0]));
  return { badAccess: 0, badNotify: 0, broken: broken as Record<BrokenReason, number> };
}

function readBytes(from: Uint8Array, offset: number, bytes: number): number | undefined {
  if (offset + bytes > from.length) return undefined;
  let value = 0;
  for (let i = bytes - 1; i >= 0; i--) value = value * 256 + from[offset + i]!;
  return value;
}
