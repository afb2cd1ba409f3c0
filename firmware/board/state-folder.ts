// Whose state folder it is. The supervisor locks it before it starts or says anything, and its board holds
// the same lock (one opening of the file, handed down): so there are never two boards on one folder, and
// never a supervisor that speaks of a board it did not start. The lock dies with the last of both.
import {
  closeSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { lockFile } from '../../native/index.ts';
import { systemWords } from '../host/errors.ts';

/** A board that cannot start, in words. */
export class BoardError extends Error {
  readonly code = 'E_BOARD';
}

const LOCK_NAME = 'lock';
const FORMAT_NAME = 'state-format';
/** Of all that lies in a state folder; one more when an older version would misread or spoil it. */
export const STATE_FORMAT = 1;

/**
 * The descriptor that holds the lock; throws a BoardError: no such folder, no room, another board's, or that of a
 * newer version, of which nothing is changed.
 */
export function lockStateFolder(folder: string): number {
  demandKnownFormat(folder);
  let lock: number;
  try {
    mkdirSync(folder, { recursive: true });
    lock = openSync(join(folder, LOCK_NAME), 'a', 0o600);
  } catch (error) {
    throw new BoardError(`state-dir ${folder}: ${systemWords(error)}`);
  }
  if (!lockFile(lock, true)) {
    closeSync(lock);
    throw new BoardError(`state-dir ${folder}: another board uses it`);
  }
  signFormat(folder);
  return lock;
}

/** Null: none is written there yet. */
function formatOf(folder: string): number | null {
  try {
    const text = readFileSync(join(folder, FORMAT_NAME), 'latin1').trim();
    // What cannot be read is no number that this version wrote.
    return /^\d{1,6}$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY;
  } catch {
    return null;
  }
}

function demandKnownFormat(folder: string): void {
  const format = formatOf(folder);
  if (format === null || format <= STATE_FORMAT) return;
  const words = Number.isFinite(format) ? `format ${format}` : 'a format that cannot be read';
  throw new BoardError(
    `state-dir ${folder}: is of a newer version (${words}, this one knows ${STATE_FORMAT}); nothing is changed`,
  );
}

/** Where there is no room the board says so by its record; the next start signs. */
function signFormat(folder: string): void {
  if (formatOf(folder) === STATE_FORMAT) return;
  const path = join(folder, FORMAT_NAME);
  try {
    const file = openSync(`${path}.new`, 'w', 0o640);
    try {
      writeSync(file, `${STATE_FORMAT}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(`${path}.new`, path);
  } catch {
    // A full disk: told by whoever has something to write.
  }
}

/** Whether this descriptor, handed down, is the lock of that folder. */
export function isLockOf(folder: string, descriptor: number): boolean {
  try {
    const [given, there] = [fstatSync(descriptor), statSync(join(folder, LOCK_NAME))];
    return given.ino === there.ino && given.dev === there.dev && lockFile(descriptor, true);
  } catch {
    return false;
  }
}
