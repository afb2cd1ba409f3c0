// A board's own replica of a virtual disk: a raw image file, locked while open.
//
// Requests are taken as the machine hands them out and done at the same time as far as they do not
// touch the same bytes; those that do are done in order of arrival. Every request is answered
// exactly once. What goes wrong is an answer 'io-error' for the machine and words for the board.
//
// Writes go to the host's page cache, a flush waits until they are on the medium: the contract a
// guest has with a disk that has a write cache. Discarded ranges read as zeros on every file system
// (where there are no holes, zeros are written), so that two replicas stay equal.
import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { lockFile, punchHole } from '../../native/index.ts';
import type { DiskRequest, Input } from '../devices/contracts.ts';
import { mustFollow } from '../devices/virtio-blk/order.ts';
import { DiskError, inWords } from './disk-errors.ts';
import { notRaw } from './disk-format.ts';
import type { DiskSpec } from './guest-notation.ts';

const SECTOR_BYTES = 512;
const ZEROES = new Uint8Array(1 << 20);

export type DiskCompletion = Extract<Input, { kind: 'disk-completion' }>;

export interface DiskFileOptions extends DiskSpec {
  onCompletion: (completion: DiskCompletion) => void;
  /** Asked before anything is written; what it answers is waited for. */
  beforeWrite?: (range: {
    readonly offset: number;
    readonly bytes: number;
  }) => Promise<void> | undefined;
  /** A request failed: for the operator's log. The machine gets its 'io-error' all the same. */
  onTrouble: (error: DiskError, request: DiskRequest) => void;
}

export interface DiskFileCounters {
  reads: number;
  readBytes: number;
  writes: number;
  writtenBytes: number;
  flushes: number;
  erases: number; // discard and write-zeroes
  waited: number; // requests that had to wait for an overlapping one
  failed: number;
}

export class DiskFile {
  readonly path: string;
  readonly sectors: number;
  readonly isReadOnly: boolean;
  readonly counters: DiskFileCounters = {
    reads: 0,
    readBytes: 0,
    writes: 0,
    writtenBytes: 0,
    flushes: 0,
    erases: 0,
    waited: 0,
    failed: 0,
  };

  private readonly file: FileHandle;
  private readonly options: DiskFileOptions;
  // In order of arrival.
  private active: { readonly request: DiskRequest; isStarted: boolean }[] = [];
  private closing: Promise<void> | undefined;
  private idle: () => void = () => {};

  /** Throws a DiskError. Locks the image: for writing alone, for reading with other readers. */
  static async open(options: DiskFileOptions): Promise<DiskFile> {
    const { path, isReadOnly } = options;
    let file: FileHandle | undefined;
    try {
      // Without waiting, should it be a pipe; for a regular file the flag means nothing.
      const access = isReadOnly ? constants.O_RDONLY : constants.O_RDWR;
      file = await open(path, access | constants.O_NONBLOCK);
      const { size } = await checkedStat(options, file);
      if (!lockFile(file.fd, !isReadOnly))
        throw new DiskError('E_DISK_BUSY', path, 'is in use by another program');
      return new DiskFile(options, file, size / SECTOR_BYTES);
    } catch (error) {
      await file?.close();
      throw inWords(path, error);
    }
  }

  private constructor(options: DiskFileOptions, file: FileHandle, sectors: number) {
    this.path = options.path;
    this.isReadOnly = options.isReadOnly;
    this.options = options;
    this.file = file;
    this.sectors = sectors;
  }

  /** Takes a request; its data must not change until it is completed. */
  submit(request: DiskRequest): void {
    if (this.closing !== undefined) throw new Error(`disk ${this.path}: request after close`);
    if (request.operation === 'write' && request.data?.length !== request.bytes)
      throw new Error(`disk ${this.path}: write ${request.id} without its data`);
    this.active.push({ request, isStarted: false });
    if (this.isBlocked(this.active.length - 1)) this.counters.waited++;
    else this.start(this.active.at(-1)!);
  }

  /** Why what lies at its path is not what is open, in words; null: it is. The guest goes on with what is open. */
  async displaced(): Promise<string | null> {
    const { path, file } = this;
    if (this.closing !== undefined) return null;
    try {
      const [own, there] = [await file.stat(), await stat(path)];
      if (own.ino !== there.ino || own.dev !== there.dev) return 'another file lies in its place';
      const isShort = own.size < this.sectors * SECTOR_BYTES;
      return isShort ? 'became shorter while it was open' : null;
    } catch (error) {
      return inWords(path, error).words;
    }
  }

  /** For readers beside the order of requests; good until close(). */
  get fd(): number {
    return this.file.fd;
  }

  /** Which file it is: another one in its place has another. */
  async identity(): Promise<string> {
    const { dev, ino, birthtimeMs } = await this.file.stat();
    return `${dev} ${ino} ${birthtimeMs}`;
  }

  /** What it takes on its medium; as large as the disk where there are no holes. */
  async allocatedBytes(): Promise<number> {
    const { blocks } = await this.file.stat();
    return Math.min(this.sectors, blocks) * SECTOR_BYTES;
  }

  get inFlight(): number {
    return this.active.length;
  }

  /** Finishes what it was given, then lets the image go. May be called twice. */
  close(): Promise<void> {
    this.closing ??= this.finish();
    return this.closing;
  }

  private async finish(): Promise<void> {
    if (this.active.length > 0)
      await new Promise<void>((resolve) => {
        this.idle = resolve;
      });
    await this.file.close();
  }

  private isBlocked(index: number): boolean {
    const { request } = this.active[index]!;
    for (let i = 0; i < index; i++) if (mustFollow(request, this.active[i]!.request)) return true;
    return false;
  }

  private start(entry: (typeof this.active)[number]): void {
    entry.isStarted = true;
    const { request } = entry;
    this.execute(request).then(
      (data) => this.done(entry, 'ok', data),
      (error) => {
        this.counters.failed++;
        this.options.onTrouble(inWords(this.path, error), request);
        this.done(entry, 'io-error', undefined);
      },
    );
  }

  private done(
    entry: (typeof this.active)[number],
    status: 'ok' | 'io-error',
    data: Uint8Array | undefined,
  ): void {
    this.active.splice(this.active.indexOf(entry), 1);
    for (const [index, waiting] of this.active.entries())
      if (!waiting.isStarted && !this.isBlocked(index)) this.start(waiting);
    const { disk, id } = entry.request;
    this.options.onCompletion({ kind: 'disk-completion', disk, id, status, data });
    if (this.active.length === 0) this.idle();
  }

  private async execute(request: DiskRequest): Promise<Uint8Array | undefined> {
    const { operation, offset, bytes, data } = request;
    if (offset + bytes > this.sectors * SECTOR_BYTES)
      throw new DiskError('E_DISK_FAILED', this.path, `${operation} beyond the end`);
    switch (operation) {
      case 'read':
        this.counters.reads++;
        this.counters.readBytes += bytes;
        return await this.read(offset, bytes);
      case 'write':
        this.counters.writes++;
        this.counters.writtenBytes += bytes;
        await this.announced(request);
        return await this.write(offset, data!);
      case 'flush':
        this.counters.flushes++;
        await this.file.datasync();
        return undefined;
      case 'discard':
      case 'write-zeroes':
        this.counters.erases++;
        await this.announced(request);
        return await this.erase(offset, bytes);
    }
  }

  private announced(request: DiskRequest): Promise<void> | undefined {
    return this.isReadOnly ? undefined : this.options.beforeWrite?.(request);
  }

  private async read(offset: number, bytes: number): Promise<Uint8Array> {
    const data = new Uint8Array(bytes);
    for (let at = 0; at < bytes; ) {
      const { bytesRead } = await this.file.read(data, at, bytes - at, offset + at);
      if (bytesRead === 0)
        throw new DiskError('E_DISK_SHORT', this.path, 'became shorter while it was open');
      at += bytesRead;
    }
    return data;
  }

  private async write(offset: number, data: Uint8Array): Promise<undefined> {
    this.demandWritable();
    for (let at = 0; at < data.length; ) {
      const left = data.length - at;
      const { bytesWritten } = await this.file.write(data, at, left, offset + at);
      at += bytesWritten;
    }
  }

  private async erase(offset: number, bytes: number): Promise<undefined> {
    this.demandWritable();
    if (await punchHole(this.file.fd, offset, bytes)) return;
    for (let at = 0; at < bytes; at += ZEROES.length)
      await this.write(offset + at, ZEROES.subarray(0, Math.min(ZEROES.length, bytes - at)));
  }

  private demandWritable(): void {
    if (this.isReadOnly) throw new DiskError('E_DISK_READ_ONLY', this.path, 'was opened read-only');
  }
}

async function checkedStat({ path, isRaw }: DiskSpec, file: FileHandle) {
  const stat = await file.stat();
  if (!stat.isFile())
    throw new DiskError('E_DISK_KIND', path, 'is not a regular file but something else');
  if (stat.size === 0) throw new DiskError('E_DISK_SIZE', path, 'is empty');
  const format = isRaw === true ? undefined : notRaw(path, file.fd, stat.size);
  if (format !== undefined) throw new DiskError('E_DISK_FORMAT', path, format);
  if (stat.size % SECTOR_BYTES !== 0)
    throw new DiskError('E_DISK_SIZE', path, `${stat.size} bytes are no multiple of 512`);
  return stat;
}
