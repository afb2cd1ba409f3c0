// A file in pieces small enough for memory, with its troubles in words.
import { closeSync, openSync, readSync } from 'node:fs';
import { HostError, systemWords } from '../host/errors.ts';

const PIECE_BYTES = 1 << 20;

/** Throws a HostError that names the file. */
export function* readPieces(path: string, what: string): Generator<Uint8Array> {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    throw new HostError('E_FILE', `${what} ${path}: ${systemWords(error)}`);
  }
  try {
    for (;;) {
      const bytes = new Uint8Array(PIECE_BYTES);
      const count = readSync(fd, bytes);
      if (count === 0) return;
      yield bytes.subarray(0, count);
    }
  } finally {
    closeSync(fd);
  }
}
