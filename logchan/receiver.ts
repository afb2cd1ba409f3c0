// The receiving end of one lane: puts the stream together in a buffer of fixed size, says what it
// holds and how much more it can hold, and gives out whole entries in order. What is acknowledged is
// in this buffer and stays there until taken, also when the session ends.
//
//      taken         received                        limit = taken + capacity
//   ─────┼──────────────┼────────▓▓▓▓──────▓▓───────────┼──────▶ offset
//        │ acknowledged,│  gap   ranges beyond gaps     │ credit
//        │ not taken    │
import { ByteRing } from './byte-ring.ts';
import { isSoundPrefix } from './entry-prefix.ts';
import { ENTRY_PREFIX_BYTES_MAX, RANGES_MAX } from './limits.ts';
import type { DropReason } from './reasons.ts';
import type { Ack } from './sections.ts';
import type { LaneBuffer } from './sender.ts';

/** Entries in order; `undefined` when there is none yet. */
export interface EntrySource {
  take(): Uint8Array | undefined;
}

export class LaneReceiver implements EntrySource {
  /** Everything below is here. */
  received = 0;
  /** Whole entries below `received`, and those given out. */
  entriesReceived = 0;
  entriesTaken = 0;
  /** The stream is no row of entries: the peer is not what it claims to be. */
  broken = false;
  private readonly ring: ByteRing;
  private readonly buffer: LaneBuffer;
  private taken = 0;
  /** Where the first entry not yet counted begins. */
  private scanned = 0;
  /** Ranges beyond gaps: start and end in turn, ascending and apart. */
  private readonly ranges = new Float64Array(2 * RANGES_MAX);
  private rangeCount = 0;
  /** Limits as the peer was last told them. */
  private toldBytes = 0;
  private toldEntries = 0;

  constructor(buffer: LaneBuffer) {
    this.buffer = buffer;
    this.ring = new ByteRing(buffer.bytes);
  }

  get hasGaps(): boolean {
    return this.rangeCount > 0;
  }

  /** Stores bytes[start, end) of the stream from `offset` on; the reason when they are of no use. */
  store(offset: number, bytes: Uint8Array, start: number, end: number): DropReason | undefined {
    const stop = offset + (end - start);
    if (stop > this.taken + this.ring.capacityBytes) return 'credit';
    if (stop <= this.received) return 'duplicate';
    if (offset < this.received) {
      start += this.received - offset;
      offset = this.received;
    }
    if (offset > this.received) {
      const reason = this.addRange(offset, stop);
      if (reason !== undefined) return reason;
      this.ring.write(offset, bytes, start, end);
      return undefined;
    }
    // A late repeat may also cover ranges that are here; the bytes are the same.
    this.ring.write(offset, bytes, start, end);
    this.received = stop;
    this.absorbRanges();
    this.countEntries();
    return undefined;
  }

  private addRange(start: number, end: number): DropReason | undefined {
    const { ranges } = this;
    let first = 0;
    while (first < this.rangeCount && (ranges[2 * first + 1] as number) < start) first++;
    let after = first;
    while (after < this.rangeCount && (ranges[2 * after] as number) <= end) after++;
    const touched = after - first;
    if (touched === 0) {
      if (this.rangeCount === RANGES_MAX) return 'scattered';
      ranges.copyWithin(2 * first + 2, 2 * first, 2 * this.rangeCount);
    } else {
      const [left, right] = [ranges[2 * first] as number, ranges[2 * after - 1] as number];
      if (touched === 1 && left <= start && end <= right) return 'duplicate';
      start = Math.min(start, left);
      end = Math.max(end, right);
      ranges.copyWithin(2 * first + 2, 2 * after, 2 * this.rangeCount);
    }
    ranges[2 * first] = start;
    ranges[2 * first + 1] = end;
    this.rangeCount += 1 - touched;
    return undefined;
  }

  private absorbRanges(): void {
    const { ranges } = this;
    let absorbed = 0;
    while (absorbed < this.rangeCount && (ranges[2 * absorbed] as number) <= this.received) {
      this.received = Math.max(this.received, ranges[2 * absorbed + 1] as number);
      absorbed++;
    }
    if (absorbed === 0) return;
    ranges.copyWithin(0, 2 * absorbed, 2 * this.rangeCount);
    this.rangeCount -= absorbed;
  }

  private countEntries(): void {
    while (!this.broken) {
      const end = this.entryEnd(this.scanned);
      if (end > this.received) return;
      this.scanned = end;
      this.entriesReceived++;
      if (this.entriesReceived - this.entriesTaken > this.buffer.entries) this.broken = true;
    }
  }

  private prefixLength = 0;

  /** Where the entry that begins at `offset` ends; infinite while even its length is not all here. */
  private entryEnd(offset: number): number {
    let entryBytes = 0;
    for (let i = 0; i < ENTRY_PREFIX_BYTES_MAX; i++) {
      if (offset + i >= this.received) return Number.POSITIVE_INFINITY;
      const byte = this.ring.byteAt(offset + i);
      entryBytes |= (byte & 0x7f) << (7 * i);
      if ((byte & 0x80) !== 0) continue;
      this.prefixLength = i + 1;
      if (!isSoundPrefix(entryBytes, i + 1)) break;
      return offset + i + 1 + entryBytes;
    }
    this.broken = true;
    return Number.POSITIVE_INFINITY;
  }

  /** The next whole entry, a copy, and its room back to the peer. */
  take(): Uint8Array | undefined {
    if (this.entriesTaken === this.entriesReceived) return undefined;
    const end = this.entryEnd(this.taken);
    const start = this.taken + this.prefixLength;
    const entry = new Uint8Array(end - start);
    this.ring.read(start, entry.length, entry, 0);
    this.taken = end;
    this.entriesTaken++;
    return entry;
  }

  /** Fills in what the peer is told now; it is remembered as told. */
  tell(ack: Ack): void {
    ack.offset = this.received;
    ack.creditBytes = this.limitBytes - this.received;
    ack.creditEntries = this.limitEntries - this.entriesReceived;
    ack.rangeCount = this.rangeCount;
    for (let i = 0; i < 2 * this.rangeCount; i++) ack.ranges[i] = this.ranges[i] as number;
    this.toldBytes = this.limitBytes;
    this.toldEntries = this.limitEntries;
  }

  /** So much room has come free since the peer was told that it is worth a frame. */
  get owesCredit(): boolean {
    return (
      this.limitBytes - this.toldBytes >= this.ring.capacityBytes / 4 ||
      this.limitEntries - this.toldEntries >= this.buffer.entries / 4
    );
  }

  private get limitBytes(): number {
    return this.taken + this.ring.capacityBytes;
  }

  private get limitEntries(): number {
    return this.entriesTaken + this.buffer.entries;
  }
}
