// Where a leader's log goes, and when it leaves. A file may wait until it is worth a message; the
// stream leaves after every slice, because the other board can be only as near as what it was given.

import type { StateObject } from '../../devices/contracts.ts';
import type { Entry } from '../../lockstep/entry.ts';
import { type Birth, ItemWriter } from '../../lockstep/item-stream.ts';
import { LogWriter } from '../../lockstep/log-file.ts';

export interface LogSink {
  /** Entries so far. */
  readonly entries: number;
  append(entry: Entry): void;
  /** The guest starts over. */
  life(birth: Birth): void;
  /** Where its clock should be, for who goes on with it. */
  line(offsetNs: bigint): void;
  /** What has to leave now. `isCovering`: an output leaves, too; `isLast`: there is no later. */
  take(moment: { isCovering: boolean; isLast: boolean }): Uint8Array[];
}

/** File bytes that no output waits for leave after so long, or when they are many. */
const FILE_DELAY_NS = 50_000_000n;
const FILE_BYTES_MAX = 32 << 10;

export class FileSink implements LogSink {
  entries = 0;
  private readonly writer: LogWriter;
  private readonly realNs: () => bigint;
  private sentNs = 0n;

  constructor(identity: StateObject, realNs: () => bigint) {
    this.writer = new LogWriter(identity);
    this.realNs = realNs;
  }

  append(entry: Entry): void {
    this.entries++;
    this.writer.append(entry);
  }

  life(): void {
    throw new Error('a log file holds one life of a guest');
  }

  /** A log is replayed, not gone on with in real time. */
  line(): void {}

  take({ isCovering, isLast }: { isCovering: boolean; isLast: boolean }): Uint8Array[] {
    const { pendingBytes } = this.writer;
    if (pendingBytes === 0) return [];
    const now = this.realNs();
    const isLate = now - this.sentNs >= FILE_DELAY_NS;
    if (!isCovering && !isLast && !isLate && pendingBytes < FILE_BYTES_MAX) return [];
    this.sentNs = now;
    // Memory of its own: what is sent to another thread is copied with all that surrounds it.
    return [new Uint8Array(this.writer.take())];
  }
}

export class StreamSink implements LogSink {
  private readonly writer = new ItemWriter();

  get entries(): number {
    return this.writer.entries;
  }

  append(entry: Entry): void {
    this.writer.append(entry);
  }

  life(birth: Birth): void {
    this.writer.life(birth);
  }

  line(offsetNs: bigint): void {
    this.writer.line(offsetNs);
  }

  take(): Uint8Array[] {
    return this.writer.isEmpty ? [] : this.writer.take();
  }
}
