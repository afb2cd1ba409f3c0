// The number that ties a birth to its death certificate: exactly one higher at every CONNECT, 255 is
// followed by 0, and it outlives this process (Sparkplug 3.0, chapter 6). On disk before the CONNECT.
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';

export class BdSeqFile {
  private readonly path: string;
  private last: number;

  constructor(path: string) {
    this.path = path;
    this.last = readLast(path);
  }

  /** Throws a system error when the disk takes nothing. */
  next(): number {
    const next = (this.last + 1) % 256;
    const temporary = `${this.path}.new`;
    const file = openSync(temporary, 'w', 0o600);
    try {
      writeSync(file, `${next}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, this.path);
    this.last = next;
    return next;
  }
}

/** 255 where there is none, so that the first is 0. */
function readLast(path: string): number {
  try {
    const found = /^(\d{1,3})\n$/.exec(readFileSync(path, 'latin1'))?.[1];
    const last = Number(found ?? 255);
    return Math.min(last, 255);
  } catch {
    return 255;
  }
}
