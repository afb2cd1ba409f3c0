// What makes a guest the guest it is: one table of its properties, with their words and where each of
// them counts. The same guest on another machine, or a property that is not in this table, is a
// divergence later; one that is, is a sentence before anything has run.
//
//     pair     two configurations must agree in it (firmware/board/config/pair-hash.ts)
//     sync-up  a board that wants to follow must have it alike (firmware/board/replication/compat.ts)
//     replay   it heads a log or checkpoint, and a replay needs it alike
//
// To add one: its value here, then follow the compiler.
import type { StateObject, StateValue } from '../devices/contracts.ts';

/** A property as the machine knows it. Files are told apart by their SHA-256. */
export interface GuestValues {
  readonly firmwareVersion: string;
  /** Positions of one engine mean nothing to another. */
  readonly engine: string;
  readonly cpuModel: string;
  readonly memoryBytes: number;
  readonly commandLine: string;
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array | null;
  readonly disks: readonly GuestDisk[];
  readonly macs: readonly Uint8Array[];
  readonly hasConsole: boolean;
  /** What starts the guest over instead of ending it. */
  readonly restartsOn: readonly string[];
  /** What COM1 and COM2 end in. */
  readonly lines: readonly string[];
  /** Of one life; at sync-up they travel with it. */
  readonly epochSeconds: number;
  readonly entropySeed: Uint8Array;
  readonly multiplier: bigint;
}

export interface GuestDisk {
  readonly bytes: number;
  readonly isReadOnly: boolean;
}

export type Counting = 'pair' | 'sync-up' | 'replay';

const EVERYWHERE = ['pair', 'sync-up', 'replay'] as const;
const ONCE_IT_RUNS = ['sync-up', 'replay'] as const;

export const GUEST_PROPERTIES = {
  firmwareVersion: { words: 'firmware version', counts: ONCE_IT_RUNS },
  engine: { words: 'engine', counts: EVERYWHERE },
  cpuModel: { words: 'CPU model', counts: ONCE_IT_RUNS },
  memoryBytes: { words: 'guest memory', counts: EVERYWHERE },
  commandLine: { words: 'kernel command line', counts: EVERYWHERE },
  // Their paths may differ.
  kernel: { words: 'kernel file', counts: ONCE_IT_RUNS },
  initrd: { words: 'initrd file', counts: ONCE_IT_RUNS },
  // Number and write protection; sizes once they are open.
  disks: { words: 'disks', counts: EVERYWHERE },
  macs: { words: 'network cards', counts: EVERYWHERE },
  hasConsole: { words: 'virtio console', counts: ONCE_IT_RUNS },
  restartsOn: { words: 'what restarts the guest', counts: ['pair', 'sync-up'] },
  lines: { words: 'serial lines', counts: ['pair'] },
  epochSeconds: { words: 'start time', counts: ['replay'] },
  entropySeed: { words: 'entropy seed', counts: ['replay'] },
  multiplier: { words: 'initial clock rate', counts: ['replay'] },
} as const satisfies Record<
  keyof GuestValues,
  { readonly words: string; readonly counts: readonly Counting[] }
>;

export type GuestProperty = keyof GuestValues;

/** The properties that count there. */
export type PropertyAt<Where extends Counting> = {
  [Name in GuestProperty]: Where extends (typeof GUEST_PROPERTIES)[Name]['counts'][number]
    ? Name
    : never;
}[GuestProperty];

/** What a board says of its guest before it follows. */
export type GuestFacts = Pick<GuestValues, PropertyAt<'sync-up'>>;

/** What a log or checkpoint is of. */
export type MachineIdentity = Omit<Pick<GuestValues, PropertyAt<'replay'>>, 'disks'> & {
  readonly disks: readonly (GuestDisk & {
    /** As it was at the start. */
    readonly sha256: Uint8Array;
  })[];
};

export function propertiesAt<Where extends Counting>(where: Where): PropertyAt<Where>[] {
  const names = Object.keys(GUEST_PROPERTIES) as GuestProperty[];
  const counts = (name: GuestProperty): readonly Counting[] => GUEST_PROPERTIES[name].counts;
  return names.filter((name): name is PropertyAt<Where> => counts(name).includes(where));
}

// ---- sync-up --------------------------------------------------------------------------------

/** As they travel: bytes as hexadecimal text, no file as no text. */
export function factsState(facts: GuestFacts): StateObject {
  const names = propertiesAt('sync-up');
  return Object.fromEntries(names.map((name) => [name, asText(facts[name])]));
}

function asText(value: GuestFacts[keyof GuestFacts]): StateValue {
  if (value === null) return '';
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (typeof value !== 'object') return value;
  return (value as readonly (string | Uint8Array | GuestDisk)[]).map((one): StateValue => {
    if (typeof one === 'string') return one;
    if (one instanceof Uint8Array) return Buffer.from(one).toString('hex');
    return { bytes: one.bytes, isReadOnly: one.isReadOnly };
  });
}

// ---- replay ---------------------------------------------------------------------------------

/** As canonical state, for the head of a file. */
export function identityState(identity: MachineIdentity): StateObject {
  return { ...identity, disks: identity.disks.map((disk) => ({ ...disk })) } as StateObject;
}

/** The identity in the head of a file; undefined when it is not one. */
export function identityFrom(state: StateObject): MachineIdentity | undefined {
  const isWhole = propertiesAt('replay').every((name) => name in state);
  return isWhole ? (state as unknown as MachineIdentity) : undefined;
}

/** Every difference that makes a replay impossible, in words; empty when there is none. */
export function identityDifferences(recorded: MachineIdentity, here: MachineIdentity): string[] {
  return propertiesAt('replay').flatMap((name) => {
    if (name === 'disks') return diskDifferences(recorded.disks, here.disks);
    const { words } = GUEST_PROPERTIES[name];
    return difference(words, valueText(recorded[name]), valueText(here[name]));
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
  return `${disk.bytes} bytes${disk.isReadOnly ? ', read-only' : ''}, ${valueText(disk.sha256)}`;
}

// ---- words ----------------------------------------------------------------------------------

const TEXT_MAX = 200;
const HASH_DIGITS = 16;

/** A property's value for people, also where it comes from another board. */
export function valueText(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null || value === '') return 'none';
  if (typeof value === 'boolean') return value ? 'one' : 'none';
  if (typeof value === 'string') return value.slice(0, TEXT_MAX);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex').slice(0, HASH_DIGITS);
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.map(valueText).join(' and ');
  return String(value);
}
