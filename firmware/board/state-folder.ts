// Whose state folder it is. The supervisor locks it before it starts or says anything, and its board holds
// the same lock (one opening of the file, handed down): so there are never two boards on one folder, and
// never a supervisor that speaks of a board it did not start. The lock dies with the last of both.
import { closeSync, fstatSync, mkdirSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { lockFile } from '../../native/index.ts';
import { systemWords } from '../host/errors.ts';

/** A board that cannot start, in words. */
export class BoardError extends Error {
  readonly code = 'E_BOARD';
}

const LOCK_NAME = 'lock';

/** The descriptor that holds the lock; throws a BoardError: no such folder, no room, or another board's. */
export function lockStateFolder(folder: string): number {
  let lock: number;
  try {
    mkdirSync(folder, { recursive: true });
    lock = openSync(join(folder, LOCK_NAME), 'a', 0o600);
  } catch (error) {
    throw new BoardError(`state-dir ${folder}: ${systemWords(error)}`);
  }
  if (lockFile(lock, true)) return lock;
  closeSync(lock);
  throw new BoardError(`state-dir ${folder}: another board uses it`);
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
