// Between the machine's inputs and the log's entries. They say the same; only a disk completion is
// told apart, because data of a read need not travel: each board has its own replica.
import { crc32 } from 'node:zlib';
import type { DiskCompletion, EntryBody } from '../../logchan/entry.ts';
import type { Input } from '../machine/contracts.ts';

type DiskInput = Extract<Input, { kind: 'disk-completion' }>;

export function toEntryBody(input: Input): EntryBody {
  if (input.kind !== 'disk-completion') return input;
  const { kind, disk, id, status, data } = input;
  return {
    kind,
    disk,
    id,
    status,
    data: data === undefined ? { from: 'none' } : { from: 'replica', hash: crc32(data) },
  };
}

/** What the local replica says about a request: not yet, failed, or its data. */
export type LocalCompletion =
  | { readonly state: 'pending' }
  | { readonly state: 'failed'; readonly why: string }
  | { readonly state: 'done'; readonly data: Uint8Array | undefined };

export type DiskOutcome =
  | { readonly kind: 'input'; readonly input: DiskInput }
  | { readonly kind: 'wait' }
  | { readonly kind: 'replica'; readonly why: string };

/**
 * The completion as the primary saw it, with data from here. Status is always the primary's: an
 * I/O error there is an I/O error here. An error only here is the replica's trouble, to be reported.
 */
export function toDiskInput(entry: DiskCompletion, local: LocalCompletion): DiskOutcome {
  const { kind, disk, id, status } = entry;
  const done = (data: Uint8Array | undefined): DiskOutcome => ({
    kind: 'input',
    input: { kind, disk, id, status, data },
  });
  if (entry.data.from === 'entry') return done(entry.data.bytes);
  if (entry.data.from === 'none') return done(undefined);
  if (local.state === 'pending') return { kind: 'wait' };
  if (local.state === 'failed') return { kind: 'replica', why: local.why };
  if (local.data === undefined) return { kind: 'replica', why: 'it has no data for this read' };
  return crc32(local.data) === entry.data.hash
    ? done(local.data)
    : { kind: 'replica', why: 'its data differs from the primary’s' };
}

/** Entries that put something into the machine; markers do not. */
export function isInput(body: EntryBody): boolean {
  return !['output', 'digest', 'checkpoint', 'end', 'disk-completion'].includes(body.kind);
}
