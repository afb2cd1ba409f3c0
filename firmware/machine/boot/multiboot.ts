// Multiboot 1 (Multiboot Specification 0.6.96): ELF images of either class, entered in 32-bit
// protected mode without paging; memory map, command line, and the initrd as the only module.
//
// The a.out address fields are not used; images that need them (not ELF) are refused.

import type { GuestRam } from '../../devices/contracts.ts';
import type { CpuSetup, SegmentSetup } from '../engine.ts';
import {
  EBDA_BASE,
  EXTENDED_BASE,
  KIB,
  lowRamBytes,
  MIB,
  memoryMap,
  PAGE_BYTES,
} from '../memory-map.ts';
import { alignUp, commandLineBytes, FileView } from './bytes.ts';
import { type ElfImage, isElf, readElf } from './elf.ts';
import { BootError } from './errors.ts';
import type { BootRequest } from './request.ts';

const SEARCH_BYTES = 8192;
const HEADER_MAGIC = 0x1badb002;
const ENTRY_MAGIC = 0x2badb002;

const HeaderFlag = {
  alignModules: 1 << 0,
  wantMemory: 1 << 1,
  required: 0xffff, // bits 0..15 must be understood
} as const;

const Info = {
  memory: 1 << 0,
  commandLine: 1 << 2,
  modules: 1 << 3,
  memoryMap: 1 << 6,
  loaderName: 1 << 9,
} as const;

// Offsets in the information structure.
const AT = {
  flags: 0,
  memoryLowerKib: 4,
  memoryUpperKib: 8,
  commandLine: 16,
  moduleCount: 20,
  modules: 24,
  mapBytes: 44,
  map: 48,
  loaderName: 64,
} as const;
const INFO_BYTES = 128;
const MODULE_BYTES = 16;
const MAP_ENTRY_BYTES = 24; // its size field does not count itself
const MAP_KIND = { ram: 1, reserved: 2 } as const;
const LOADER_NAME = 'twinstep';

export type MultibootHeader = { readonly flags: number };

export function findMultibootHeader(file: Uint8Array): MultibootHeader | undefined {
  const view = new FileView(file);
  for (let at = 0; at + 12 <= Math.min(file.length, SEARCH_BYTES); at += 4) {
    if (view.u32(at) !== HEADER_MAGIC) continue;
    const flags = view.u32(at + 4)!;
    if ((HEADER_MAGIC + flags + view.u32(at + 8)!) % 2 ** 32 === 0) return { flags };
  }
  return undefined;
}

export function loadMultiboot(
  ram: GuestRam,
  request: BootRequest,
  header: MultibootHeader,
): CpuSetup {
  const understood = HeaderFlag.alignModules | HeaderFlag.wantMemory;
  const unknown = header.flags & HeaderFlag.required & ~understood;
  if (unknown !== 0)
    throw new BootError(
      'E_KERNEL_UNSUPPORTED',
      `a Multiboot image that requires features 0x${unknown.toString(16)} nobody here offers`,
    );
  const file = new FileView(request.kernel);
  if (!isElf(file))
    throw new BootError('E_KERNEL_UNSUPPORTED', 'a Multiboot image that is not an ELF file');
  const image = readElf(file);
  const kernelEnd = writeSegments(ram, image);
  const module = writeModule(ram, request.initrd, kernelEnd);
  const info = writeInfo(ram, request, image, module);
  return {
    rip: image.entryPhysical,
    rflags: 0x2,
    registers: { rax: ENTRY_MAGIC, rbx: info },
    cs: CODE_32,
    data: DATA,
    cr0: 0x11, // ET, PE
    cr3: 0,
    cr4: 0,
    efer: 0,
    gdtBase: 0,
    gdtLimit: 0,
  };
}

const CODE_32: SegmentSetup = { selector: 0x08, base: 0, limit: 0xffff_ffff, attributes: 0xc09b };
const DATA: SegmentSetup = { selector: 0x10, base: 0, limit: 0xffff_ffff, attributes: 0xc093 };

// Answers where the image ends, zeroed memory included.
function writeSegments(ram: GuestRam, image: ElfImage): number {
  let end = 0;
  for (const { physical, bytes, memoryBytes } of image.segments) {
    if (!ram.has(physical, memoryBytes) || physical + memoryBytes > lowRamBytes(ram.bytes))
      throw tooSmall(physical + memoryBytes);
    ram.write(physical, bytes);
    ram.fill(physical + bytes.length, memoryBytes - bytes.length, 0);
    end = Math.max(end, physical + memoryBytes);
  }
  return end;
}

type Module = { readonly base: number; readonly end: number };

function writeModule(
  ram: GuestRam,
  initrd: Uint8Array | undefined,
  kernelEnd: number,
): Module | undefined {
  if (initrd === undefined) return undefined;
  const base = alignUp(Math.max(kernelEnd, EXTENDED_BASE), PAGE_BYTES);
  const end = base + initrd.length;
  if (end > lowRamBytes(ram.bytes) || !ram.write(base, initrd)) throw tooSmall(end);
  return { base, end };
}

// The structure and everything it points to, in one block.
function writeInfo(
  ram: GuestRam,
  request: BootRequest,
  image: ElfImage,
  module: Module | undefined,
): number {
  const map = memoryMap(ram.bytes);
  const commandLine = commandLineBytes(request.commandLine);
  const loaderName = commandLineBytes(LOADER_NAME);
  const mapBytes = map.length * MAP_ENTRY_BYTES;
  const total = INFO_BYTES + MODULE_BYTES + mapBytes + loaderName.length + commandLine.length;
  const info = placeInfo(ram, image, module, total);
  const modulesAt = info + INFO_BYTES;
  const mapAt = modulesAt + MODULE_BYTES;
  const loaderNameAt = mapAt + mapBytes;
  const commandLineAt = loaderNameAt + loaderName.length;
  const put = (at: number, value: number) => ram.writeU32(info + at, value);

  ram.fill(info, total, 0);
  let flags = Info.memory | Info.commandLine | Info.memoryMap | Info.loaderName;
  put(AT.memoryLowerKib, Math.floor(EBDA_BASE / KIB));
  put(AT.memoryUpperKib, Math.floor((lowRamBytes(ram.bytes) - EXTENDED_BASE) / KIB));
  put(AT.commandLine, commandLineAt);
  ram.write(commandLineAt, commandLine);
  put(AT.loaderName, loaderNameAt);
  ram.write(loaderNameAt, loaderName);
  if (module !== undefined) {
    flags |= Info.modules;
    put(AT.moduleCount, 1);
    put(AT.modules, modulesAt);
    ram.writeU32(modulesAt, module.base);
    ram.writeU32(modulesAt + 4, module.end);
    ram.writeU32(modulesAt + 8, commandLineAt + commandLine.length - 1); // an empty string
  }
  put(AT.mapBytes, mapBytes);
  put(AT.map, mapAt);
  map.forEach((region, i) => {
    const at = mapAt + i * MAP_ENTRY_BYTES;
    ram.writeU32(at, MAP_ENTRY_BYTES - 4);
    ram.writeU64(at + 4, region.base);
    ram.writeU64(at + 12, region.count);
    ram.writeU32(at + 20, MAP_KIND[region.kind]);
  });
  put(AT.flags, flags);
  return info;
}

// In conventional memory if the image leaves room there, else behind everything else.
function placeInfo(
  ram: GuestRam,
  image: ElfImage,
  module: Module | undefined,
  bytes: number,
): number {
  const taken = image.segments.map((segment) => ({
    base: segment.physical,
    end: segment.physical + segment.memoryBytes,
  }));
  if (module !== undefined) taken.push(module);
  const isFree = (at: number) => taken.every(({ base, end }) => at + bytes <= base || at >= end);
  for (let at = 0x1000; at + bytes <= EBDA_BASE; at += 0x1000) if (isFree(at)) return at;
  const behind = alignUp(Math.max(EXTENDED_BASE, ...taken.map(({ end }) => end)), PAGE_BYTES);
  if (behind + bytes > lowRamBytes(ram.bytes)) throw tooSmall(behind + bytes);
  return behind;
}

function tooSmall(bytes: number): BootError {
  const mib = Math.ceil(bytes / MIB);
  return new BootError('E_MEMORY_TOO_SMALL', `too little memory: at least ${mib} MiB are needed`);
}
