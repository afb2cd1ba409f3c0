// Loads a guest into RAM and says how the vCPU starts: the file itself tells which protocol it wants.

import type { GuestRam } from '../../devices/contracts.ts';
import type { CpuSetup } from '../engine.ts';
import { EBDA_BASE, KIB } from '../memory-map.ts';
import { BootError } from './errors.ts';
import { isLinux, loadLinux } from './linux.ts';
import { findMultibootHeader, loadMultiboot } from './multiboot.ts';
import type { BootRequest } from './request.ts';

// Throws BootError when there is nothing to boot.
export function boot(ram: GuestRam, request: BootRequest): CpuSetup {
  const { kernel } = request;
  if (kernel.length === 0) throw new BootError('E_KERNEL_EMPTY', 'the kernel file is empty');
  writeBiosData(ram);
  if (isLinux(kernel)) return loadLinux(ram, request);
  const header = findMultibootHeader(kernel);
  if (header !== undefined) return loadMultiboot(ram, request, header);
  throw new BootError('E_KERNEL_UNKNOWN', `not a kernel that can be booted: ${looksLike(kernel)}`);
}

// The two words of the BIOS data area that kernels look at: where conventional memory ends.
function writeBiosData(ram: GuestRam): void {
  ram.writeU16(0x40e, EBDA_BASE / 16);
  ram.writeU16(0x413, Math.floor(EBDA_BASE / KIB));
}

const SIGNATURES: readonly { readonly bytes: readonly number[]; readonly words: string }[] = [
  {
    bytes: [0x7f, 0x45, 0x4c, 0x46],
    words: 'an ELF file without a Multiboot header (for Linux, give the bzImage, not vmlinux)',
  },
  { bytes: [0x1f, 0x8b], words: 'a gzip file (an initrd, or a kernel to be unpacked first)' },
  { bytes: [0x28, 0xb5, 0x2f, 0xfd], words: 'a zstd file' },
  { bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a], words: 'an xz file' },
  { bytes: [0x30, 0x37, 0x30, 0x37, 0x30], words: 'a cpio archive, so rather an initrd' },
  { bytes: [0x23, 0x21], words: 'a script' },
  { bytes: [0x4d, 0x5a], words: 'an EFI or DOS program without a Linux boot header' },
];

function looksLike(file: Uint8Array): string {
  const found = SIGNATURES.find(({ bytes }) => bytes.every((byte, i) => file[i] === byte));
  return found?.words ?? 'neither a Linux bzImage nor a Multiboot ELF image';
}
