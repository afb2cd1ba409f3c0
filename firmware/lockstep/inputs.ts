// Between the machine's inputs and the log's entries. They say the same; only a disk completion is
// told apart, because data of a read need not travel: each board has its own replica.
import { crc32 } from 'node:zlib';
import type { Input } from '../devices/contracts.ts';
import type { DiskCompletion, InputEntry } from './entry.ts';

type DiskInput = Extract<Input, { kind: 'disk-completion' }>;

export function toEntryBody(input: Input): InputEntry {
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
  // Writes are waited for like reads: a replica that fails or falls behind is known at once.
  if (local.state === 'pending') return { kind: 'wait' };
  if (status !== 'ok') return done(undefined);
  if (local.state === 'failed') return { kind: 'replica', why: local.why };
  if (entry.data.from === 'none') return done(undefined);
  if (local.data === undefined) return { kind: 'replica', why: 'it has no data for this read' };
  return crc32(local.data) === entry.data.hash
    ? done(local.data)
    : { kind: 'replica', why: 'its data differs from the primary’s' };
}

/** The year 9999: what a CMOS clock can show. */
const WALL_MAX_NS = 253_402_300_799n * 1_000_000_000n;

/** What a machine has that an entry can name. */
export interface EntryTargets {
  readonly nics: number;
  readonly disks: number;
  readonly hasConsole: boolean;
}

/**
 * Why this machine cannot take an input: entries come from a file or a peer, and a machine throws on
 * what its world would never do.
 */
export function inputProblem(
  body: InputEntry,
  nowNs: bigint,
  { nics, disks, hasConsole }: EntryTargets,
): string | undefined {
  switch (body.kind) {
    case 'clock-step':
      if (body.ns < nowNs) return `time going back from ${nowNs} to ${body.ns} ns`;
      return body.multiplier > 1n << 52n ? `a clock rate of ${body.multiplier}` : undefined;
    case 'net-rx':
      return body.nic < nics ? undefined : `a frame for network card ${body.nic}`;
    case 'disk-completion':
      return body.disk < disks ? undefined : `a completion of disk ${body.disk}`;
    case 'serial-rx':
      return body.port !== 'console' || hasConsole ? undefined : 'input for a console';
    case 'serial-line':
    case 'serial-break':
      return body.port === 'console' ? 'modem lines of a console' : undefined;
    case 'control':
      return undefined;
    case 'wall-clock':
      return body.wallNs <= WALL_MAX_NS ? undefined : `a time of day of ${body.wallNs} ns`;
    default:
      return assertNever(body);
  }
}

function assertNever(value: never): never {
  throw new Error(`no such input: ${JSON.stringify(value)}`);
}
