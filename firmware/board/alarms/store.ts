// The journal of alarms as a file: appended and synced line by line behind the back of the board, written
// anew when it has grown (temporary file, sync, rename, sync of the folder). One request of the system at
// a time; what waits is bounded, and a disk that does not answer costs history and nothing else.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemWords } from '../../host/errors.ts';
import { type Journal, type JournalRecord, journalLine, readJournal } from './journal.ts';

export interface StoreOptions {
  readonly path: string;
  /** What the file is written anew with. */
  readonly records: () => readonly JournalRecord[];
  readonly onTrouble: (why: string | null) => void;
}

export const COMPACT_BYTES = 1 << 20;
/** A longer file is not ours as we left it: its end is read. */
const READ_BYTES_MAX = 4 << 20;
const WAITING_MAX = 1_000;

export class AlarmStore {
  readonly counters = { written: 0, dropped: 0, compacted: 0, failed: 0 };
  private readonly options: StoreOptions;
  private bytes: number;
  private mustCompact: boolean;
  private readonly waiting: JournalRecord[] = [];
  private working: Promise<void> | null = null;
  private trouble: string | null = null;

  /** Reads what is there; no trouble with it keeps a board from starting. */
  static load(path: string): { journal: Journal; trouble: string | null } {
    try {
      return { journal: readJournal(readTail(path)), trouble: null };
    } catch (error) {
      const isNew = (error as NodeJS.ErrnoException).code === 'ENOENT';
      return { journal: readJournal(''), trouble: isNew ? null : systemWords(error) };
    }
  }

  /** A torn line must not swallow the next one: after any, the file is written anew. */
  constructor(options: StoreOptions, journal: Journal) {
    this.options = options;
    this.bytes = 0;
    this.mustCompact = journal.torn + journal.damaged > 0;
  }

  put(record: JournalRecord): void {
    if (this.waiting.length >= WAITING_MAX) {
      this.counters.dropped += 1;
      // The list in memory has it: written anew, the file has it too.
      this.mustCompact = true;
      return;
    }
    this.waiting.push(record);
    this.working ??= this.work();
  }

  /** Waits for what is under way, but not for ever. */
  async close(withinMs: number): Promise<void> {
    if (this.working === null) return;
    const late = new Promise<void>((resolve) => setTimeout(resolve, withinMs).unref());
    await Promise.race([this.working, late]);
  }

  private async work(): Promise<void> {
    // Everything told in one turn of the loop goes in one write.
    await Promise.resolve();
    while (this.waiting.length > 0) {
      const records = this.waiting.splice(0);
      try {
        if (this.mustCompact || this.bytes > COMPACT_BYTES) await this.compact(records);
        else await this.append(records);
        this.counters.written += records.length;
        this.say(null);
      } catch (error) {
        this.counters.failed += 1;
        this.mustCompact = true;
        this.say(systemWords(error));
      }
    }
    this.working = null;
  }

  private async append(records: readonly JournalRecord[]): Promise<void> {
    const file = await open(this.options.path, 'a', 0o640);
    try {
      await file.appendFile(records.map(journalLine).join(''));
      await file.datasync();
      this.bytes = (await file.stat()).size;
    } finally {
      await file.close();
    }
  }

  /** The list holds what `records` say already, but not the marks of runs. */
  private async compact(records: readonly JournalRecord[]): Promise<void> {
    const { path } = this.options;
    const marks = records.filter(({ what }) => what === 'opened' || what === 'closed');
    const all = [...this.options.records(), { what: 'opened' } as const, ...marks];
    const text = all.map(journalLine).join('');
    const temporary = `${path}.new`;
    await withFile(temporary, 'w', async (file) => {
      await file.writeFile(text);
      await file.datasync();
    });
    await rename(temporary, path);
    await withFile(dirname(path), 'r', (folder) => folder.sync());
    this.bytes = Buffer.byteLength(text);
    this.mustCompact = false;
    this.counters.compacted += 1;
  }

  private say(trouble: string | null): void {
    if (trouble === this.trouble) return;
    this.trouble = trouble;
    this.options.onTrouble(trouble);
  }
}

async function withFile(
  path: string,
  flags: string,
  use: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const file = await open(path, flags, 0o640);
  try {
    await use(file);
  } finally {
    await file.close();
  }
}

function readTail(path: string): string {
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    const bytes = Buffer.alloc(Math.min(size, READ_BYTES_MAX));
    const count = readSync(fd, bytes, 0, bytes.length, size - bytes.length);
    return bytes.toString('utf8', 0, count);
  } finally {
    closeSync(fd);
  }
}
