// The command line of a guest, read and checked; nothing of the host is touched.
import type { ParseArgsConfig } from 'node:util';
import type { NetSpec } from '../host/backends.ts';
import { ENGINE_CHOICES, ENGINES, type EngineChoice } from '../host/engine-kinds.ts';
import {
  COMMAND_LINE_DEFAULT,
  type DiskSpec,
  diskSpec,
  MEMORY_MIB,
  macAddress,
  madeUpMac,
  type SerialLineSpec,
  serialLineSpec,
} from '../host/guest-notation.ts';
import { DISKS_MAX, NICS_MAX } from '../machine/plug.ts';
import { parseStrictly } from './arguments.ts';
import { UsageError } from './usage.ts';

export interface GuestOptions {
  readonly kernelPath: string;
  readonly initrdPath: string | undefined;
  readonly commandLine: string;
  readonly memoryMib: number;
  readonly disks: readonly DiskSpec[];
  readonly nets: readonly (NetSpec & { readonly mac: Uint8Array })[];
  readonly serial: {
    readonly com1: SerialLineSpec;
    readonly com2: SerialLineSpec;
    readonly console: SerialLineSpec;
  };
  readonly rebootsOnReset: boolean;
  readonly engine: EngineChoice;
}

const ENGINE_LINES = Object.values(ENGINES)
  .map(({ choice, words }) => `                       ${choice.padEnd(10)}${words}`)
  .join('\n');

export const GUEST_OPTIONS_HELP = `\
  --kernel FILE        a Linux bzImage or a Multiboot ELF image
  --initrd FILE        its initial ramdisk (Multiboot: a module)
  --append STRING      kernel command line
                       (default "${COMMAND_LINE_DEFAULT}")
  --memory MIB         guest memory, ${MEMORY_MIB.min} to ${MEMORY_MIB.max} (default ${MEMORY_MIB.default})
  --disk FILE[,ro]     a raw disk image; again for more, at most ${DISKS_MAX}; ",raw": whatever it looks like
  --net CABLE          a network card on tap=NAME or socket=PATH; none; again for more, at most ${NICS_MAX}
  --mac ADDRESS        of the card, as 52:54:00:12:34:56; the n-th for the n-th card
  --serial LINE        the first serial port: stdio (default), pty, socket=PATH,
                       tty=PATH (a port of this host) or none
  --com2 LINE          the second serial port (default none)
  --console LINE       a virtio console (default none)
  --no-reboot          a reset ends the guest
  --engine ENGINE      auto (default): vtx where it is exact, else soft
${ENGINE_LINES}
`;

const TEXT = { type: 'string', multiple: true } as const;
export const GUEST_OPTIONS = {
  kernel: TEXT,
  initrd: TEXT,
  append: TEXT,
  memory: TEXT,
  disk: TEXT,
  net: TEXT,
  mac: TEXT,
  serial: TEXT,
  com2: TEXT,
  console: TEXT,
  engine: TEXT,
  'no-reboot': { type: 'boolean' },
} as const satisfies ParseArgsConfig['options'];

export type GuestValues = {
  readonly [Name in keyof typeof GUEST_OPTIONS]?: Name extends 'no-reboot' ? boolean : string[];
};

/** Throws UsageError. `hostname` makes default MAC addresses differ from host to host. */
export function parseGuestOptions(args: readonly string[], hostname: string): GuestOptions {
  return guestOptions(parseStrictly(args, GUEST_OPTIONS) as GuestValues, hostname);
}

/** For commands that take a guest's options among others. */
export function guestOptions(values: GuestValues, hostname: string): GuestOptions {
  const kernelPath = once('kernel', values.kernel);
  if (kernelPath === undefined) throw new UsageError('--kernel FILE is missing');
  const serial = {
    com1: serialSpec('serial', values.serial, { kind: 'stdio' }),
    com2: serialSpec('com2', values.com2, { kind: 'none' }),
    console: serialSpec('console', values.console, { kind: 'none' }),
  };
  if (Object.values(serial).filter(({ kind }) => kind === 'stdio').length > 1)
    throw new UsageError(
      'only one of --serial (default), --com2 and --console can have stdio; give --serial none',
    );
  return {
    kernelPath,
    initrdPath: once('initrd', values.initrd),
    commandLine: once('append', values.append, true) ?? COMMAND_LINE_DEFAULT,
    memoryMib: memoryMib(once('memory', values.memory)),
    disks: diskSpecs(values.disk ?? []),
    nets: netSpecs(values.net ?? [], values.mac ?? [], hostname),
    serial,
    rebootsOnReset: values['no-reboot'] !== true,
    engine: engineChoice(once('engine', values.engine) ?? 'auto'),
  };
}

export function engineChoice(text: string): EngineChoice {
  const choice = ENGINE_CHOICES.find((one) => one === text);
  if (choice !== undefined) return choice;
  throw new UsageError(`--engine ${text}: must be one of ${ENGINE_CHOICES.join(', ')}`);
}

function once(name: string, given: string[] | undefined, mayBeEmpty = false): string | undefined {
  if (given === undefined) return undefined;
  if (given.length > 1) throw new UsageError(`--${name} is given ${given.length} times`);
  if (given[0] === '' && !mayBeEmpty) throw new UsageError(`--${name} is empty`);
  return given[0];
}

function memoryMib(text: string | undefined): number {
  if (text === undefined) return MEMORY_MIB.default;
  const mib = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (mib >= MEMORY_MIB.min && mib <= MEMORY_MIB.max) return mib;
  const range = `${MEMORY_MIB.min} to ${MEMORY_MIB.max}`;
  throw new UsageError(`--memory ${text}: must be a whole number of MiB, ${range}`);
}

function diskSpecs(given: readonly string[]): GuestOptions['disks'] {
  if (given.length > DISKS_MAX) throw new UsageError(`--disk: at most ${DISKS_MAX} disks`);
  return given.map((text) => orRefused('disk', text, diskSpec(text)));
}

function netSpecs(
  given: readonly string[],
  macs: readonly string[],
  hostname: string,
): GuestOptions['nets'] {
  const cables = given.filter((text) => text !== 'none');
  if (cables.length < given.length && given.length > 1)
    throw new UsageError('--net none and other network cards exclude each other');
  if (cables.length > NICS_MAX) throw new UsageError(`--net: at most ${NICS_MAX} network cards`);
  if (macs.length > cables.length)
    throw new UsageError(`--mac: ${macs.length} addresses for ${cables.length} network cards`);
  const addresses = cables.map((text, nic) =>
    macs[nic] === undefined
      ? madeUpMac(`${hostname} ${nic} ${text}`)
      : orRefused('mac', macs[nic], macAddress(macs[nic])),
  );
  if (new Set(addresses.map(String)).size < addresses.length)
    throw new UsageError('--mac: two network cards have the same address');
  return cables.map((text, nic) => ({ ...netSpec(text), mac: addresses[nic]! }));
}

function netSpec(text: string): NetSpec {
  const [, kind, value] = /^(tap|socket)=(.+)$/.exec(text) ?? [];
  if (kind === 'tap') return { kind, name: value! };
  if (kind === 'socket') return { kind, path: value! };
  throw new UsageError(`--net ${text}: must be tap=NAME, socket=PATH or none`);
}

function serialSpec(
  option: string,
  given: string[] | undefined,
  usual: SerialLineSpec,
): SerialLineSpec {
  const text = once(option, given);
  if (text === undefined) return usual;
  return orRefused(option, text, serialLineSpec(text, ['stdio', 'pty', 'none']));
}

/** A string says what is wrong with what was given. */
function orRefused<T>(option: string, text: string, read: T | string): T {
  if (typeof read === 'string') throw new UsageError(`--${option} ${text}: ${read}`);
  return read;
}
