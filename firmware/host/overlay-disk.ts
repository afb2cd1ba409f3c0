// A disk image that is read and never written: what the guest writes stays in memory, in 4 KiB blocks
// over the file. For replays, which must start from the image as it was and leave it so.
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { DiskRequest } from '../devices/contracts.ts';
import type { LocalCompletion } from '../lockstep/inputs.ts';
import { DiskError, inWords } from './disk-errors.ts';

export const OVERLAY_BLOCK_BYTES = 4096;

export class OverlayDisk {
  readonly path: string;
  readonly bytes: number;

  private readonly fd: number;
  private readonly blocks = new Map<number, Uint8Array>();
  /** Reads that are done and whose completion the log has not brought yet. */
  private readonly done = new Map<number, LocalCompletion>();

  /** Throws a DiskError in words. */
  constructor(path: string) {
    this.path = path;
    try {
      this.fd = openSync(path, 'r');
      this.bytes = fstatSync(this.fd).size;
    } catch (error) {
      throw inWords(path, error);
    }
    if (this.bytes === 0 || this.bytes % 512 !== 0) {
      throw new DiskError('E_DISK_SIZE', path, 'is not a whole number of sectors of 512 bytes');
    }
  }

  /** Done at once; the guest hears of it when the log says so. */
  submit(request: DiskRequest): void {
    this.done.set(request.id, this.execute(request));
  }

  /** What the log's completion of request `id` is checked against; asked once. */
  completion(id: number): LocalCompletion {
    const done = this.done.get(id);
    this.done.delete(id);
    return done ?? { state: 'failed', why: `it never saw request ${id}` };
  }

  /** SHA-256 of the disk as the guest has it now. */
  sha256(): Uint8Array {
    const hash = createHash('sha256');
    for (let at = 0; at < this.bytes; at += 1 << 20) {
      hash.update(this.read(at, Math.min(1 << 20, this.bytes - at)));
    }
    return hash.digest();
  }

  /** Blocks the guest has written, for a checkpoint. */
  *written(): Generator<{ offset: number; bytes: Uint8Array }> {
    for (const [block, bytes] of this.blocks) yield { offset: block * OVERLAY_BLOCK_BYTES, bytes };
  }

  write(offset: number, data: Uint8Array): void {
    for (let at = 0; at < data.length; ) {
      const block = Math.floor((offset + at) / OVERLAY_BLOCK_BYTES);
      const within = (offset + at) % OVERLAY_BLOCK_BYTES;
      const count = Math.min(OVERLAY_BLOCK_BYTES - within, data.length - at);
      this.writable(block).set(data.subarray(at, at + count), within);
      at += count;
    }
  }

  close(): void {
    closeSync(this.fd);
  }

  private execute({ operation, offset, bytes, data }: DiskRequest): LocalCompletion {
    try {
      if (operation === 'read') return { state: 'done', data: this.read(offset, bytes) };
      if (operation === 'write') this.write(offset, data as Uint8Array);
      else if (operation !== 'flush') this.write(offset, new Uint8Array(bytes));
      return { state: 'done', data: undefined };
    } catch (error) {
      return { state: 'failed', why: inWords(this.path, error).message };
    }
  }

  private read(offset: number, count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    readSync(this.fd, bytes, 0, count, offset);
    const first = Math.floor(offset / OVERLAY_BLOCK_BYTES);
    const last = Math.floor((offset + count - 1) / OVERLAY_BLOCK_BYTES);
    for (let block = first; block <= last; block++) {
      const written = this.blocks.get(block);
      if (written === undefined) continue;
      const from = Math.max(offset, block * OVERLAY_BLOCK_BYTES);
      const to = Math.min(offset + count, (block + 1) * OVERLAY_BLOCK_BYTES);
      const start = from - block * OVERLAY_BLOCK_BYTES;
      bytes.set(written.subarray(start, start + to - from), from - offset);
    }
    return bytes;
  }

  private writable(block: number): Uint8Array {
    const known = this.blocks.get(block);
    if (known !== undefined) return known;
    const start = block * OVERLAY_BLOCK_BYTES;
    const content = this.read(start, Math.min(OVERLAY_BLOCK_BYTES, this.bytes - start));
    this.blocks.set(block, content);
    return content;
  }
}
