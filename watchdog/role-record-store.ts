// Generation, standing and boot count on disk, in two copies that are never written at the same
// time. Each write goes to a temporary file, is synced, renamed over its copy, and the folder synced.
// A torn, altered or foreign file is never believed. Which copy counts: the one with the higher
// serial number. If one is lost the other still counts, but only as far as it may be the older:
//
//   both good                 the newer one
//   one good, one damaged     the lost one may have said more: standing becomes `unknown`,
//                             unless the good one says `behind` or `unknown` already
//   none                      unknown
//
// A damaged copy costs an operator's word or the peer's, never a stale start.
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type DiskRecord, STANDINGS, type Standing } from './arbiter-types.ts';

const COPIES = ['role-record.0', 'role-record.1'] as const;
/** Their names until 0.1.0; the bytes are the same. */
const OLD_COPIES = ['reign.0', 'reign.1'] as const;
const MAGIC = 'twinstep reign 1';

export interface StoredState {
  /** Counts writes: orders the copies. */
  readonly serial: number;
  readonly boot: number;
  readonly record: DiskRecord;
}

export type CopyVerdict = 'good' | 'missing' | 'damaged';

export interface Loaded {
  readonly boot: number;
  readonly record: DiskRecord;
  readonly copies: readonly [CopyVerdict, CopyVerdict];
  /** For the console and `doctor`; null when all is well. */
  readonly trouble: string | null;
}

/** The bytes of one copy: a line each, the last one a checksum of the others. */
export function encodeCopy(state: StoredState): string {
  const { serial, boot, record } = state;
  const lines = [
    MAGIC,
    `serial ${serial}`,
    `boot ${boot}`,
    `generation ${record.generation}`,
    `standing ${record.standing}`,
  ];
  const text = `${lines.join('\n')}\n`;
  return `${text}sha256 ${checksum(text)}\n`;
}

/** Null unless every byte is as written. */
export function decodeCopy(text: string): StoredState | null {
  const found =
    /^(twinstep reign 1\nserial (\d{1,15})\nboot (\d{1,10})\ngeneration (\d{1,10})\nstanding ([a-z]+)\n)sha256 ([0-9a-f]{64})\n$/.exec(
      text,
    );
  if (found === null) return null;
  const [, body = '', serial, boot, generation, standing, sum] = found;
  if (checksum(body) !== sum || !STANDINGS.includes(standing as Standing)) return null;
  return {
    serial: Number(serial),
    boot: Number(boot),
    record: { generation: Number(generation), standing: standing as Standing },
  };
}

function checksum(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

export class RoleRecordStore {
  private readonly folder: string;
  private current: StoredState = {
    serial: 0,
    boot: 0,
    record: { generation: 0, standing: 'unknown' },
  };

  constructor(folder: string) {
    this.folder = folder;
  }

  /** Reads what is there and changes nothing. */
  peek(): Loaded & { readonly serial: number } {
    const copies = COPIES.map((name, i) => {
      const copy = this.readCopy(name);
      return copy.verdict === 'missing' ? this.readCopy(OLD_COPIES[i] as string) : copy;
    });
    const verdicts = copies.map(({ verdict }) => verdict) as [CopyVerdict, CopyVerdict];
    const good = copies.flatMap(({ state }) => (state === null ? [] : [state]));
    const newest = good.sort((one, other) => other.serial - one.serial)[0];
    if (newest === undefined) {
      const record = { generation: 0, standing: 'unknown' } as const;
      const trouble = verdicts.includes('damaged')
        ? 'both copies of the role record are damaged: this board waits for its peer or an operator'
        : 'no role record: this board is new, or its disk was replaced';
      return { serial: 0, boot: 0, record, copies: verdicts, trouble };
    }
    if (good.length === 2 || newest.serial === 1) {
      return { ...newest, copies: verdicts, trouble: null };
    }
    const { generation, standing } = newest.record;
    const sure = standing === 'behind' || standing === 'unknown';
    const record: DiskRecord = { generation, standing: sure ? standing : 'unknown' };
    const trouble = 'one copy of the role record is damaged, and may have been the newer one';
    return { ...newest, record, copies: verdicts, trouble };
  }

  /**
   * The record, with the boot count raised on disk before anyone hears of it. With no count to
   * raise, or one that is in doubt, not below `fresh`: a number no start of this board had before. If it is
   * too low all the same, the board learns it from the peer (arbiter-start.ts) and asks for `countStart`.
   */
  load(fresh: number): Loaded {
    mkdirSync(this.folder, { recursive: true });
    this.takeOverOldNames();
    const found = this.peek();
    const boot =
      found.boot === 0 || found.trouble !== null ? Math.max(found.boot + 1, fresh) : found.boot + 1;
    this.current = { serial: found.serial, boot, record: found.record };
    // Twice, so that both copies are good and of this start.
    this.write(found.record);
    this.write(found.record);
    return { ...found, boot };
  }

  /** This start is called `boot` from now on: in both copies, before anyone hears of it. */
  countStart(boot: number): void {
    this.current = { ...this.current, boot };
    this.write(this.current.record);
    this.write(this.current.record);
  }

  /** Returns when the record is safe on disk. */
  write(record: DiskRecord): void {
    const serial = this.current.serial + 1;
    const next: StoredState = { ...this.current, serial, record };
    this.replaceCopy(COPIES[serial % 2] as string, encodeCopy(next));
    this.current = next;
  }

  /** For the supervisor of a dead board: makes both copies say this, and keeps the boot count. */
  restore(record: DiskRecord): void {
    const { serial, boot } = this.peek();
    this.current = { serial, boot, record };
    this.write(record);
    this.write(record);
  }

  /** One by one: a power cut in between leaves each copy under one of its names. */
  private takeOverOldNames(): void {
    for (const [i, old] of OLD_COPIES.entries()) {
      const [from, to] = [join(this.folder, old), join(this.folder, COPIES[i] as string)];
      if (existsSync(from) && !existsSync(to)) renameSync(from, to);
    }
  }

  private readCopy(name: string): { verdict: CopyVerdict; state: StoredState | null } {
    let text: string;
    try {
      text = readFileSync(join(this.folder, name), 'latin1');
    } catch (error) {
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      return { verdict: missing ? 'missing' : 'damaged', state: null };
    }
    const state = decodeCopy(text);
    return { verdict: state === null ? 'damaged' : 'good', state };
  }

  private replaceCopy(name: string, text: string): void {
    const path = join(this.folder, name);
    const temporary = `${path}.new`;
    const file = openSync(temporary, 'w', 0o600);
    try {
      writeSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
    const folder = openSync(this.folder, 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  }
}
