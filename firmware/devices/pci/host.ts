// The PCI host bridge: configuration mechanism 1, one bus of single-function slots, the windows in
// which BARs are decoded, and the wiring of INTA# to interrupt lines.
//
// There is no BIOS, so reset() does what one would: it places BARs in the windows, enables decoding
// and writes the interrupt line registers. A guest may move everything; BARs outside the windows
// are not decoded. Byte accesses to port 0xCF9 are the chipset's reset register, which lies between
// the address register's bytes and belongs to another device.
//
// Not here: bridges, multi-function devices, MSI, configuration mechanism 2.

import type { AddressRange, Device, IrqLine, StateObject } from '../contracts.ts';
import { SharedLine } from '../wires.ts';
import { PciConfig } from './config.ts';
import type { PciFunction } from './function.ts';
import { AT, CONFIG_ADDRESS_PORT, CONFIG_DATA_PORT, CONFIG_ENABLE, Command } from './registers.ts';

export const PCI_PORT_WINDOW: AddressRange = { base: 0xc000, count: 0x1000 };
export const PCI_MEMORY_WINDOW: AddressRange = { base: 0xe000_0000, count: 0x1000_0000 };
export const PCI_SLOTS = 32;
// INTA# of slot n goes to PCI_IRQS[n % 3]; the three are level-triggered in the interrupt
// controller, so sharing is fine.
export const PCI_IRQS = [9, 10, 11] as const;

export function irqOfSlot(slot: number): number {
  return PCI_IRQS[slot % PCI_IRQS.length]!;
}

const RESET_PORT = 0xcf9;

export type ResetRegister = { read(): number; write(value: number): void };

export type PciHostOptions = {
  readonly irqLine: (irq: number) => IrqLine;
  readonly resetRegister: ResetRegister;
};

type DecodedWindow = {
  readonly space: 'port' | 'memory';
  readonly base: number;
  readonly count: number;
  readonly bar: number;
  readonly function: PciFunction;
};

export class PciHost implements Device {
  readonly name = 'pci';
  readonly ports = [{ base: CONFIG_ADDRESS_PORT, count: 8 }, PCI_PORT_WINDOW];
  readonly portBytesMax = 4;
  readonly memory = [PCI_MEMORY_WINDOW];
  // Accesses inside the windows that no BAR answered: open bus.
  unclaimed = 0;

  private readonly functions = new Map<number, PciFunction>();
  private readonly lines = new Map<number, SharedLine>();
  private readonly resetRegister: ResetRegister;
  private address = 0;
  private decoded: DecodedWindow[] | undefined;

  constructor(options: PciHostOptions) {
    this.resetRegister = options.resetRegister;
    for (const irq of PCI_IRQS) this.lines.set(irq, new SharedLine(options.irqLine(irq)));
    this.add(0, new HostBridge());
  }

  // The INTA# wire of a slot.
  intx(slot: number): IrqLine {
    return this.lines.get(irqOfSlot(slot))!.source();
  }

  add(slot: number, fn: PciFunction): void {
    if (!(slot >= 0 && slot < PCI_SLOTS)) throw new Error(`no PCI slot ${slot}`);
    if (this.functions.has(slot)) throw new Error(`PCI slot ${slot} is taken`);
    this.functions.set(slot, fn);
    fn.config.onDecodeChange = () => {
      this.decoded = undefined;
    };
    this.assignAll();
  }

  readPort(port: number, bytes: number): number {
    if (port >= PCI_PORT_WINDOW.base) return this.readBar('port', port, bytes);
    if (port === RESET_PORT && bytes === 1) return this.resetRegister.read();
    if (port < CONFIG_DATA_PORT)
      return port === CONFIG_ADDRESS_PORT && bytes === 4 ? this.address : ones(bytes);
    return this.configRead(port - CONFIG_DATA_PORT, bytes);
  }

  writePort(port: number, bytes: number, value: number): void {
    if (port >= PCI_PORT_WINDOW.base) this.writeBar('port', port, bytes, value);
    else if (port === RESET_PORT && bytes === 1) this.resetRegister.write(value);
    else if (port >= CONFIG_DATA_PORT) this.configWrite(port - CONFIG_DATA_PORT, bytes, value);
    else if (port === CONFIG_ADDRESS_PORT && bytes === 4) this.address = (value & 0x80fffffc) >>> 0;
  }

  readMemory(address: number, bytes: number): number {
    return this.readBar('memory', address, bytes);
  }

  writeMemory(address: number, bytes: number, value: number): void {
    this.writeBar('memory', address, bytes, value);
  }

  nextDeadlineNs(): bigint | undefined {
    let next: bigint | undefined;
    for (const fn of this.functions.values()) {
      const deadlineNs = fn.nextDeadlineNs?.();
      if (deadlineNs !== undefined && (next === undefined || deadlineNs < next)) next = deadlineNs;
    }
    return next;
  }

  advanceTo(nowNs: bigint): void {
    for (const fn of this.functions.values()) fn.advanceTo?.(nowNs);
  }

  state(): StateObject {
    const functions: { [slot: string]: StateObject } = {};
    for (const [slot, fn] of this.functions) {
      functions[slot] = { name: fn.name, config: fn.config.state(), device: fn.state() };
    }
    return { address: this.address, unclaimed: this.unclaimed, functions };
  }

  restore(state: StateObject): void {
    const from = state as { address: number; unclaimed: number; functions: StateObject };
    this.address = from.address;
    this.unclaimed = from.unclaimed;
    const slots = Object.keys(from.functions);
    if (slots.length !== this.functions.size)
      throw new Error(`state has ${slots.length} PCI functions, machine ${this.functions.size}`);
    for (const slot of slots) {
      const saved = from.functions[slot] as {
        name: string;
        config: StateObject;
        device: StateObject;
      };
      const fn = this.functions.get(Number(slot));
      if (fn === undefined || fn.name !== saved.name)
        throw new Error(
          `state has ${saved.name} in PCI slot ${slot}, machine ${fn?.name ?? 'nothing'}`,
        );
      fn.config.restore(saved.config);
      fn.restore(saved.device);
    }
    this.decoded = undefined;
  }

  reset(): void {
    this.address = 0;
    this.unclaimed = 0;
    for (const fn of this.functions.values()) {
      fn.config.reset();
      fn.reset();
    }
    this.assignAll();
  }

  // The BIOS's work: each BAR at its natural alignment, in slot order.
  private assignAll(): void {
    let nextPort = PCI_PORT_WINDOW.base;
    let nextMemory = PCI_MEMORY_WINDOW.base;
    for (const [slot, fn] of [...this.functions].sort(([a], [b]) => a - b)) {
      let enable = 0;
      for (const bar of fn.config.bars) {
        const isPort = bar.kind === 'io';
        const base = Math.ceil((isPort ? nextPort : nextMemory) / bar.bytes) * bar.bytes;
        if (isPort) nextPort = base + bar.bytes;
        else nextMemory = base + bar.bytes;
        fn.config.assignBar(bar.index, base);
        enable |= isPort ? Command.ioSpace : Command.memorySpace;
      }
      fn.config.write(AT.command, 2, enable);
      if (fn.config.read(AT.interruptPin, 1) !== 0)
        fn.config.write(AT.interruptLine, 1, irqOfSlot(slot));
    }
    if (nextPort > PCI_PORT_WINDOW.base + PCI_PORT_WINDOW.count) throw new Error('I/O window full');
    if (nextMemory > PCI_MEMORY_WINDOW.base + PCI_MEMORY_WINDOW.count)
      throw new Error('memory window full');
    this.decoded = undefined;
  }

  // The function the address register selects, if it is on bus 0 and function 0.
  private selected(): PciFunction | undefined {
    if ((this.address & CONFIG_ENABLE) === 0 || (this.address & 0x00ff_0700) !== 0)
      return undefined;
    return this.functions.get((this.address >> 11) & 0x1f);
  }

  private configRead(lane: number, bytes: number): number {
    const fn = this.selected();
    if (fn === undefined || lane + bytes > 4) return ones(bytes);
    const offset = (this.address & 0xfc) + lane;
    return fn.configRead?.(offset, bytes) ?? fn.config.read(offset, bytes);
  }

  private configWrite(lane: number, bytes: number, value: number): void {
    const fn = this.selected();
    if (fn === undefined || lane + bytes > 4) return;
    const offset = (this.address & 0xfc) + lane;
    if (fn.configWrite !== undefined) fn.configWrite(offset, bytes, value);
    else fn.config.write(offset, bytes, value);
  }

  private find(
    space: 'port' | 'memory',
    address: number,
    bytes: number,
  ): DecodedWindow | undefined {
    this.decoded ??= this.decode();
    for (const window of this.decoded) {
      const inside = address >= window.base && address + bytes <= window.base + window.count;
      if (inside && window.space === space) return window;
    }
    this.unclaimed++;
    return undefined;
  }

  private decode(): DecodedWindow[] {
    const windows: DecodedWindow[] = [];
    for (const [, fn] of [...this.functions].sort(([a], [b]) => a - b))
      for (const { index, space, base, count } of fn.config.decoded())
        windows.push({ space, base, count, bar: index, function: fn });
    return windows;
  }

  private readBar(space: 'port' | 'memory', address: number, bytes: number): number {
    const window = this.find(space, address, bytes);
    if (window === undefined) return ones(bytes);
    return window.function.barRead(window.bar, address - window.base, bytes);
  }

  private writeBar(space: 'port' | 'memory', address: number, bytes: number, value: number): void {
    const window = this.find(space, address, bytes);
    window?.function.barWrite(window.bar, address - window.base, bytes, value);
  }
}

// Slot 0: guests look for a host bridge before they believe in mechanism 1. It has the identity of
// the common i440FX bridge and none of its registers.
class HostBridge implements PciFunction {
  readonly name = 'host-bridge';
  readonly config = new PciConfig({
    identity: {
      vendorId: 0x8086,
      deviceId: 0x1237,
      classCode: 0x060000,
      revision: 2,
      subsystemVendorId: 0,
      subsystemId: 0,
    },
    bars: [],
    capabilities: [],
    intx: undefined,
  });
  barRead(): number {
    return 0;
  }
  barWrite(): void {}
  state(): StateObject {
    return {};
  }
  restore(): void {}
  reset(): void {}
}

function ones(bytes: number): number {
  return bytes === 4 ? 0xffff_ffff : (1 << (8 * bytes)) - 1;
}
