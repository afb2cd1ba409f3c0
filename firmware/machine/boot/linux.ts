// The Linux/x86 boot protocol, 64-bit entry (Linux, Documentation/arch/x86/boot.rst).
//
// The kernel is put where it asks to be, the initrd as high as it may be, and below 640 KiB lie the
// tables a 64-bit entry needs:
//
//     0x0500  GDT             0x7000  boot_params ("zero page")
//     0x9000  page tables: PML4, PDPT and four directories, the first 4 GiB mapped to themselves
//     0x20000 command line

import type { GuestRam } from '../../devices/contracts.ts';
import type { CpuSetup, SegmentSetup } from '../engine.ts';
import { EBDA_BASE, lowRamBytes, MIB, memoryMap, PAGE_BYTES } from '../memory-map.ts';
import { alignDown, alignUp, commandLineBytes, FileView } from './bytes.ts';
import { BootError } from './errors.ts';
import type { BootRequest } from './request.ts';

// Setup header in the file, and at the same offsets in boot_params.
const AT = {
  setupSectors: 0x1f1,
  systemParagraphs: 0x1f4,
  bootFlag: 0x1fe,
  jump: 0x200, // its second byte tells where the header ends
  magic: 0x202,
  version: 0x206,
  loaderType: 0x210,
  loadFlags: 0x211,
  initrdAddress: 0x218,
  initrdBytes: 0x21c,
  commandLine: 0x228,
  initrdAddressMax: 0x22c,
  alignment: 0x230,
  isRelocatable: 0x234,
  extendedLoadFlags: 0x236,
  commandLineBytesMax: 0x238,
  preferredAddress: 0x258,
  initBytes: 0x260,
} as const;
// boot_params only.
const E820_COUNT = 0x1e8;
const E820_TABLE = 0x2d0;
const E820_KIND = { ram: 1, reserved: 2 } as const;

const MAGIC = 0x53726448; // "HdrS"
const BOOT_FLAG = 0xaa55;
const VERSION_MIN = 0x20c;
const LOADED_HIGH = 1 << 0;
const ENTRY_64 = 1 << 0;
const ENTRY_64_OFFSET = 0x200;
const LOADER_UNDEFINED = 0xff;
const SECTOR_BYTES = 512;
/**
 * The header counts paragraphs, old loaders read sectors: a file may end before the last one is full (memtest86+
 * does, 8 bytes early), and RAM is zero there.
 */
const PADDING_BYTES = SECTOR_BYTES;

const GDT = 0x500;
const BOOT_PARAMS = 0x7000;
const PAGE_TABLES = 0x9000;
const COMMAND_LINE = 0x20000;

export function isLinux(file: Uint8Array): boolean {
  const view = new FileView(file);
  return view.u16(AT.bootFlag) === BOOT_FLAG && view.u32(AT.magic) === MAGIC;
}

export function loadLinux(ram: GuestRam, request: BootRequest): CpuSetup {
  const header = readHeader(new FileView(request.kernel));
  const kernelBase = placeKernel(ram, header);
  const initrdBase = placeInitrd(ram, header, kernelBase, request.initrd);
  ram.write(kernelBase, header.payload);
  writeBootParams(ram, request, header, initrdBase);
  writePageTables(ram);
  writeGdt(ram);
  return {
    rip: kernelBase + ENTRY_64_OFFSET,
    rflags: 0x2,
    registers: { rsi: BOOT_PARAMS, rsp: EBDA_BASE & ~0xf },
    cs: CODE_64,
    data: DATA,
    taskState: TASK_STATE,
    cr0: 0x8000_0011, // PG, ET, PE
    cr3: PAGE_TABLES,
    cr4: 0x20, // PAE
    efer: 0x500, // LMA, LME
    gdtBase: GDT,
    gdtLimit: 8 * GDT_ENTRIES.length - 1,
  };
}

// ---- reading the file -----------------------------------------------------------------------

type LinuxHeader = {
  readonly setup: Uint8Array; // header as in the file, from 0x1f1 on
  readonly payload: Uint8Array; // the protected-mode part
  readonly alignment: number;
  readonly isRelocatable: boolean;
  readonly preferredAddress: number;
  readonly initBytes: number;
  readonly initrdAddressMax: number;
  readonly commandLineBytesMax: number;
};

function readHeader(file: FileView): LinuxHeader {
  const end = AT.magic + need(file.u8(AT.jump + 1), 'header');
  const setup = file.part(AT.setupSectors, end - AT.setupSectors);
  const version = need(file.u16(AT.version), 'header');
  if (version < VERSION_MIN)
    throw new BootError(
      'E_KERNEL_OLD',
      `Linux boot protocol ${version >> 8}.${version & 0xff} is too old, 2.12 (Linux 3.8) is needed`,
    );
  const extended = need(file.u16(AT.extendedLoadFlags), 'header');
  if ((extended & ENTRY_64) === 0)
    throw new BootError('E_KERNEL_32BIT', 'a 32-bit Linux kernel; a 64-bit one is needed');
  if ((need(file.u8(AT.loadFlags), 'header') & LOADED_HIGH) === 0)
    throw new BootError('E_KERNEL_OLD', 'a Linux zImage that loads below 1 MiB; give a bzImage');
  const sectors = need(file.u8(AT.setupSectors), 'header') || 4;
  const start = (sectors + 1) * SECTOR_BYTES;
  const payloadBytes = 16 * need(file.u32(AT.systemParagraphs), 'header');
  if (file.length <= start + payloadBytes - PADDING_BYTES)
    throw new BootError(
      'E_KERNEL_TRUNCATED',
      `a Linux kernel cut off: ${file.length} of at least ${start + payloadBytes} bytes`,
    );
  return {
    setup: need(setup, 'header'),
    payload: file.bytes.subarray(start),
    alignment: need(file.u32(AT.alignment), 'header') || PAGE_BYTES,
    isRelocatable: need(file.u8(AT.isRelocatable), 'header') !== 0,
    preferredAddress: need(file.u64(AT.preferredAddress), 'header'),
    initBytes: need(file.u32(AT.initBytes), 'header'),
    initrdAddressMax: need(file.u32(AT.initrdAddressMax), 'header'),
    commandLineBytesMax: need(file.u32(AT.commandLineBytesMax), 'header'),
  };
}

function need<T>(value: T | undefined, part: string): T {
  if (value === undefined)
    throw new BootError('E_KERNEL_TRUNCATED', `a Linux kernel cut off within its ${part}`);
  return value;
}

// ---- placing --------------------------------------------------------------------------------

// Bytes the kernel needs from its load address on before it has its own memory management.
function kernelBytes(header: LinuxHeader): number {
  return Math.max(header.initBytes, header.payload.length);
}

function placeKernel(ram: GuestRam, header: LinuxHeader): number {
  const end = lowRamBytes(ram.bytes);
  const wanted = kernelBytes(header);
  if (header.preferredAddress + wanted <= end) return header.preferredAddress;
  const lowest = alignUp(MIB, header.alignment);
  if (header.isRelocatable && lowest + wanted <= end) return lowest;
  throw tooSmall(header.isRelocatable ? lowest + wanted : header.preferredAddress + wanted);
}

// As high as allowed: the kernel unpacks itself upwards.
function placeInitrd(
  ram: GuestRam,
  header: LinuxHeader,
  kernelBase: number,
  initrd: Uint8Array | undefined,
): number {
  if (initrd === undefined || initrd.length === 0) return 0;
  const end = Math.min(lowRamBytes(ram.bytes), header.initrdAddressMax + 1);
  const base = alignDown(end - initrd.length, PAGE_BYTES);
  const kernelEnd = kernelBase + kernelBytes(header);
  if (base < kernelEnd) throw tooSmall(alignUp(kernelEnd, PAGE_BYTES) + initrd.length);
  ram.write(base, initrd);
  return base;
}

function tooSmall(bytes: number): BootError {
  const mib = Math.ceil(bytes / MIB);
  return new BootError('E_MEMORY_TOO_SMALL', `too little memory: at least ${mib} MiB are needed`);
}

// ---- tables ---------------------------------------------------------------------------------

function writeBootParams(
  ram: GuestRam,
  request: BootRequest,
  header: LinuxHeader,
  initrdBase: number,
): void {
  const commandLine = commandLineBytes(request.commandLine);
  if (commandLine.length - 1 > header.commandLineBytesMax)
    throw new BootError(
      'E_COMMAND_LINE',
      `the command line has ${commandLine.length - 1} bytes, this kernel takes ${header.commandLineBytesMax}`,
    );
  ram.write(COMMAND_LINE, commandLine);
  ram.fill(BOOT_PARAMS, PAGE_BYTES, 0);
  ram.write(BOOT_PARAMS + AT.setupSectors, header.setup);
  ram.writeU8(BOOT_PARAMS + AT.loaderType, LOADER_UNDEFINED);
  ram.writeU32(BOOT_PARAMS + AT.commandLine, COMMAND_LINE);
  ram.writeU32(BOOT_PARAMS + AT.initrdAddress, initrdBase);
  ram.writeU32(BOOT_PARAMS + AT.initrdBytes, initrdBase === 0 ? 0 : request.initrd!.length);
  const map = memoryMap(ram.bytes);
  ram.writeU8(BOOT_PARAMS + E820_COUNT, map.length);
  map.forEach((region, i) => {
    const at = BOOT_PARAMS + E820_TABLE + 20 * i;
    ram.writeU64(at, region.base);
    ram.writeU64(at + 8, region.count);
    ram.writeU32(at + 16, E820_KIND[region.kind]);
  });
}

// 4 GiB of identity mapping in 2 MiB pages: present, writable, and in the directories "large".
function writePageTables(ram: GuestRam): void {
  const [pml4, pdpt, directories] = [0, 1, 2].map((i) => PAGE_TABLES + i * PAGE_BYTES) as [
    number,
    number,
    number,
  ];
  ram.fill(PAGE_TABLES, 6 * PAGE_BYTES, 0);
  ram.writeU64(pml4, pdpt + 0x3);
  for (let i = 0; i < 4; i++) ram.writeU64(pdpt + 8 * i, directories + i * PAGE_BYTES + 0x3);
  for (let i = 0; i < 2048; i++) ram.writeU64(directories + 8 * i, i * 2 * MIB + 0x83);
}

// Selectors the protocol names: code 0x10, data 0x18.
const CODE_64: SegmentSetup = { selector: 0x10, base: 0, limit: 0xffff_ffff, attributes: 0xa09b };
const DATA: SegmentSetup = { selector: 0x18, base: 0, limit: 0xffff_ffff, attributes: 0xc093 };
const TASK_STATE: SegmentSetup = { selector: 0x20, base: 0, limit: 0x67, attributes: 0x8b };
const GDT_ENTRIES: readonly (readonly [low: number, high: number])[] = [
  [0, 0],
  [0, 0],
  [0x0000_ffff, 0x00af_9b00],
  [0x0000_ffff, 0x00cf_9300],
  [0x0000_0067, 0x0000_8b00], // 64-bit TSS: two slots
  [0, 0],
];

function writeGdt(ram: GuestRam): void {
  GDT_ENTRIES.forEach(([low, high], i) => {
    ram.writeU32(GDT + 8 * i, low);
    ram.writeU32(GDT + 8 * i + 4, high);
  });
}
