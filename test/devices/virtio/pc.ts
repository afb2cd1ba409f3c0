// The least PC a virtio driver can run on: guest memory, a PCI host bridge, interrupt wires, and a
// list of what left the devices. `reincarnate()` is what a takeover does to it: every device is
// thrown away and built anew from its saved state.

import type {
  IrqLine,
  Output,
  OutputSink,
  StateObject,
} from '../../../firmware/devices/contracts.ts';
import type { PciFunction } from '../../../firmware/devices/pci/function.ts';
import { PciHost } from '../../../firmware/devices/pci/host.ts';
import { TestRam } from './ram.ts';

export const SLOT = 3;
const MIB = 1 << 20;

export interface Wiring {
  ram: TestRam;
  intx: IrqLine;
  output: OutputSink;
}

/** Builds the device under test; called again by every `reincarnate()`. */
export type Build<D> = (wiring: Wiring) => D;

export class TestPc<D extends { pci: PciFunction }> {
  ram: TestRam;
  outputs: Output[] = [];
  device!: D;
  /** Called before every access of the guest. */
  onAccess: () => void = () => {};
  private host!: PciHost;
  private readonly build: Build<D>;
  private readonly levels = new Map<number, boolean>();

  constructor(build: Build<D>, megabytes = 2) {
    this.ram = new TestRam(
      { base: 0, bytes: megabytes * MIB },
      { base: 2 ** 32, bytes: megabytes * MIB },
    );
    this.build = build;
    this.assemble();
  }

  /** Level of the wire the device's INTA# arrives at. */
  get interrupt(): boolean {
    return [...this.levels.values()].some((level) => level);
  }

  /** What left since the last call. */
  takeOutputs(): Output[] {
    return this.outputs.splice(0);
  }

  state(): StateObject {
    return this.host.state();
  }

  reset(): void {
    this.host.reset();
  }

  /** New memory, new devices, old state; the state crosses as a checkpoint would take it. */
  reincarnate(): void {
    const state = structuredClone(this.host.state());
    this.ram = this.ram.clone();
    this.assemble();
    this.host.restore(state);
  }

  configRead(offset: number, bytes: number, slot = SLOT): number {
    this.onAccess();
    this.host.writePort(0xcf8, 4, this.configAddress(offset, slot));
    return this.host.readPort(0xcfc + (offset & 3), bytes);
  }

  configWrite(offset: number, bytes: number, value: number, slot = SLOT): void {
    this.onAccess();
    this.host.writePort(0xcf8, 4, this.configAddress(offset, slot));
    this.host.writePort(0xcfc + (offset & 3), bytes, value);
  }

  read(space: 'port' | 'memory', address: number, bytes: number): number {
    this.onAccess();
    return space === 'port'
      ? this.host.readPort(address, bytes)
      : this.host.readMemory(address, bytes);
  }

  write(space: 'port' | 'memory', address: number, bytes: number, value: number): void {
    this.onAccess();
    if (space === 'port') this.host.writePort(address, bytes, value);
    else this.host.writeMemory(address, bytes, value);
  }

  private configAddress(offset: number, slot: number): number {
    return 0x8000_0000 + slot * 2048 + (offset & 0xfc);
  }

  private assemble(): void {
    this.levels.clear();
    this.host = new PciHost({
      irqLine: (irq) => ({ set: (level) => this.levels.set(irq, level) }),
      resetRegister: { read: () => 0, write: () => {} },
    });
    this.device = this.build({
      ram: this.ram,
      intx: this.host.intx(SLOT),
      output: (output) => this.outputs.push(output),
    });
    this.host.add(SLOT, this.device.pci);
  }
}
