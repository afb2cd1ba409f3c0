// Bare-metal guests (test/guests/metal) as images: compiled by gcc, put into memory as Multiboot says.
import { readFileSync } from 'node:fs';
import { FileView } from '../../firmware/machine/boot/bytes.ts';
import { readElf } from '../../firmware/machine/boot/elf.ts';
import type { CpuSetup } from '../../native/index.ts';
import { compile, filesIn } from '../harness/compile.ts';
import { needs } from '../harness/index.ts';

const FOLDER = 'test/guests/metal';
const FLAGS = [
  '-std=gnu17',
  '-O1',
  '-ffreestanding',
  '-fno-pic',
  '-no-pie',
  '-mno-red-zone',
  '-mgeneral-regs-only',
  '-fno-stack-protector',
  '-fcf-protection=none',
  '-fno-asynchronous-unwind-tables',
  '-masm=intel',
  '-Wall',
  '-Wextra',
  '-Werror',
];
const LINK = [
  '-nostdlib',
  '-static',
  '-Wl,--build-id=none',
  '-Wl,-z,max-page-size=4096',
  '-Wl,-z,noexecstack',
  '-Wl,--no-warn-rwx-segments',
];

/** Guests that check the CPU from the inside and end by themselves, in under a million instructions. */
export const GUESTS = [
  'paging',
  'faults',
  'interrupts',
  'selfmod',
  'strings',
  'syscalls',
  'fpu',
  'mmio',
  'ports',
  'tsc',
  'busy',
  'modes',
  'returns',
  'debug',
  'forms',
] as const;

/** For `suite.needs()`. */
export const needsGcc = () => needs.command('gcc');

/**
 * The ELF32 file of guest NAME: NAME.c, NAME.S where there is one, and the common part. `defines`
 * (LOOP=calls) make variants of it.
 */
export function buildGuest(name: string, ...defines: string[]): string {
  const own = filesIn(FOLDER, new RegExp(`^${name}\\.[cS]$`));
  const common = [`${FOLDER}/start.S`, `${FOLDER}/metal.c`];
  const script = `${FOLDER}/link.ld`;
  return compile({
    name: ['guest', name, ...defines.map((define) => define.replace(/\W/g, '-'))].join('-'),
    inputs: [...own, ...common, script, `${FOLDER}/metal.h`],
    commands: (out) => [
      [
        'gcc',
        ...FLAGS,
        ...defines.map((define) => `-D${define}`),
        ...LINK,
        ...['-T', script, '-o', `${out}/elf64`],
        ...common,
        ...own,
      ],
      ['objcopy', '-O', 'elf32-i386', `${out}/elf64`, `${out}/${name}`],
    ],
    result: name,
  });
}

export interface Image {
  segments: readonly { address: number; bytes: Uint8Array }[];
  cpu: CpuSetup;
}

export function loadGuest(name: string, ...defines: string[]): Image {
  const file = readFileSync(buildGuest(name, ...defines));
  const { segments, entryPhysical } = readElf(new FileView(file));
  return {
    segments: segments.map(({ physical, bytes }) => ({ address: physical, bytes })),
    cpu: multibootCpu(entryPhysical),
  };
}

/** Multiboot 0.6.96, 3.2: flat 32-bit protected mode, interrupts off. */
export function multibootCpu(entry: number): CpuSetup {
  const flat = { base: 0, limit: 0xffffffff };
  return {
    rip: entry,
    rflags: 2,
    registers: { rax: 0x2badb002, rbx: 0 },
    cs: { selector: 8, attributes: 0xc09b, ...flat },
    data: { selector: 16, attributes: 0xc093, ...flat },
    cr0: 0x11,
    cr3: 0,
    cr4: 0,
    efer: 0,
    gdtBase: 0,
    gdtLimit: 0,
  };
}
