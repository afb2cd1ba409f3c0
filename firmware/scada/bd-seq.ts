// The number that ties a birth to its death certificate: exactly one higher at every CONNECT, 255 is
// followed by 0, and it outlives this process (Sparkplug 3.0, chapter 6). On disk before the CONNECT, where
// the disk takes it: a full one is no reason to leave SCADA without its board. Then the number goes on in
// memory, and the trouble is there to be told.
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { systemWords } from '../host/errors.ts';

export class BdSeqFile {
  /** Why the number is not on disk, in words; null: it is. */
  trouble: string | null = null;
  private readonly path: string;
  private last = 255;

  constructor(path: string) {
    this.path = path;
    try {
      this.last = lastOf(readFileSync(path, 'latin1'));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.trouble = wordsOf(path, error);
    }
  }

  next(): number {
    this.last = (this.last + 1) % 256;
    try {
      write(this.path, this.last);
      this.trouble = null;
    } catch (error) {
      this.trouble = wordsOf(this.path, error);
    }
    return this.last;
  }
}

/** Whole, or as it was before. */
function write(path: string, last: number): void {
  const temporary = `${path}.new`;
  const file = openSync(temporary, 'w', 0o600);
  try {
    writeSync(file, `${last}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
}

/** 255 where it says nothing, so that the first is 0. */
function lastOf(text: string): number {
  const found = /^(\d{1,3})\n$/.exec(text)?.[1];
  return Math.min(Number(found ?? 255), 255);
}

function wordsOf(path: string, error: unknown): string {
  return `${path}: ${systemWords(error)}`;
}
