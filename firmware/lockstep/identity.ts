// What a log or checkpoint is of. A replay needs the very same guest on the very same machine; where
// it is not, it is refused with every difference in words, not with a divergence later.
import type { StateObject } from '../devices/contracts.ts';

export interface MachineIdentity {
  readonly firmwareVersion: string;
  /** 'soft' or 'vtx'; positions of one mean nothing to the other. */
  readonly engine: string;
  readonly cpuModel: string;
  readonly memoryBytes: number;
  readonly epochSeconds: number;
  readonly entropySeed: Uint8Array;
  readonly multiplier: bigint;
  readonly commandLine: string;
  /** SHA-256 of each file as it was at the start. */
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array | null;
  readonly disks: readonly {
    readonly bytes: number;
    readonly sha256: Uint8Array;
    readonly isReadOnly: boolean;
  }[];
  readonly macs: readonly Uint8Array[];
  readonly hasConsole: boolean;
}

const WORDS: Record<keyof MachineIdentity, string> = {
  firmwareVersion: 'firmware version',
  engine: 'engine',
  cpuModel: 'CPU model',
  memoryBytes: 'memory',
  epochSeconds: 'start time',
  entropySeed: 'entropy seed',
  multiplier: 'initial clock rate',
  commandLine: 'kernel command line',
  kernel: 'kernel file',
  initrd: 'initrd file',
  disks: 'disks',
  macs: 'network cards',
  hasConsole: 'virtio console',
};

/** As canonical state, for the head of a file. */
export function identityState(identity: MachineIdentity): StateObject {
  return { ...identity, disks: identity.disks.map((disk) => ({ ...disk })) } as StateObject;
}

/** The identity in the head of a file; undefined when it is not one. */
export function identityFrom(state: StateObject): MachineIdentity | undefined {
  const missing = Object.keys(WORDS).filter((field) => !(field in state));
  return missing.length === 0 ? (state as unknown as MachineIdentity) : undefined;
}

/** Every difference that makes a replay impossible, in words; empty when there is none. */
export function identityDifferences(recorded: MachineIdentity, here: MachineIdentity): string[] {
  return (Object.keys(WORDS) as (keyof MachineIdentity)[]).flatMap((field) => {
    if (field === 'disks') return diskDifferences(recorded.disks, here.disks);
    return difference(WORDS[field], text(recorded[field]), text(here[field]));
  });
}

type Disks = MachineIdentity['disks'];

function diskDifferences(recorded: Disks, here: Disks): string[] {
  const count = Math.max(recorded.length, here.length);
  return Array.from({ length: count }, (_, at) =>
    difference(`disk ${at}`, diskText(recorded[at]), diskText(here[at])),
  ).flat();
}

function difference(what: string, there: string, now: string): string[] {
  return there === now ? [] : [`${what}: recorded with ${there}, here it is ${now}`];
}

function diskText(disk: Disks[number] | undefined): string {
  if (disk === undefined) return 'none';
  return `${disk.bytes} bytes${disk.isReadOnly ? ', read-only' : ''}, ${text(disk.sha256)}`;
}

function text(value: unknown): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex').slice(0, 16);
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.map(text).join(' and ');
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return fields.map(([name, field]) => `${name} ${text(field)}`).join(', ');
  }
  return value === null ? 'none' : String(value);
}
