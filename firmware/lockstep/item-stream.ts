// The stream from a leading board to a following one: the entries of one log, the lives of the guest they
// belong to, and the line of its clock, as items. STREAM.md has the byte diagram. Bytes come from a peer: reading
// never throws, it stops with a reason in words.
import type { Entry } from './entry.ts';
import { EntryDecoder, EntryEncoder } from './entry-codec.ts';
import { ByteReader, ByteWriter } from './varint.ts';

/** Pieces are given out in about this size; a log-lane message holds one whole. */
export const STREAM_PIECE_BYTES_MAX = 256 << 10;

const KIND = { entry: 1, life: 2, line: 3 } as const;
const SEED_BYTES = 32;
const MULTIPLIER_MAX = 1n << 52n;
const EPOCH_MAX = BigInt(Number.MAX_SAFE_INTEGER);
const LIVES_MAX = 1n << 20n;

/** What a power-on of the guest depends on, beside its configuration. */
export interface Birth {
  /** From 1; the same on both boards. */
  readonly number: number;
  /** Seconds since 1970 at virtual time zero. */
  readonly epochSeconds: number;
  readonly entropySeed: Uint8Array;
  /** Nanoseconds a position until the first clock step, 32.32. */
  readonly multiplier: bigint;
}

export type Item =
  | { readonly kind: 'entry'; readonly entry: Entry }
  /** The machine has stopped; the guest is switched on again like this. */
  | { readonly kind: 'life'; readonly birth: Birth }
  /** Real minus virtual time in this life as they should stay apart, by the leader's clock. */
  | { readonly kind: 'line'; readonly offsetNs: bigint };

/** Items as pieces of bytes, each of whole items. */
export class ItemWriter {
  /** Entries written so far. */
  entries = 0;

  private encoder = new EntryEncoder();
  private ready: Uint8Array[] = [];
  private open: Uint8Array[] = [];
  private openBytes = 0;

  append(entry: Entry): void {
    this.entries++;
    this.add(KIND.entry, this.encoder.encode(entry));
  }

  /** Positions start over with the new life, and so does what the encoder remembers. */
  life({ number, epochSeconds, entropySeed, multiplier }: Birth): void {
    if (entropySeed.length !== SEED_BYTES) throw new Error('entropy seed: 32 bytes');
    this.encoder = new EntryEncoder();
    const out = new ByteWriter();
    out.varint(BigInt(number));
    out.varint(BigInt(epochSeconds));
    out.varint(multiplier);
    out.raw(entropySeed);
    this.add(KIND.life, out.take());
  }

  line(offsetNs: bigint): void {
    const out = new ByteWriter();
    out.zigzag(offsetNs);
    this.add(KIND.line, out.take());
  }

  get isEmpty(): boolean {
    return this.ready.length === 0 && this.openBytes === 0;
  }

  take(): Uint8Array[] {
    this.close();
    const pieces = this.ready;
    this.ready = [];
    return pieces;
  }

  private add(kind: number, bytes: Uint8Array): void {
    if (this.openBytes + 1 + bytes.length > STREAM_PIECE_BYTES_MAX) this.close();
    this.open.push(Uint8Array.of(kind), bytes);
    this.openBytes += 1 + bytes.length;
  }

  /** Into memory of its own: what is sent to another thread is copied with all that surrounds it. */
  private close(): void {
    if (this.openBytes === 0) return;
    const piece = new Uint8Array(this.openBytes);
    let at = 0;
    for (const part of this.open) {
      piece.set(part, at);
      at += part.length;
    }
    this.ready.push(piece);
    this.open = [];
    this.openBytes = 0;
  }
}

/** Push pieces in order; items come out. After a problem nothing more comes. */
export class ItemReader {
  /** Why the stream cannot be read further. */
  problem: string | undefined;

  private decoder = new EntryDecoder();

  push(piece: Uint8Array): Item[] {
    const items: Item[] = [];
    for (let at = 0; at < piece.length && this.problem === undefined; ) {
      const kind = piece[at];
      if (kind === KIND.entry) at = this.readEntry(piece, at + 1, items);
      else if (kind === KIND.life) at = this.readLife(piece, at + 1, items);
      else if (kind === KIND.line) at = this.readLine(piece, at + 1, items);
      else this.problem = `an item of kind ${kind}, which is unknown here`;
    }
    return items;
  }

  private readEntry(piece: Uint8Array, at: number, items: Item[]): number {
    const decoded = this.decoder.decode(piece, at);
    if (!decoded.ok) {
      this.problem = `an entry that cannot be read (${decoded.reason})`;
      return at;
    }
    items.push({ kind: 'entry', entry: decoded.entry });
    return at + decoded.bytes;
  }

  private readLine(piece: Uint8Array, at: number, items: Item[]): number {
    const reader = new ByteReader(piece, at);
    const offsetNs = reader.zigzag();
    if (reader.ok) items.push({ kind: 'line', offsetNs });
    else this.problem = 'a line of the clock that cannot be read';
    return reader.position;
  }

  private readLife(piece: Uint8Array, at: number, items: Item[]): number {
    const reader = new ByteReader(piece, at);
    const [number, epochSeconds, multiplier] = [reader.varint(), reader.varint(), reader.varint()];
    const entropySeed = reader.raw(SEED_BYTES);
    const isSound =
      reader.ok && number <= LIVES_MAX && epochSeconds <= EPOCH_MAX && multiplier <= MULTIPLIER_MAX;
    if (!isSound || multiplier === 0n) {
      this.problem = 'a life of the guest that cannot be read';
      return at;
    }
    this.decoder = new EntryDecoder();
    const birth = { number: Number(number), epochSeconds: Number(epochSeconds) };
    items.push({ kind: 'life', birth: { ...birth, entropySeed, multiplier } });
    return reader.position;
  }
}
