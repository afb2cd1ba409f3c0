// Ports and memory-mapped registers: which device answers where.
//
// An access wider than a device takes is split into bytes at consecutive addresses, as on a real ISA
// bus. Where nobody lives, reads give all ones and writes vanish; both are counted.

import type { AddressRange, Device } from '../devices/contracts.ts';

const PORTS = 0x10000;
const NOBODY = 0xff; // index no device has

export type BusOptions = {
  // Before a device is asked: bring its time to now. After: its deadline may have changed.
  readonly beforeAccess: (device: Device) => void;
};

export class Bus {
  readonly devices: Device[] = [];
  openBusReads = 0;
  openBusWrites = 0;

  private readonly portOwner = new Uint8Array(PORTS).fill(NOBODY);
  private readonly memory: { readonly range: AddressRange; readonly device: Device }[] = [];
  private readonly beforeAccess: (device: Device) => void;

  constructor(options: BusOptions) {
    this.beforeAccess = options.beforeAccess;
  }

  add(device: Device): void {
    const index = this.devices.length;
    if (index >= NOBODY) throw new Error('too many devices');
    this.devices.push(device);
    for (const { base, count } of device.ports ?? []) {
      for (let port = base; port < base + count; port++) {
        if (this.portOwner[port] !== NOBODY)
          throw new Error(`${device.name}: port ${port.toString(16)} is taken`);
        this.portOwner[port] = index;
      }
    }
    for (const range of device.memory ?? []) this.memory.push({ range, device });
  }

  readPort(port: number, bytes: number): number {
    const owner = this.portOwner[port]!;
    if (owner !== NOBODY && this.takes(owner, port, bytes)) {
      const device = this.devices[owner]!;
      this.beforeAccess(device);
      return device.readPort!(port, bytes);
    }
    if (bytes > 1) {
      let value = 0;
      for (let i = bytes - 1; i >= 0; i--)
        value = value * 256 + this.readPort((port + i) % PORTS, 1);
      return value;
    }
    this.openBusReads++;
    return 0xff;
  }

  writePort(port: number, bytes: number, value: number): void {
    const owner = this.portOwner[port]!;
    if (owner !== NOBODY && this.takes(owner, port, bytes)) {
      const device = this.devices[owner]!;
      this.beforeAccess(device);
      device.writePort!(port, bytes, value);
      return;
    }
    if (bytes > 1) {
      for (let i = 0; i < bytes; i++)
        this.writePort((port + i) % PORTS, 1, Math.floor(value / 2 ** (8 * i)) & 0xff);
      return;
    }
    this.openBusWrites++;
  }

  // 1, 2 or 4 bytes.
  readMemory(address: number, bytes: number): number {
    const device = this.at(address, bytes);
    if (device === undefined) {
      this.openBusReads++;
      return 2 ** (8 * bytes) - 1;
    }
    this.beforeAccess(device);
    return device.readMemory!(address, bytes);
  }

  writeMemory(address: number, bytes: number, value: number): void {
    const device = this.at(address, bytes);
    if (device === undefined) {
      this.openBusWrites++;
      return;
    }
    this.beforeAccess(device);
    device.writeMemory!(address, bytes, value);
  }

  // Does the device take the access in one piece?
  private takes(owner: number, port: number, bytes: number): boolean {
    if (bytes === 1) return true;
    const isWide = bytes <= (this.devices[owner]!.portBytesMax ?? 1);
    return isWide && this.portOwner[port + bytes - 1] === owner;
  }

  private at(address: number, bytes: number): Device | undefined {
    for (const { range, device } of this.memory)
      if (address >= range.base && address + bytes <= range.base + range.count) return device;
    return undefined;
  }
}
