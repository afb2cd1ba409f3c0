// Where things lie in guest-physical memory, and the map of it that boot protocols hand over.

import type { AddressRange } from '../devices/contracts.ts';

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;
export const PAGE_BYTES = 4096;

// RAM below this address; what is left appears at HIGH_RAM_BASE. The gap is for devices. Same
// numbers as twinstep::soft::Engine::kLowRamMax.
export const LOW_RAM_MAX = 3 * GIB;
export const HIGH_RAM_BASE = 4 * GIB;

// Conventional memory ends where BIOSes keep their extended data area; from there to 1 MiB there are
// no devices here, but guests expect video memory and ROM and must not find RAM in the map.
export const EBDA_BASE = 0x9_fc00;
export const ROM_BASE = 0xf_0000;
export const EXTENDED_BASE = MIB;

export type MemoryKind = 'ram' | 'reserved';
export type MemoryRegion = AddressRange & { readonly kind: MemoryKind };

export function lowRamBytes(ramBytes: number): number {
  return Math.min(ramBytes, LOW_RAM_MAX);
}

// The map of a machine with so much RAM, ascending.
export function memoryMap(ramBytes: number): MemoryRegion[] {
  const low = lowRamBytes(ramBytes);
  const regions: MemoryRegion[] = [
    { base: 0, count: EBDA_BASE, kind: 'ram' },
    { base: EBDA_BASE, count: 0xa_0000 - EBDA_BASE, kind: 'reserved' },
    { base: ROM_BASE, count: EXTENDED_BASE - ROM_BASE, kind: 'reserved' },
    { base: EXTENDED_BASE, count: low - EXTENDED_BASE, kind: 'ram' },
  ];
  if (ramBytes > low) regions.push({ base: HIGH_RAM_BASE, count: ramBytes - low, kind: 'ram' });
  return regions;
}
