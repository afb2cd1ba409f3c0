// Whether two boards can be a pair: what a target says of itself when it wants to be in step, and every
// reason against it, each a sentence for the person who has to change something. Pure.

import type { StateObject, StateValue } from '../../devices/contracts.ts';
import { decodeState, encodeState } from '../../lockstep/state-codec.ts';

export interface BoardFacts {
  readonly messagesVersion: number;
  readonly firmwareVersion: string;
  /** Positions of one engine mean nothing to another. */
  readonly engine: string;
  readonly cpuModel: string;
  readonly memoryBytes: number;
  readonly commandLine: string;
  /** SHA-256 of the files. */
  readonly kernel: string;
  readonly initrd: string;
  readonly disks: readonly { readonly bytes: number; readonly isReadOnly: boolean }[];
  readonly macs: readonly string[];
  readonly hasConsole: boolean;
  /** What starts the guest over instead of ending it. */
  readonly restartsOn: readonly string[];
}

export function encodeFacts(facts: BoardFacts): Uint8Array {
  return encodeState(facts as unknown as StateObject);
}

const FIELDS: Readonly<Record<keyof BoardFacts, string>> = {
  messagesVersion: 'version of the sync-up protocol',
  firmwareVersion: 'firmware version',
  engine: 'engine ("engine" in [guest]; soft runs on every board)',
  cpuModel: 'CPU model',
  memoryBytes: 'guest memory',
  commandLine: 'kernel command line',
  kernel: 'kernel file',
  initrd: 'initrd file',
  disks: 'number of disks',
  macs: 'network cards',
  hasConsole: 'virtio console',
  restartsOn: 'what restarts the guest',
};

/** Every reason why a board with `theirs` cannot follow this one; empty when it can. */
export function refusals(theirs: Uint8Array, ours: BoardFacts): string[] {
  const value = decodeState(theirs);
  if (!isObject(value)) return ['what it says of itself cannot be read: another firmware?'];
  const reasons: string[] = [];
  for (const [field, words] of Object.entries(FIELDS)) {
    if (field === 'disks') reasons.push(...diskRefusals(value.disks, ours.disks));
    else {
      const [there, here] = [text(value[field]), text(ours[field as keyof BoardFacts])];
      if (there !== here) reasons.push(`${words}: the leader has ${here}, the target ${there}`);
    }
  }
  return reasons;
}

function diskRefusals(theirs: StateValue | undefined, ours: BoardFacts['disks']): string[] {
  if (!Array.isArray(theirs)) return ['disks: the target does not say what it has'];
  if (theirs.length !== ours.length) {
    return [`${FIELDS.disks}: the leader has ${ours.length}, the target ${theirs.length}`];
  }
  return ours.flatMap((own, index) => {
    const there = theirs[index] as StateValue;
    const peer: StateObject = isObject(there) ? there : {};
    const reasons: string[] = [];
    if (peer.bytes !== own.bytes) {
      const words = `the leader's has ${own.bytes} bytes, the target's ${text(peer.bytes)}`;
      reasons.push(`size of disk ${index}: ${words}`);
    }
    if (peer.isReadOnly !== own.isReadOnly) {
      const words = own.isReadOnly ? 'the leader' : 'the target';
      reasons.push(`disk ${index}: read-only on one board alone (${words})`);
    }
    return reasons;
  });
}

function isObject(value: StateValue | undefined): value is StateObject {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Uint8Array)
  );
}

function text(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.map(text).join(' and ');
  if (typeof value === 'boolean') return value ? 'one' : 'none';
  if (typeof value === 'string') return value === '' ? 'none' : value.slice(0, 200);
  return String(value);
}
