// The log as a file: identity first, then entries in chunks, each checksummed, so that what a killed
// recorder left is good up to its last whole chunk. Pure: bytes out, bytes in.
//
//     identity  what was recorded (canonical state encoding): guest, engine, CPU model, version
//     entries   one or more whole entries (firmware/lockstep/ENTRIES.md)
//     summary   how the recording ended, when it ended in order (canonical state encoding)

import type { StateObject } from '../devices/contracts.ts';
import { type Chunk, ChunkReader, chunkProblemText, encodeChunk, encodeMagic } from './chunks.ts';
import type { Entry } from './entry.ts';
import { EntryDecoder, EntryEncoder } from './entry-codec.ts';
import { LockstepError } from './errors.ts';
import { decodeState, encodeState } from './state-codec.ts';

export const LOG_MAGIC = 'TWSLOG';
export const LOG_VERSION = 1;

const KIND = { identity: 1, entries: 2, summary: 3 } as const;
/** Entries are gathered into chunks of about this size unless somebody asks for them sooner. */
const CHUNK_BYTES = 64 << 10;

/** Turns entries into the bytes of a log file. The caller writes what `take()` gives, in order. */
export class LogWriter {
  private readonly encoder = new EntryEncoder();
  private readonly ready: Uint8Array[] = [];
  private entries: Uint8Array[] = [];
  private entryBytes = 0;

  constructor(identity: StateObject) {
    this.ready.push(
      encodeMagic(LOG_MAGIC, LOG_VERSION),
      encodeChunk(KIND.identity, encodeState(identity)),
    );
  }

  append(entry: Entry): void {
    const bytes = this.encoder.encode(entry);
    if (this.entryBytes + bytes.length > CHUNK_BYTES) this.close();
    this.entries.push(bytes);
    this.entryBytes += bytes.length;
  }

  /** Everything appended so far, as whole chunks; empty when there is nothing new. */
  take(): Uint8Array {
    this.close();
    return Buffer.concat(this.ready.splice(0));
  }

  /** Bytes waiting to be taken: a reason to write, or to slow down. */
  get pendingBytes(): number {
    return this.entryBytes + this.ready.reduce((sum, bytes) => sum + bytes.length, 0);
  }

  private close(): void {
    if (this.entries.length === 0) return;
    this.ready.push(encodeChunk(KIND.entries, Buffer.concat(this.entries)));
    this.entries = [];
    this.entryBytes = 0;
  }
}

/** The last chunk of a log whose recording ended in order. */
export function logSummary(summary: StateObject): Uint8Array {
  return encodeChunk(KIND.summary, encodeState(summary));
}

/** Push the bytes of a log in any pieces; entries come out in order. */
export class LogReader {
  /** Known once the first chunk was read. */
  identity: StateObject | undefined;
  /** Present when the recording ended in order. */
  summary: StateObject | undefined;

  private readonly chunks = new ChunkReader(LOG_MAGIC, LOG_VERSION);
  private readonly decoder = new EntryDecoder();

  /** The entries that became readable. Throws LockstepError for a foreign or altered log. */
  push(bytes: Uint8Array): Entry[] {
    this.chunks.push(bytes);
    const entries: Entry[] = [];
    for (let chunk = this.chunks.next(); chunk !== undefined; chunk = this.chunks.next()) {
      this.take(chunk, entries);
    }
    const { problem, goodBytes } = this.chunks;
    if (problem !== undefined && (problem === 'magic' || problem === 'version')) {
      throw bad(chunkProblemText(problem, 'log', goodBytes));
    }
    return entries;
  }

  /** Why the log cannot be read further, in words; undefined while it is whole so far. */
  get damage(): string | undefined {
    const { problem, goodBytes, leftBytes } = this.chunks;
    if (problem !== undefined) return chunkProblemText(problem, 'log', goodBytes);
    return leftBytes > 0 ? `the log is cut off at byte ${goodBytes + leftBytes}` : undefined;
  }

  private take({ kind, payload }: Chunk, entries: Entry[]): void {
    if (kind === KIND.identity && this.identity === undefined) {
      this.identity = objectOf(payload);
      return;
    }
    if (kind === KIND.summary && this.identity !== undefined) {
      this.summary = objectOf(payload);
      return;
    }
    if (kind !== KIND.entries || this.identity === undefined) {
      throw bad('this log has its parts in an order no recorder writes');
    }
    for (let at = 0; at < payload.length; ) {
      const decoded = this.decoder.decode(payload, at);
      if (!decoded.ok) throw bad(`an entry of this log cannot be read (${decoded.reason})`);
      entries.push(decoded.entry);
      at += decoded.bytes;
    }
  }
}

function objectOf(payload: Uint8Array): StateObject {
  const value = decodeState(payload);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) {
    throw bad('a part of this log cannot be read');
  }
  return value as StateObject;
}

const bad = (why: string): LockstepError => new LockstepError('E_LOG', why);
