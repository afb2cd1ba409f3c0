// What a BIOS leaves in CMOS memory about a machine of so much RAM (PC convention): sizes in KiB below
// 64 MiB, and in 64 KiB blocks above 16 MiB.

import { KIB, lowRamBytes, MIB } from './memory-map.ts';

const BASE_KIB = 640;

export function cmosPresets(ramBytes: number): [number, number][] {
  const low = lowRamBytes(ramBytes);
  const extendedKib = Math.min((low - MIB) / KIB, 0xffff);
  const blocks = Math.min(Math.max(low - 16 * MIB, 0) / (64 * KIB), 0xffff);
  const word = (at: number, value: number): [number, number][] => [
    [at, value & 0xff],
    [at + 1, value >> 8],
  ];
  return [
    ...word(0x15, BASE_KIB),
    ...word(0x17, extendedKib),
    ...word(0x30, extendedKib),
    ...word(0x34, Math.floor(blocks)),
  ];
}
