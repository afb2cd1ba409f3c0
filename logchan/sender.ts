// The sending end of one lane: a bounded buffer of messages as a stream, what of it is under way, and
// what the peer has and allows. Pure: the session says what time it is and when to write.
//
//        acked            next        limit      end
//   ───────┼────────────────┼───────────┼─────────┼──────▶ offset
//   in the │ sent: segments │ may be    │ waits   │
//   peer's │ in flight,     │ sent now  │ for     │
//   memory │ received, lost │           │ credit  │
//
// The caller: 1. append() only what fits, 2. gives every ack to acknowledge(), 3. detectLosses() with
// the newest counter of each path that the peer has seen, 4. write() while wantsRepeat or wantsNew,
// 5. probe() when a time-out passed without news, 6. loseAll() when what is under way must go another way.
import { ByteRing } from './byte-ring.ts';
import { assert } from './errors.ts';
import {
  ENTRY_PREFIX_BYTES_MAX,
  FRAME_BYTES_BASE,
  LINGER_US,
  MESSAGE_BYTES_MAX,
  REORDER_FRAMES,
} from './limits.ts';
import { prefixBytes, writePrefix } from './message-prefix.ts';
import { type Ack, DATA_BYTES, type Lane, writeDataHead } from './sections.ts';
import { SENT, type Segment, SegmentQueue } from './segments.ts';
import type { StreamRange } from './session-path.ts';

/** Chance loses one frame so often only on a link that is nearly dead. */
const VANISHING_SENDS = 3;

export interface LaneBuffer {
  bytes: number;
  messages: number;
}

/** A frame that data goes into. */
export interface DataFrame {
  counter: number;
  path: number;
  sentUs: number;
}

/** What is known of a path's frames. */
export interface SeenPath {
  /** Newest counter that went over it and that the peer has seen. */
  readonly seenByPeer: number;
  /** A frame this much later than one sent after it over the same path is not merely overtaken. */
  readonly rtt: { readonly reorderUs: number };
}

/**
 * none: the message may wait for others that fill its frame. urgent: it leaves now, and an output waits until
 * it is acknowledged. passing: it leaves now, and its acknowledgement may wait.
 */
export type Haste = 'none' | 'urgent' | 'passing';

export class LaneSender {
  /** Everything below is in the peer's memory; the same counted in whole messages. */
  acked = 0;
  ackedThrough = 0;
  /** Messages appended, which is also the index of the last one: the first message has index 1. */
  appended = 0;
  inFlightBytes = 0;
  inFlightFrames = 0;
  /** When waiting for frames that overtook a segment is over, as of the last detectLosses(). */
  lossUs = Number.POSITIVE_INFINITY;
  repeatedBytes = 0;
  /** What the last write() wrote. */
  wroteOffset = 0;
  wroteEnd = 0;
  /** A large piece was lost again and again; whoever acts on it sets it back. */
  vanishing = false;
  private readonly lane: Lane;
  private readonly ring: ByteRing;
  private readonly ends: Float64Array;
  private readonly prefix = new Uint8Array(ENTRY_PREFIX_BYTES_MAX);
  private readonly segments = new SegmentQueue();
  private lostSegments = 0;
  private next = 0;
  private end = 0;
  private limit = 0;
  private messageLimit = 0;
  /** Sent without waiting for a full frame up to here, and the rest from this time on. */
  private urgentEnd = 0;
  /** Up to here somebody waits for the acknowledgement. */
  private askEnd = 0;
  private lingerUs = Number.POSITIVE_INFINITY;

  constructor(lane: Lane, buffer: LaneBuffer) {
    this.lane = lane;
    this.ring = new ByteRing(buffer.bytes);
    this.ends = new Float64Array(buffer.messages);
  }

  /** Whether a message of this size can be appended now. */
  fits(messageBytes: number): boolean {
    const freeBytes = this.ring.capacityBytes - (this.end - this.acked);
    return (
      prefixBytes(messageBytes) + messageBytes <= freeBytes &&
      this.appended - this.ackedThrough < this.ends.length
    );
  }

  /** The index of the message; it is acknowledged once `ackedThrough` reaches it. */
  append(message: Uint8Array, haste: Haste, nowUs: number): number {
    assert(
      message.length >= 1 && message.length <= MESSAGE_BYTES_MAX,
      'a message of impossible size',
    );
    assert(this.fits(message.length), 'append without room: ask fits() first');
    const prefix = writePrefix(this.prefix, message.length);
    this.ring.write(this.end, this.prefix, 0, prefix);
    this.ring.write(this.end + prefix, message, 0, message.length);
    this.end += prefix + message.length;
    this.ends[this.appended % this.ends.length] = this.end;
    this.appended++;
    if (haste !== 'passing') this.askEnd = this.end;
    if (haste !== 'none') this.flush();
    else this.lingerUs = Math.min(this.lingerUs, nowUs + LINGER_US);
    return this.appended;
  }

  /** Everything appended so far goes out without waiting to fill a frame. */
  flush(): void {
    this.urgentEnd = this.end;
  }

  get bufferedBytes(): number {
    return this.end - this.acked;
  }

  /** Somebody waits for the acknowledgement of what the last write() wrote. */
  get wroteAsks(): boolean {
    return this.wroteOffset < this.askEnd;
  }

  /** The same of anything under way. */
  get asksInFlight(): boolean {
    return this.acked < Math.min(this.askEnd, this.next);
  }

  get wantsRepeat(): boolean {
    return this.lostSegments > 0;
  }

  /** Something waits that must not be held up by collecting or pacing. */
  get isUrgent(): boolean {
    return this.wantsRepeat || this.urgentEnd > this.next;
  }

  /** Whether new data should leave now, given what one more frame could carry. */
  wantsNew(roomBytes: number, nowUs: number): boolean {
    const sendable = this.sendableBytes();
    return (
      sendable > 0 &&
      (this.urgentEnd > this.next || sendable >= roomBytes - DATA_BYTES || nowUs >= this.lingerUs)
    );
  }

  /** When collecting ends; infinite while nothing may be sent anyway. */
  wakeUs(): number {
    return this.sendableBytes() > 0 ? this.lingerUs : Number.POSITIVE_INFINITY;
  }

  /** New bytes the peer's credit allows now. */
  sendableBytes(): number {
    if (this.messageLimit <= this.ackedThrough) return 0;
    const byMessages =
      this.appended <= this.messageLimit
        ? this.end
        : (this.ends[(this.messageLimit - 1) % this.ends.length] as number);
    return Math.max(0, Math.min(byMessages, this.limit) - this.next);
  }

  /**
   * Takes in what the peer holds and allows. Returns the bytes newly known to be received, or -1
   * when it claims what was never sent: a peer that does so cannot be trusted with the rest.
   */
  acknowledge(ack: Ack): number {
    const highest =
      ack.rangeCount > 0 ? (ack.ranges[2 * ack.rangeCount - 1] as number) : ack.offset;
    if (ack.offset > this.next || highest > this.next) return -1;
    // An older ack that came late: what it says is true but known.
    if (ack.offset < this.acked) return 0;
    let bytes = this.acknowledgeBelow(ack.offset);
    for (let i = 0; i < ack.rangeCount; i++) {
      bytes += this.markReceived(ack.ranges[2 * i] as number, ack.ranges[2 * i + 1] as number);
    }
    this.limit = Math.max(this.limit, ack.offset + ack.creditBytes);
    this.messageLimit = Math.max(this.messageLimit, this.ackedThrough + ack.creditMessages);
    return bytes;
  }

  private acknowledgeBelow(offset: number): number {
    let bytes = 0;
    while (this.segments.count > 0) {
      const first = this.segments.at(0);
      if (first.offset >= offset) break;
      const covered = Math.min(first.end, offset) - first.offset;
      if (first.state === SENT.inFlight) this.inFlightBytes -= covered;
      if (first.state === SENT.inFlight && first.end <= offset) this.inFlightFrames--;
      if (first.state !== SENT.received) bytes += covered;
      if (first.end > offset) {
        first.offset = offset;
        break;
      }
      if (first.state === SENT.lost) this.lostSegments--;
      this.segments.shift();
    }
    this.acked = offset;
    while (
      this.ackedThrough < this.appended &&
      (this.ends[this.ackedThrough % this.ends.length] as number) <= offset
    ) {
      this.ackedThrough++;
    }
    return bytes;
  }

  private markReceived(start: number, end: number): number {
    let bytes = 0;
    for (let i = this.segments.find(start); i < this.segments.count; i++) {
      const segment = this.segments.at(i);
      if (segment.end > end) break;
      if (segment.offset < start || segment.state === SENT.received) continue;
      if (segment.state === SENT.inFlight) {
        this.inFlightBytes -= segment.end - segment.offset;
        this.inFlightFrames--;
      } else this.lostSegments--;
      segment.state = SENT.received;
      bytes += segment.end - segment.offset;
    }
    return bytes;
  }

  /**
   * Declares lost what frames that were seen, or overtaken on their path, carried and the acks do not
   * show: at once when several later frames have arrived, after the path's time for reordering
   * otherwise. Returns the bytes lost.
   */
  detectLosses(paths: readonly SeenPath[], nowUs: number): number {
    let bytes = 0;
    let seen = 0;
    for (const { seenByPeer } of paths) seen = Math.max(seen, seenByPeer);
    this.lossUs = Number.POSITIVE_INFINITY;
    for (let i = 0; i < this.segments.count; i++) {
      const segment = this.segments.at(i);
      const path = paths[segment.path] as SeenPath;
      if (segment.counter > path.seenByPeer) {
        // Segments that went once have counters in stream order: nothing after this one was seen.
        if (segment.sends === 1 && segment.counter > seen) break;
        continue;
      }
      if (segment.state !== SENT.inFlight) continue;
      const overtaken = segment.counter + REORDER_FRAMES <= path.seenByPeer;
      const lateUs = segment.sentUs + path.rtt.reorderUs;
      if (overtaken || nowUs >= lateUs) {
        this.vanish(segment);
        bytes += sizeOf(segment);
      } else {
        this.lossUs = Math.min(this.lossUs, lateUs);
      }
    }
    return bytes;
  }

  /** No news for too long: the oldest segment in flight goes again to make the peer speak. */
  probe(): void {
    for (let i = 0; i < this.segments.count; i++) {
      const segment = this.segments.at(i);
      if (segment.state !== SENT.inFlight) continue;
      this.vanish(segment);
      return;
    }
  }

  /** What is in flight over other paths than `path`, or over all, goes again. */
  loseAll(path = -1): void {
    for (let i = 0; i < this.segments.count; i++) {
      const segment = this.segments.at(i);
      if (segment.state === SENT.inFlight && segment.path !== path) this.lose(segment);
    }
  }

  /** What is in flight went over `path` as well, in the frame `counter` at the latest. */
  wentOver(path: number, counter: number, nowUs: number): void {
    this.lossUs = Number.POSITIVE_INFINITY;
    for (let i = 0; i < this.segments.count; i++) {
      const segment = this.segments.at(i);
      if (segment.state !== SENT.inFlight) continue;
      segment.path = path;
      segment.counter = counter;
      segment.sentUs = nowUs;
    }
  }

  private vanish(segment: Segment): void {
    const isLarge = sizeOf(segment) > FRAME_BYTES_BASE / 2;
    if (isLarge && segment.sends >= VANISHING_SENDS) this.vanishing = true;
    this.lose(segment);
  }

  private lose(segment: Segment): void {
    segment.state = SENT.lost;
    this.lostSegments++;
    this.inFlightBytes -= sizeOf(segment);
    this.inFlightFrames--;
  }

  /**
   * Writes one data section of at most `roomBytes` at into[at], lost data first; the caller has
   * found wantsRepeat or sendableBytes. `frame` is the one it goes into.
   */
  write(into: Uint8Array, at: number, roomBytes: number, frame: DataFrame): number {
    const dataBytesMax = roomBytes - DATA_BYTES;
    assert(dataBytesMax > 0, 'no room for a data section');
    const segment = this.wantsRepeat
      ? this.takeLost(dataBytesMax)
      : this.takeNew(Math.min(dataBytesMax, this.sendableBytes()));
    segment.state = SENT.inFlight;
    segment.sends++;
    segment.counter = frame.counter;
    segment.path = frame.path;
    segment.sentUs = frame.sentUs;
    this.inFlightBytes += sizeOf(segment);
    this.inFlightFrames++;
    this.wroteOffset = segment.offset;
    this.wroteEnd = segment.end;
    return this.section(into, at, segment.offset, segment.end);
  }

  /**
   * Writes what another frame carries, too, and that is not acknowledged; `range` is what is left of it
   * then. It counts as that frame's.
   */
  copy(into: Uint8Array, at: number, roomBytes: number, range: StreamRange): number {
    const offset = Math.max(range.offset, this.acked);
    const end = Math.min(range.end, offset + roomBytes - DATA_BYTES);
    range.offset = Math.max(offset, end);
    return end > offset ? this.section(into, at, offset, end) : at;
  }

  private section(into: Uint8Array, at: number, offset: number, end: number): number {
    const next = writeDataHead(into, at, this.lane, offset, end - offset);
    this.ring.read(offset, end - offset, into, next);
    return next + end - offset;
  }

  private takeLost(bytesMax: number) {
    let index = 0;
    while (this.segments.at(index).state !== SENT.lost) index++;
    const first = this.segments.at(index);
    if (first.end - first.offset > bytesMax) {
      // The path became narrower since this was sent.
      this.segments.split(index, first.offset + bytesMax);
      this.lostSegments++;
    }
    let more = 0;
    while (index + more + 1 < this.segments.count) {
      const following = this.segments.at(index + more + 1);
      if (following.state !== SENT.lost || following.end - first.offset > bytesMax) break;
      more++;
    }
    this.segments.merge(index, more);
    this.lostSegments -= 1 + more;
    this.repeatedBytes += first.end - first.offset;
    return first;
  }

  private takeNew(bytes: number) {
    assert(bytes > 0, 'write without anything to write');
    const segment = this.segments.push();
    segment.offset = this.next;
    segment.end = this.next + bytes;
    segment.sends = 0;
    this.next += bytes;
    if (this.next === this.end) this.lingerUs = Number.POSITIVE_INFINITY;
    return segment;
  }
}

function sizeOf(segment: Segment): number {
  return segment.end - segment.offset;
}
