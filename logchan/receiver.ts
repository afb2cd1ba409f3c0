// The receiving end of one lane: puts the stream together in a buffer of fixed size, says what it
// holds and how much more it can hold, and gives out whole messages in order. What is acknowledged is
// in this buffer and stays there until taken, also when the session ends.
//
//      taken         received                        limit = taken + capacity
//   ─────┼──────────────┼────────▓▓▓▓──────▓▓───────────┼──────▶ offset
//        │ acknowledged,│  gap   ranges beyond gaps     │ credit
//        │ not taken    │
import { ByteRing } from './byte-ring.ts';
import { ENTRY_PREFIX_BYTES_MAX, RANGES_MAX } from './limits.ts';
import { isSoundPrefix } from './message-prefix.ts';
import type { DropReason } from './reasons.ts';
import type { Ack } from './sections.ts';
import type { LaneBuffer } from './sender.ts';

/** Messages in order; `undefined` when there is none yet. */
export interface MessageSource {
  /** A message of its own; where `into` is given and has room, a view of that. */
  take(into?: Uint8Array): Uint8Array | undefined;
}

export class LaneReceiver implements MessageSource {
  /** Everything below is here. */
  received = 0;
  /** Whole messages below `received`, and those given out. */
  messagesReceived = 0;
  messagesTaken = 0;
  /** The stream is no row of messages: the peer is not what it claims to be. */
  broken = false;
  private readonly ring: ByteRing;
  private readonly buffer: LaneBuffer;
  private taken = 0;
  /** Where the first message not yet counted begins. */
  private scanned = 0;
  /** Ranges beyond gaps: start and end in turn, ascending and apart. */
  private readonly ranges = new Float64Array(2 * RANGES_MAX);
  private rangeCount = 0;
  /** Limits as the peer was last told them. */
  private toldBytes = 0;
  private toldMessages = 0;

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
    this.countMessages();
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

  private countMessages(): void {
    while (!this.broken) {
      const end = this.messageEnd(this.scanned);
      if (end > this.received) return;
      this.scanned = end;
      this.messagesReceived++;
      if (this.messagesReceived - this.messagesTaken > this.buffer.messages) this.broken = true;
    }
  }

  private prefixLength = 0;

  /** Where the message that begins at `offset` ends; infinite while even its length is not all here. */
  private messageEnd(offset: number): number {
    let messageBytes = 0;
    for (let i = 0; i < ENTRY_PREFIX_BYTES_MAX; i++) {
      if (offset + i >= this.received) return Number.POSITIVE_INFINITY;
      const byte = this.ring.byteAt(offset + i);
      messageBytes |= (byte & 0x7f) << (7 * i);
      if ((byte & 0x80) !== 0) continue;
      this.prefixLength = i + 1;
      if (!isSoundPrefix(messageBytes, i + 1)) break;
      return offset + i + 1 + messageBytes;
    }
    this.broken = true;
    return Number.POSITIVE_INFINITY;
  }

  /** The next whole message, a copy, and its room back to the peer. */
  take(into?: Uint8Array): Uint8Array | undefined {
    if (this.messagesTaken === this.messagesReceived) return undefined;
    const end = this.messageEnd(this.taken);
    const start = this.taken + this.prefixLength;
    const bytes = end - start;
    const fits = into !== undefined && bytes <= into.length;
    const message = fits ? into.subarray(0, bytes) : new Uint8Array(bytes);
    this.ring.read(start, message.length, message, 0);
    this.taken = end;
    this.messagesTaken++;
    return message;
  }

  /** Fills in what the peer is told now; it is remembered as told. */
  tell(ack: Ack): void {
    ack.offset = this.received;
    ack.creditBytes = this.limitBytes - this.received;
    ack.creditMessages = this.limitMessages - this.messagesReceived;
    ack.rangeCount = this.rangeCount;
    for (let i = 0; i < 2 * this.rangeCount; i++) ack.ranges[i] = this.ranges[i] as number;
    this.toldBytes = this.limitBytes;
    this.toldMessages = this.limitMessages;
  }

  /** So much room has come free since the peer was told that it is worth a frame. */
  get owesCredit(): boolean {
    return (
      this.limitBytes - this.toldBytes >= this.ring.capacityBytes / 4 ||
      this.limitMessages - this.toldMessages >= this.buffer.messages / 4
    );
  }

  private get limitBytes(): number {
    return this.taken + this.ring.capacityBytes;
  }

  private get limitMessages(): number {
    return this.messagesTaken + this.buffer.messages;
  }
}
