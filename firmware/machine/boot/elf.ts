// ELF images for x86 as a boot loader sees them: entry and loadable segments by physical address.
// 32 and 64 bits (System V ABI, gABI chapters 4 and 5). Sections are not looked at.

import type { FileView } from './bytes.ts';
import { BootError } from './errors.ts';

const MAGIC = 0x464c457f;
const CLASS_32 = 1;
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
const EXECUTABLE = 2;
const MACHINE_I386 = 3;
const MACHINE_X86_64 = 62;
const LOADABLE = 1;

export type ElfSegment = {
  readonly physical: number;
  readonly bytes: Uint8Array; // from the file
  readonly memoryBytes: number; // the rest is zero
};

export type ElfImage = {
  readonly is64: boolean;
  readonly entryPhysical: number;
  readonly segments: readonly ElfSegment[];
};

export function isElf(file: FileView): boolean {
  return file.u32(0) === MAGIC;
}

export function readElf(file: FileView): ElfImage {
  const is64 = file.u8(4) === CLASS_64;
  if (!is64 && file.u8(4) !== CLASS_32) throw foreign('an ELF file of unknown class');
  if (file.u8(5) !== LITTLE_ENDIAN) throw foreign('a big-endian ELF file');
  if (need(file.u16(16)) !== EXECUTABLE)
    throw foreign('an ELF file that is not an executable at fixed addresses');
  const machine = need(file.u16(18));
  if (machine !== MACHINE_I386 && machine !== MACHINE_X86_64)
    throw foreign(`an ELF file for machine type ${machine}, not x86`);
  const at = is64 ? HEADER_64 : HEADER_32;
  const word = (offset: number) => need(is64 ? file.u64(offset) : file.u32(offset));
  const tableAt = word(at.programHeaders);
  const messageBytes = need(file.u16(at.programHeaderBytes));
  const count = need(file.u16(at.programHeaderCount));
  const entry = word(at.entry);
  const segments: ElfSegment[] = [];
  let entryPhysical = entry;
  for (let i = 0; i < count; i++) {
    const segmentAt = tableAt + i * messageBytes;
    if (need(file.u32(segmentAt)) !== LOADABLE) continue;
    const segment = readSegment(file, segmentAt, is64);
    if (segment.memoryBytes === 0) continue;
    segments.push(segment);
    // Entries are virtual addresses; the loader starts without paging.
    if (entry >= segment.virtual && entry < segment.virtual + segment.memoryBytes)
      entryPhysical = entry - segment.virtual + segment.physical;
  }
  if (segments.length === 0) throw foreign('an ELF file with nothing to load');
  return { is64, entryPhysical, segments };
}

const HEADER_32 = { entry: 24, programHeaders: 28, programHeaderBytes: 42, programHeaderCount: 44 };
const HEADER_64 = { entry: 24, programHeaders: 32, programHeaderBytes: 54, programHeaderCount: 56 };

function readSegment(
  file: FileView,
  at: number,
  is64: boolean,
): ElfSegment & { readonly virtual: number } {
  const word = (at64: number, at32: number) =>
    need(is64 ? file.u64(at + at64) : file.u32(at + at32));
  const offset = word(8, 4);
  const fileBytes = word(32, 16);
  const bytes = file.part(offset, fileBytes);
  if (bytes === undefined)
    throw new BootError(
      'E_KERNEL_TRUNCATED',
      `an ELF file cut off: ${file.length} of at least ${offset + fileBytes} bytes`,
    );
  const memoryBytes = word(40, 20);
  if (memoryBytes < fileBytes)
    throw foreign('a damaged ELF file: a segment larger than its memory');
  return { virtual: word(16, 8), physical: word(24, 12), bytes, memoryBytes };
}

function need(value: number | undefined): number {
  if (value === undefined)
    throw new BootError('E_KERNEL_TRUNCATED', 'an ELF file cut off within its headers');
  return value;
}

function foreign(what: string): BootError {
  return new BootError('E_KERNEL_FOREIGN', what);
}
