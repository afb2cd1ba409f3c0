// What this board remembers of changes to its disks (host/change-log.ts), from the moment when it is known which
// start this is and which disks there are. The guest's first write waits until then.
import { ChangeLog } from '../../host/change-log.ts';
import { FileChangeStore } from '../../host/change-store.ts';
import type { DiskReplica } from '../../host/disk-replica.ts';
import { decodeSeen, encodeSeen, isChangedSince, SEEN_MS } from '../../host/disk-seen.ts';
import type { ByteRange } from '../../lockstep/region-map.ts';

/** Behind those of the change log. */
const SEEN_SLOT = 3;

export interface DiskChangesOptions {
  /** Where it is kept. */
  readonly folder: string;
  /** What tells this pair from others. */
  readonly pair: string;
}

export class DiskChanges {
  private readonly options: DiskChangesOptions;
  private readonly disks: () => readonly DiskReplica[];
  private boot: number | undefined;
  private isOpen = false;
  private isHopeless = false;
  private loaded: ChangeLog | undefined;
  private loading: Promise<void> = Promise.resolve();
  private waiters: (() => void)[] = [];
  /** Of the disks that are remembered. */
  private kept: readonly DiskReplica[] = [];
  private store: FileChangeStore | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(options: DiskChangesOptions, disks: () => readonly DiskReplica[]) {
    this.options = options;
    this.disks = disks;
  }

  /** Undefined: not known yet, and nothing can be built on it. */
  get log(): ChangeLog | undefined {
    return this.loaded;
  }

  /** The number of this start; 0: it is not known yet. */
  starts(boot: number): void {
    if (this.boot !== undefined || boot === 0) return;
    this.boot = boot;
    if (this.isOpen) this.load(boot);
  }

  /** The disks are there, perhaps others than before. */
  opened(): void {
    this.isOpen = true;
    if (this.boot !== undefined) this.load(this.boot);
  }

  /** What was kept has been looked at. */
  ready(): Promise<void> {
    return this.loading;
  }

  before(disk: number, range: ByteRange): Promise<void> | undefined {
    if (this.loaded !== undefined) return this.loaded.before(disk, range);
    if (this.isHopeless) return undefined;
    return new Promise<void>((resolve) => this.waiters.push(resolve)).then(() =>
      this.before(disk, range),
    );
  }

  writeFailed(): void {
    this.loaded?.forget('a write failed').catch(() => {});
  }

  /** What was handed to the disks so far is on their media. */
  async flushed(): Promise<void> {
    for (const disk of this.disks()) {
      if (disk.isReadOnly) continue;
      await disk.settled();
      await disk.flush();
    }
  }

  /** The disks are written no more. */
  async close(): Promise<void> {
    await this.loading;
    await this.say(true);
    clearTimeout(this.timer);
    await this.loaded?.close();
  }

  /** That this board is there and has its disks, or has had them. Where it cannot be kept the next start compares all. */
  private async say(isEnd: boolean): Promise<void> {
    const { store, kept } = this;
    clearTimeout(this.timer);
    if (store === undefined || this.loaded === undefined) return;
    try {
      const writtenMs = await Promise.all(kept.map((disk) => disk.writtenMs()));
      await store.write(SEEN_SLOT, 0, encodeSeen({ isEnd, atMs: Date.now(), writtenMs }));
      await store.sync(SEEN_SLOT);
    } catch {
      // The next time, perhaps.
    }
    if (isEnd) return;
    this.timer = setTimeout(() => void this.say(false), SEEN_MS);
    this.timer.unref();
  }

  private load(boot: number): void {
    const before = this.loaded;
    this.loaded = undefined;
    this.loading = this.loading
      .then(() => before?.close())
      .then(() => this.read(boot))
      .catch(() => {
        // A disk that does not even say which file it is: nothing can be remembered of it.
        this.isHopeless = true;
      })
      .then(() => {
        for (const resolve of this.waiters.splice(0)) resolve();
      });
  }

  private async read(boot: number): Promise<void> {
    const { folder, pair } = this.options;
    const replicas = [...this.disks()];
    const known = replicas.map(async (disk) => ({
      bytes: disk.bytes,
      identity: await disk.identity(),
    }));
    const disks = await Promise.all(known);
    const store = new FileChangeStore(folder);
    const seen = decodeSeen(await store.read(SEEN_SLOT).catch(() => new Uint8Array(0)));
    const writtenMs = await Promise.all(replicas.map((disk) => disk.writtenMs()));
    const isSuspect = isChangedSince(seen, writtenMs);
    this.store = store;
    this.kept = replicas;
    this.loaded = await ChangeLog.load({ pair, boot, disks, store, isSuspect });
    // Before the first write.
    await this.say(false);
  }
}
