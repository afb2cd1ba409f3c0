// Guest RAM by guest-physical address, for devices and loaders.
//
// The gap below 4 GiB is handled here and nowhere else. Every access is checked against RAM before
// the first byte moves; an access that does not lie wholly inside is refused and counted, never
// thrown, because addresses come from guests.

import type { GuestRam } from '../devices/contracts.ts';
import type { MemoryBanks } from './memory-banks.ts';
import { HIGH_RAM_BASE, lowRamBytes } from './memory-map.ts';

export type RamOptions = {
  readonly memory: MemoryBanks;
  // Told of every write, by guest-physical address (the engine may hold decoded code).
  readonly onWrite: (address: number, bytes: number) => void;
};

export class Ram implements GuestRam {
  readonly bytes: number;
  refused = 0;

  private readonly memory: MemoryBanks;
  private readonly low: number;
  private readonly onWrite: (address: number, bytes: number) => void;

  constructor(options: RamOptions) {
    const { memory } = options;
    this.bytes = memory.bytes;
    this.memory = memory;
    this.low = lowRamBytes(memory.bytes);
    this.onWrite = options.onWrite;
  }

  has(address: number, bytes: number): boolean {
    return this.offset(address, bytes) >= 0;
  }

  readU8(address: number): number | undefined {
    const at = this.checked(address, 1);
    return at < 0 ? undefined : this.memory.u8(at);
  }

  readU16(address: number): number | undefined {
    const at = this.checked(address, 2);
    return at < 0 ? undefined : this.memory.u16(at);
  }

  readU32(address: number): number | undefined {
    const at = this.checked(address, 4);
    return at < 0 ? undefined : this.memory.u32(at);
  }

  readU64(address: number): number | undefined {
    const at = this.checked(address, 8);
    if (at < 0) return undefined;
    return this.memory.u32(at + 4) * 2 ** 32 + this.memory.u32(at);
  }

  writeU8(address: number, value: number): boolean {
    const at = this.checked(address, 1);
    if (at < 0) return false;
    this.memory.setU8(at, value);
    this.onWrite(address, 1);
    return true;
  }

  writeU16(address: number, value: number): boolean {
    const at = this.checked(address, 2);
    if (at < 0) return false;
    this.memory.setU16(at, value);
    this.onWrite(address, 2);
    return true;
  }

  writeU32(address: number, value: number): boolean {
    const at = this.checked(address, 4);
    if (at < 0) return false;
    this.memory.setU32(at, value);
    this.onWrite(address, 4);
    return true;
  }

  writeU64(address: number, value: number): boolean {
    const at = this.checked(address, 8);
    if (at < 0) return false;
    this.memory.setU32(at, value % 2 ** 32);
    this.memory.setU32(at + 4, Math.floor(value / 2 ** 32));
    this.onWrite(address, 8);
    return true;
  }

  read(address: number, into: Uint8Array): boolean {
    const at = this.checked(address, into.length);
    if (at < 0) return false;
    this.memory.read(at, into);
    return true;
  }

  write(address: number, from: Uint8Array): boolean {
    const at = this.checked(address, from.length);
    if (at < 0) return false;
    this.memory.write(at, from);
    if (from.length > 0) this.onWrite(address, from.length);
    return true;
  }

  copy(address: number, bytes: number): Uint8Array | undefined {
    const at = this.checked(address, bytes);
    return at < 0 ? undefined : this.memory.copy(at, bytes);
  }

  fill(address: number, bytes: number, value: number): boolean {
    const at = this.checked(address, bytes);
    if (at < 0) return false;
    this.memory.fill(at, bytes, value);
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
