// What the entries of a replay log say. An input puts something into the machine, a marker says
// something of the run. A new kind is added here; the compiler then asks for its coding
// (entry-kinds.ts), its words (listing.ts), what it may name (inputs.ts), and what the machine or the
// replayer does with it.
import type { Input } from '../devices/contracts.ts';

/** What one entry says. Positions, nanoseconds and counters are 64-bit. */
export type EntryBody = InputEntry | MarkerEntry;

/** Puts something into the machine: its inputs, but data of a disk need not travel. */
export type InputEntry = Exclude<Input, { kind: 'disk-completion' }> | DiskCompletion;

/** Says something of the run, and changes nothing in the machine. */
export type MarkerEntry =
  /** Output number `sequence` (counted from 1) was made here; `hash` is of its bytes. */
  | { readonly kind: 'output'; readonly sequence: bigint; readonly hash: number }
  /** Digests of registers and devices, and of memory, at this position. */
  | { readonly kind: 'digest'; readonly state: bigint; readonly memory: bigint }
  /**
   * The run since this position, closed where no position is: the next one is where these registers
   * stand, over these pages. Parts without `state` come first, if it is much.
   */
  | { readonly kind: 'slice-close'; readonly state: Uint8Array; readonly pages: Uint8Array }
  /** The log ends here in order: nothing is missing. */
  | { readonly kind: 'end' };

export interface DiskCompletion extends Omit<Extract<Input, { kind: 'disk-completion' }>, 'data'> {
  /** Data of a read: here, or to be taken from the local replica and checked against `hash`. */
  readonly data:
    | { readonly from: 'none' }
    | { readonly from: 'entry'; readonly bytes: Uint8Array }
    | { readonly from: 'replica'; readonly hash: number };
}

export interface Entry {
  /** Where the entry takes effect; never decreases along a log. */
  readonly position: bigint;
  readonly body: EntryBody;
}

export type DecodeReason =
  | 'cut' // bytes end inside the entry, or a varint is malformed
  | 'kind' // a kind this version does not know
  | 'aux' // the kind's small field has no meaning
  | 'range'; // a position, time or counter beyond 64 bits, or a wrong fixed length
