// Guest RAM by guest-physical address, for devices and loaders.
//
// The gap below 4 GiB is handled here and nowhere else. Every access is checked against RAM before
// the first byte moves; an access that does not lie wholly inside is refused and counted, never
// thrown, because addresses come from guests.

import type { GuestRam } from '../devices/contracts.ts';
import { HIGH_RAM_BASE, lowRamBytes } from './memory-map.ts';

export type RamOptions = {
  readonly memory: Uint8Array;
  // Told of every write, by guest-physical address (the engine may hold decoded code).
  readonly onWrite: (address: number, bytes: number) => void;
};

export class Ram implements GuestRam {
  readonly bytes: number;
  refused = 0;

  private readonly memory: Uint8Array;
  private readonly view: DataView;
  private readonly low: number;
  private readonly onWrite: (address: number, bytes: number) => void;

  constructor(options: RamOptions) {
    const { memory } = options;
    this.bytes = memory.length;
    this.memory = memory;
    this.view = new DataView(memory.buffer, memory.byteOffset, memory.length);
    this.low = lowRamBytes(memory.length);
    this.onWrite = options.onWrite;
  }

  has(address: number, bytes: number): boolean {
    return this.offset(address, bytes) >= 0;
  }

  readU8(address: number): number | undefined {
    const at = this.checked(address, 1);
    return at < 0 ? undefined : this.memory[at];
  }

  readU16(address: number): number | undefined {
    const at = this.checked(address, 2);
    return at < 0 ? undefined : this.view.getUint16(at, true);
  }

  readU32(address: number): number | undefined {
    const at = this.checked(address, 4);
    return at < 0 ? undefined : this.view.getUint32(at, true);
  }

  readU64(address: number): number | undefined {
    const at = this.checked(address, 8);
    if (at < 0) return undefined;
    return this.view.getUint32(at + 4, true) * 2 ** 32 + this.view.getUint32(at, true);
  }

  writeU8(address: number, value: number): boolean {
    const at = this.checked(address, 1);
    if (at < 0) return false;
    this.memory[at] = value;
    this.onWrite(address, 1);
    return true;
  }

  writeU16(address: number, value: number): boolean {
    const at = this.checked(address, 2);
    if (at < 0) return false;
    this.view.setUint16(at, value, true);
    this.onWrite(address, 2);
    return true;
  }

  writeU32(address: number, value: number): boolean {
    const at = this.checked(address, 4);
    if (at < 0) return false;
    this.view.setUint32(at, value, true);
    this.onWrite(address, 4);
    return true;
  }

  writeU64(address: number, value: number): boolean {
    const at = this.checked(address, 8);
    if (at < 0) return false;
    this.view.setUint32(at, value % 2 ** 32, true);
    this.view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
    this.onWrite(address, 8);
    return true;
  }

  read(address: number, into: Uint8Array): boolean {
    const at = this.checked(address, into.length);
    if (at < 0) return false;
    into.set(this.memory.subarray(at, at + into.length));
    return true;
  }

  write(address: number, from: Uint8Array): boolean {
    const at = this.checked(address, from.length);
    if (at < 0) return false;
    this.memory.set(from, at);
    if (from.length > 0) this.onWrite(address, from.length);
    return true;
  }

  copy(address: number, bytes: number): Uint8Array | undefined {
    const at = this.checked(address, bytes);
    return at < 0 ? undefined : this.memory.slice(at, at + bytes);
  }

  fill(address: number, bytes: number, value: number): boolean {
    const at = this.checked(address, bytes);
    if (at < 0) return false;
    this.memory.fill(value, at, at + bytes);
    if (bytes > 0) this.onWrite(address, bytes);
    return true;
  }

  // Offset in memory, or -1. No sum here can leave the safe integers: both are checked first.
  private offset(address: number, bytes: number): number {
    const isSane = Number.isSafeInteger(address) && Number.isSafeInteger(bytes);
    if (!isSane || address < 0 || bytes < 0 || bytes > this.bytes) return -1;
    if (address <= this.low) return bytes <= this.low - address ? address : -1;
    if (address < HIGH_RAM_BASE) return -1;
    const at = address - HIGH_RAM_BASE + this.low;
    return at <= this.bytes && bytes <= this.bytes - at ? at : -1;
  }

  private checked(address: number, bytes: number): number {
    const at = this.offset(address, bytes);
    if (at < 0) this.refused++;
    return at;
  }
}
