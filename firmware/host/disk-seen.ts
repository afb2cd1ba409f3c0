// When this board last had its disks, so that one that was written by somebody else meanwhile (an image put back with
// cp, say, into the same file) is not taken for what it was. A board that ended in order knows the time of the last
// write to each; one that was cut off said every minute that it was there.
import { opened, sealed } from '../lockstep/region-map.ts';

const MAGIC = Buffer.from('TWSSEEN1');
const HEAD_BYTES = MAGIC.length + 2 + 8;
/** How often it is said. */
export const SEEN_MS = 60_000;
/** Until it is safe, and what file systems round. */
const SLACK_MS = 10_000;

export interface Seen {
  /** Nothing is written after this any more. */
  readonly isEnd: boolean;
  /** Milliseconds since 1970. */
  readonly atMs: number;
  /** Of each disk, when it was written last. */
  readonly writtenMs: readonly number[];
}

export function encodeSeen({ isEnd, atMs, writtenMs }: Seen): Uint8Array {
  const bytes = Buffer.alloc(HEAD_BYTES + 8 * writtenMs.length);
  MAGIC.copy(bytes);
  bytes.writeUInt8(Number(isEnd), MAGIC.length);
  bytes.writeUInt8(writtenMs.length, MAGIC.length + 1);
  bytes.writeDoubleLE(atMs, MAGIC.length + 2);
  for (const [disk, ms] of writtenMs.entries()) bytes.writeDoubleLE(ms, HEAD_BYTES + 8 * disk);
  return sealed(bytes);
}

/** Undefined: nothing was said, or it was altered. */
export function decodeSeen(sector: Uint8Array): Seen | undefined {
  const bytes = opened(sector);
  if (bytes === undefined || !MAGIC.equals(bytes.subarray(0, MAGIC.length))) return undefined;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const disks = view.readUInt8(MAGIC.length + 1);
  return {
    isEnd: view.readUInt8(MAGIC.length) === 1,
    atMs: view.readDoubleLE(MAGIC.length + 2),
    writtenMs: Array.from({ length: disks }, (_, disk) => view.readDoubleLE(HEAD_BYTES + 8 * disk)),
  };
}

/** Whether somebody else may have written: when each was written last, as it is now. */
export function isChangedSince(seen: Seen | undefined, writtenMs: readonly number[]): boolean {
  if (seen === undefined || seen.writtenMs.length !== writtenMs.length) return true;
  const { isEnd, atMs } = seen;
  if (isEnd) return writtenMs.some((ms, disk) => ms !== seen.writtenMs[disk]);
  return writtenMs.some((ms) => ms > atMs + SEEN_MS + SLACK_MS);
}
