// Whether two boards can be a pair: what a target says of itself when it wants to be in step, and every
// reason against it, each a sentence for the person who has to change something. Pure.

import type { StateObject, StateValue } from '../../devices/contracts.ts';
import {
  factsState,
  GUEST_PROPERTIES,
  type GuestFacts,
  propertiesAt,
  valueText,
} from '../../lockstep/guest-identity.ts';
import { decodeState, encodeState } from '../../lockstep/state-codec.ts';

export interface BoardFacts extends GuestFacts {
  readonly messagesVersion: number;
}

export function encodeFacts(facts: BoardFacts): Uint8Array {
  return encodeState(stateOf(facts));
}

function stateOf({ messagesVersion, ...guest }: BoardFacts): StateObject {
  return { messagesVersion, ...factsState(guest) };
}

/** What a person can do about it, where the words alone do not say. */
const HINTS: { readonly [Name in keyof GuestFacts]?: string } = {
  engine: ' ("engine" in [guest]; soft runs on every board)',
};

/** Every reason why a board with `theirs` cannot follow this one; empty when it can. */
export function refusals(theirs: Uint8Array, ours: BoardFacts): string[] {
  const there = decodeState(theirs);
  if (!isObject(there)) return ['what it says of itself cannot be read: another firmware?'];
  const here = stateOf(ours);
  const version = 'version of the sync-up protocol';
  return [
    ...refusal(version, there.messagesVersion, here.messagesVersion),
    ...propertiesAt('sync-up').flatMap((name) =>
      name === 'disks'
        ? diskRefusals(there.disks, ours.disks)
        : refusal(GUEST_PROPERTIES[name].words + (HINTS[name] ?? ''), there[name], here[name]),
    ),
  ];
}

function refusal(words: string, there: unknown, here: unknown): string[] {
  const [theirs, ours] = [valueText(there), valueText(here)];
  return theirs === ours ? [] : [`${words}: the leader has ${ours}, the target ${theirs}`];
}

function diskRefusals(theirs: StateValue | undefined, ours: BoardFacts['disks']): string[] {
  if (!Array.isArray(theirs)) return ['disks: the target does not say what it has'];
  if (theirs.length !== ours.length) return refusal('number of disks', theirs.length, ours.length);
  return ours.flatMap((own, index) => {
    const there = theirs[index] as StateValue;
    const peer: StateObject = isObject(there) ? there : {};
    const reasons: string[] = [];
    if (peer.bytes !== own.bytes) {
      const words = `the leader's has ${own.bytes} bytes, the target's ${valueText(peer.bytes)}`;
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
