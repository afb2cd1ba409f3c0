// Guest memory that sync-up fills, with its digest: the machine that is made of it finds the digest there, and need not
// look at gigabytes before it moves. Pages are copied aside here and put into both by a thread that goes behind
// everything else: a page that is touched for the first time takes long.
//
// Two threads in turns, for the two rooms they have: one is written while the other is filled. A page may come again, so
// never two jobs at a time.

import { assert } from '../../../logchan/errors.ts';
import { MESSAGE_BYTES_MAX } from '../../../logchan/limits.ts';
import {
  type MemoryDigest as Digest,
  GuestMemory,
  type GuestMemory as Memory,
  MemoryDigest,
  SyncWorker,
  type SyncWorker as Worker,
} from '../../../native/index.ts';
import { PAGE_BYTES } from './bulk-messages.ts';

/** Of each run (SyncWorker.storePages). */
const HEAD_BYTES = 7;
/** What is worth a job. */
const JOB_BYTES_MIN = 128 << 10;

/** What is filled. */
interface Room {
  readonly worker: Worker;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  filled: number;
}

export class TargetMemory {
  readonly memory: Memory;
  readonly digest: Digest;
  /** There is room again. */
  onRoom: () => void = () => {};
  /** To fill, and to be filled next. */
  private rooms: [Room, Room] | undefined;
  /** The digest is not that of the memory. */
  private isUnknown: boolean;
  private job: Promise<void> | undefined;
  /** A page that came is not there. */
  private trouble: Error | undefined;
  private isClosed = false;

  /** `digest`: of all that is in it; undefined: of nothing yet. */
  constructor(memory: Memory, digest?: Digest) {
    this.memory = memory;
    this.digest = digest ?? new MemoryDigest(memory);
    this.isUnknown = digest === undefined;
  }

  /** Zeros. */
  static fresh(bytes: number): TargetMemory {
    const memory = new GuestMemory({ bytes });
    return new TargetMemory(memory, new MemoryDigest(memory));
  }

  /** For all pages of a message. */
  get hasRoom(): boolean {
    const room = this.rooms?.[0];
    return room === undefined || room.bytes.length - room.filled >= MESSAGE_BYTES_MAX;
  }

  /** Pages from `first` on, inside; no bytes: zeros. There must be room. */
  put(first: number, count: number, bytes: Uint8Array | undefined): void {
    this.rooms ??= [newRoom(), newRoom()];
    const room = this.rooms[0];
    const end = room.filled + HEAD_BYTES + (bytes?.length ?? 0);
    assert(end <= room.bytes.length, 'pages beyond the room there is');
    room.view.setUint32(room.filled, first, true);
    room.view.setUint16(room.filled + 4, count, true);
    room.view.setUint8(room.filled + 6, Number(bytes !== undefined));
    if (bytes !== undefined) room.bytes.set(bytes, room.filled + HEAD_BYTES);
    room.filled = end;
    if (end >= JOB_BYTES_MIN) this.go();
  }

  /** Resolves when nothing is being written any more, of whatever came before. */
  async quiet(): Promise<void> {
    await this.written();
    this.trouble = undefined;
  }

  /** Resolves when memory and digest have all that was put in; rejects when they cannot have it. */
  async settled(): Promise<void> {
    await this.written();
    if (this.isClosed) return;
    if (this.trouble !== undefined) throw this.trouble;
    if (this.isUnknown) await this.digestAll();
    this.release();
  }

  /** May be called twice. */
  close(): void {
    this.isClosed = true;
    this.release();
    this.digest.close();
    this.memory.close();
  }

  private release(): void {
    for (const { worker } of this.rooms ?? []) worker.close();
    this.rooms = undefined;
  }

  private async written(): Promise<void> {
    for (;;) {
      this.go();
      if (this.job === undefined) return;
      await this.job;
    }
  }

  /** The filled room is written, if none is. */
  private go(): void {
    const { rooms } = this;
    if (rooms === undefined || rooms[0].filled === 0 || this.job !== undefined) return;
    const [room, other] = rooms;
    this.rooms = [other, room];
    this.job = this.store(room).finally(() => {
      room.filled = 0;
      this.job = undefined;
      if ((this.rooms?.[0].filled ?? 0) >= JOB_BYTES_MIN) this.go();
      if (this.hasRoom) this.onRoom();
    });
  }

  private async store({ worker, filled }: Room): Promise<void> {
    try {
      await worker.storePages(this.digest, filled);
    } catch (error) {
      this.isUnknown = true;
      this.trouble = error as Error;
    }
  }

  private async digestAll(): Promise<void> {
    const worker = this.rooms?.[0].worker ?? new SyncWorker();
    try {
      const words = Math.ceil(this.memory.bytes / PAGE_BYTES / 64);
      await worker.digestPages(this.digest, new Uint8Array(8 * words).fill(0xff));
      this.isUnknown = false;
    } finally {
      worker.close();
    }
  }
}

function newRoom(): Room {
  const worker = new SyncWorker();
  const { buffer } = worker;
  return { worker, bytes: new Uint8Array(buffer), view: new DataView(buffer), filled: 0 };
}
