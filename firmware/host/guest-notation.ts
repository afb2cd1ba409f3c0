// How people write down the parts of a guest, the same in a configuration and on a command line: disks, addresses of
// network cards, serial lines, and what holds where nothing is written. A string instead of a value says what is
// wrong with it. Pure.
import { createHash } from 'node:crypto';

export const MEMORY_MIB = { min: 4, max: 65_536, default: 256 } as const;
/** What Linux needs to know of this PC. */
export const COMMAND_LINE_DEFAULT = 'console=ttyS0 acpi=off noapic nolapic reboot=k';

export interface DiskSpec {
  readonly path: string;
  readonly isReadOnly: boolean;
  /** Whatever its first bytes look like. */
  readonly isRaw?: true;
}

/** `FILE`, `FILE,ro`, `FILE,raw`, `FILE,ro,raw`. */
export function diskSpec(text: string): DiskSpec | string {
  const [, path = '', flags = ''] = /^(.*?)((?:,ro|,raw)*)$/s.exec(text) ?? [];
  if (path === '') return 'names no file';
  const isRaw = flags.includes(',raw') ? ({ isRaw: true } as const) : {};
  return { path, isReadOnly: flags.includes(',ro'), ...isRaw };
}

export function macAddress(text: string): Uint8Array | string {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text))
    return 'must be six bytes, as 52:54:00:12:34:56';
  const mac = Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16));
  return (mac[0]! & 1) === 0 ? mac : 'is a group address';
}

/** Where none is given: locally administered, and the same every time for the same parts. */
export function madeUpMac(...parts: readonly (string | Uint8Array)[]): Uint8Array {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  const mac = Uint8Array.from(hash.digest().subarray(0, 6));
  mac[0] = 0x52;
  return mac;
}

export type SerialKind = 'none' | 'stdio' | 'pty';

/** One end of a serial line of the guest. */
export type SerialLineSpec<Kind extends SerialKind = SerialKind> =
  | { readonly kind: Kind; readonly isHalfDuplex?: true }
  | { readonly kind: 'socket' | 'tty'; readonly path: string; readonly isHalfDuplex?: true };

/**
 * One of the kinds that make sense there, `socket=PATH`, or `tty=PATH`: a port of this board. `,rs485` behind it:
 * the guest's RTS turns a transmitter on, and does not say whether it can take more.
 */
export function serialLineSpec<Kind extends SerialKind>(
  text: string,
  kinds: readonly Kind[],
): SerialLineSpec<Kind> | string {
  const [, line, flag] = /^(.*?)(,rs485)?$/s.exec(text)!;
  const duplex = flag === undefined ? {} : ({ isHalfDuplex: true } as const);
  const kind = kinds.find((one) => one === line);
  if (kind !== undefined) return { kind, ...duplex };
  const [, made, path] = /^(socket|tty)=(.+)$/s.exec(line!) ?? [];
  if (path !== undefined) return { kind: made as 'socket' | 'tty', path, ...duplex };
  return `must be ${kinds.join(', ')}, socket=PATH or tty=PATH`;
}
