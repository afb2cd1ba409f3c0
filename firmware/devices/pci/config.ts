// One function's 256 bytes of configuration space: values, what of them the guest may write, BARs,
// the capability chain and the interrupt pin.
//
// Every register is a byte with a mask of writable bits; BARs get their size by hard-wired zero
// bits, as the specification says (PCI Local Bus 3.0, 6.2.5.1). All else is read-only.

import type { IrqLine, StateObject } from '../contracts.ts';
import { AT, Bar, COMMAND_WRITABLE, CONFIG_BYTES, Command, Status } from './registers.ts';

export type BarSpec = {
  readonly index: number; // 0..5; a memory64 BAR also takes index + 1
  readonly kind: 'io' | 'memory32' | 'memory64';
  readonly bytes: number; // a power of two; I/O 4..256, memory 16 or more
  readonly prefetchable?: boolean;
};

export type PciIdentity = {
  readonly vendorId: number;
  readonly deviceId: number;
  readonly classCode: number; // 24 bits: class, subclass, programming interface
  readonly revision: number;
  readonly subsystemVendorId: number;
  readonly subsystemId: number;
};

export type PciConfigOptions = {
  readonly identity: PciIdentity;
  readonly bars: readonly BarSpec[];
  // Bodies of capabilities: byte 0 is the id, byte 1 (next) is filled in here.
  readonly capabilities: readonly Uint8Array[];
  // The wire of INTA#, or undefined for a function without interrupt.
  readonly intx: IrqLine | undefined;
};

export type PciConfigState = {
  readonly bytes: Uint8Array;
  readonly interrupt: boolean;
};

// Where a BAR decodes at present.
export type DecodedBar = {
  readonly index: number;
  readonly space: 'port' | 'memory';
  readonly base: number;
  readonly count: number;
};

export class PciConfig {
  readonly bars: readonly BarSpec[];
  // Offsets at which the capabilities landed, in the order given.
  readonly capabilityOffsets: readonly number[];
  // Called after a write changed what is decoded (command or BAR).
  onDecodeChange: (() => void) | undefined;

  private readonly initial = new Uint8Array(CONFIG_BYTES);
  private readonly writable = new Uint8Array(CONFIG_BYTES);
  private readonly bytes = new Uint8Array(CONFIG_BYTES);
  private readonly intx: IrqLine | undefined;
  private interrupt = false;

  constructor(options: PciConfigOptions) {
    this.bars = options.bars;
    this.intx = options.intx;
    this.layOutIdentity(options.identity);
    this.layOutBars(options.bars);
    this.capabilityOffsets = this.layOutCapabilities(options.capabilities);
    this.put(this.writable, AT.command, 2, COMMAND_WRITABLE);
    this.put(this.writable, AT.cacheLineSize, 1, 0xff);
    this.put(this.writable, AT.latencyTimer, 1, 0xff);
    this.put(this.writable, AT.interruptLine, 1, 0xff);
    if (options.intx !== undefined) this.put(this.initial, AT.interruptPin, 1, 1);
    this.bytes.set(this.initial);
  }

  // `offset` is 0..255 and the access does not cross a dword.
  read(offset: number, bytes: number): number {
    let value = 0;
    for (let i = bytes - 1; i >= 0; i--) value = value * 256 + (this.bytes[offset + i] ?? 0xff);
    return value;
  }

  write(offset: number, bytes: number, value: number): void {
    for (let i = 0; i < bytes; i++) {
      const at = offset + i;
      const mask = this.writable[at] ?? 0;
      const byte = Math.floor(value / 2 ** (8 * i)) & 0xff;
      this.bytes[at] = (this.bytes[at]! & ~mask) | (byte & mask);
    }
    const last = offset + bytes - 1;
    if (last >= AT.command && offset < AT.status) this.driveIntx();
    if (last >= AT.command && offset < AT.bar0 + 24) this.onDecodeChange?.();
  }

  // The device's interrupt condition; reaches the wire unless the guest disabled INTx.
  setInterrupt(level: boolean): void {
    this.interrupt = level;
    this.driveIntx();
  }

  get command(): number {
    return this.read(AT.command, 2);
  }

  // May the function read and write guest memory? Devices check it before DMA.
  get isBusMaster(): boolean {
    return (this.command & Command.busMaster) !== 0;
  }

  // Lets a device make bytes of its capabilities writable by the guest.
  allowWrite(offset: number, bytes: number): void {
    this.writable.fill(0xff, offset, offset + bytes);
  }

  // Sets bytes as the device (not the guest) does; no masks.
  set(offset: number, bytes: number, value: number): void {
    this.put(this.bytes, offset, bytes, value);
  }

  // The BARs that answer at present, in order.
  decoded(): DecodedBar[] {
    const command = this.command;
    const result: DecodedBar[] = [];
    for (const bar of this.bars) {
      const space = bar.kind === 'io' ? 'port' : 'memory';
      const enable = space === 'port' ? Command.ioSpace : Command.memorySpace;
      if ((command & enable) === 0) continue;
      result.push({ index: bar.index, space, base: this.barBase(bar.index), count: bar.bytes });
    }
    return result;
  }

  barBase(index: number): number {
    const bar = this.spec(index);
    const low = this.read(AT.bar0 + 4 * index, 4);
    if (bar.kind === 'io') return low - (low % 4);
    const high = bar.kind === 'memory64' ? this.read(AT.bar0 + 4 * index + 4, 4) : 0;
    return high * 2 ** 32 + (low - (low % 16));
  }

  // As a BIOS does at power-on.
  assignBar(index: number, base: number): void {
    const bar = this.spec(index);
    this.write(AT.bar0 + 4 * index, 4, base % 2 ** 32);
    if (bar.kind === 'memory64') this.write(AT.bar0 + 4 * index + 4, 4, Math.floor(base / 2 ** 32));
  }

  reset(): void {
    this.bytes.set(this.initial);
    this.setInterrupt(false);
    this.onDecodeChange?.();
  }

  state(): PciConfigState {
    return { bytes: this.bytes.slice(), interrupt: this.interrupt };
  }

  restore(state: StateObject): void {
    const from = state as PciConfigState;
    this.bytes.set(from.bytes);
    this.setInterrupt(from.interrupt);
    this.onDecodeChange?.();
  }

  private spec(index: number): BarSpec {
    const bar = this.bars.find((candidate) => candidate.index === index);
    if (bar === undefined) throw new Error(`function has no BAR ${index}`);
    return bar;
  }

  private driveIntx(): void {
    const status = this.read(AT.status, 2) & ~Status.interrupt;
    this.set(AT.status, 2, this.interrupt ? status | Status.interrupt : status);
    this.intx?.set(this.interrupt && (this.command & Command.interruptDisable) === 0);
  }

  private layOutIdentity(identity: PciIdentity): void {
    this.put(this.initial, AT.vendorId, 2, identity.vendorId);
    this.put(this.initial, AT.deviceId, 2, identity.deviceId);
    this.put(this.initial, AT.revision, 1, identity.revision);
    this.put(this.initial, AT.classCode, 3, identity.classCode);
    this.put(this.initial, AT.subsystemVendorId, 2, identity.subsystemVendorId);
    this.put(this.initial, AT.subsystemId, 2, identity.subsystemId);
  }

  private layOutBars(bars: readonly BarSpec[]): void {
    for (const bar of bars) {
      const at = AT.bar0 + 4 * bar.index;
      if (bar.bytes < 4 || (bar.bytes & (bar.bytes - 1)) !== 0)
        throw new Error(`BAR ${bar.index}: ${bar.bytes} bytes is not a power of two`);
      let flags: number = bar.kind === 'io' ? Bar.io : 0;
      if (bar.kind === 'memory64') flags |= Bar.memory64;
      if (bar.prefetchable === true) flags |= Bar.prefetchable;
      this.put(this.initial, at, 4, flags);
      this.put(this.writable, at, 4, 2 ** 32 - bar.bytes);
      if (bar.kind === 'memory64') this.put(this.writable, at + 4, 4, 0xffff_ffff);
    }
  }

  private layOutCapabilities(capabilities: readonly Uint8Array[]): number[] {
    const offsets: number[] = [];
    let at: number = AT.deviceSpecific;
    let link: number = AT.capabilities;
    for (const body of capabilities) {
      if (at + body.length > CONFIG_BYTES) throw new Error('capabilities exceed 256 bytes');
      this.initial.set(body, at);
      this.initial[at + 1] = 0;
      this.initial[link] = at;
      link = at + 1;
      offsets.push(at);
      at = (at + body.length + 3) & ~3;
    }
    if (capabilities.length > 0) this.put(this.initial, AT.status, 2, Status.capabilitiesList);
    return offsets;
  }

  private put(target: Uint8Array, offset: number, bytes: number, value: number): void {
    for (let i = 0; i < bytes; i++) target[offset + i] = Math.floor(value / 2 ** (8 * i)) & 0xff;
  }
}
