// Where a board keeps what it remembers of changes to its disks: a few slots of bytes, each a file in its state
// folder. A write is safe after sync().
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';

export interface ChangeStore {
  /** All of it; nothing when it was never written. */
  read(slot: number): Promise<Uint8Array>;
  write(slot: number, at: number, bytes: Uint8Array): Promise<void>;
  sync(slot: number): Promise<void>;
  close(): Promise<void>;
}

export class FileChangeStore implements ChangeStore {
  private readonly folder: string;
  private readonly files = new Map<number, Promise<FileHandle>>();

  constructor(folder: string) {
    this.folder = folder;
  }

  async read(slot: number): Promise<Uint8Array> {
    return await (await this.file(slot)).readFile();
  }

  async write(slot: number, at: number, bytes: Uint8Array): Promise<void> {
    await (await this.file(slot)).write(bytes, 0, bytes.length, at);
  }

  async sync(slot: number): Promise<void> {
    await (await this.file(slot)).datasync();
  }

  async close(): Promise<void> {
    for (const file of this.files.values()) await (await file.catch(() => undefined))?.close();
    this.files.clear();
  }

  private file(slot: number): Promise<FileHandle> {
    const known = this.files.get(slot);
    if (known !== undefined) return known;
    const opened = this.open(slot);
    this.files.set(slot, opened);
    // What failed once is tried anew.
    opened.catch(() => this.files.delete(slot));
    return opened;
  }

  private async open(slot: number): Promise<FileHandle> {
    const path = join(this.folder, `disk-changes-${slot}`);
    try {
      return await open(path, 'r+');
    } catch (error) {
      if ((error as { code?: string }).code !== 'ENOENT') throw error;
    }
    const made = await open(path, 'w+', 0o640);
    const folder = await open(this.folder, 'r');
    await folder.sync().finally(() => folder.close());
    return made;
  }
}
