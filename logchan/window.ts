// How much may be in flight, and how evenly it leaves. The link is ours alone, so loss means a
// faulty cable or a full buffer, not a neighbour: what we watch is queueing, the round trip above its
// lowest. Two windows: messages may queue a few milliseconds behind each other, bulk data backs off
// long before, so that a message never waits behind more than that (limits.ts has both figures).
import {
  BULK_QUEUE_US,
  LOG_QUEUE_US,
  WINDOW_BYTES_INITIAL,
  WINDOW_BYTES_MAX,
  WINDOW_BYTES_MIN,
} from './limits.ts';

/** More than one byte in eight lost in a round trip: buffers overflow somewhere. */
const LOSS_SHARE_MAX = 1 / 8;

class QueueWindow {
  bytes = WINDOW_BYTES_INITIAL;
  private readonly queueUsMax: number;
  private doubling = true;

  constructor(queueUsMax: number) {
    this.queueUsMax = queueUsMax;
  }

  round(queueUs: number, congested: boolean, wasFull: boolean): void {
    if (congested) {
      this.set(this.bytes * 0.7);
    } else if (queueUs > this.queueUsMax) {
      this.set(this.bytes * Math.max(0.7, this.queueUsMax / queueUs));
    } else if (wasFull) {
      const bytes = this.bytes * (this.doubling ? 2 : 1.125);
      this.bytes = Math.min(WINDOW_BYTES_MAX, bytes);
    }
  }

  private set(bytes: number): void {
    this.doubling = false;
    this.bytes = Math.max(WINDOW_BYTES_MIN, bytes);
  }
}

export class Window {
  private readonly log = new QueueWindow(LOG_QUEUE_US);
  private readonly bulk = new QueueWindow(BULK_QUEUE_US);
  /** The round ends when a frame sent after its begin has been seen by the peer. */
  private roundEndCounter = 0;
  private roundLowestUs = Number.POSITIVE_INFINITY;
  private deliveredBytes = 0;
  private lostBytes = 0;
  private logWasFull = false;
  private bulkWasFull = false;

  get logBytes(): number {
    return this.log.bytes;
  }

  get bulkBytes(): number {
    return this.bulk.bytes;
  }

  delivered(bytes: number): void {
    this.deliveredBytes += bytes;
  }

  lost(bytes: number): void {
    this.lostBytes += bytes;
  }

  /** The sender had more to send than the window allowed. */
  full(bulk: boolean): void {
    if (bulk) this.bulkWasFull = true;
    else this.logWasFull = true;
  }

  /** A round trip was measured on the frame `counter`; `nextCounter` will be the next one sent. */
  sample(rttUs: number, lowestUs: number, counter: number, nextCounter: number): void {
    this.roundLowestUs = Math.min(this.roundLowestUs, rttUs);
    if (counter < this.roundEndCounter) return;
    const queueUs = this.roundLowestUs - lowestUs;
    const congested = this.lostBytes > (this.lostBytes + this.deliveredBytes) * LOSS_SHARE_MAX;
    this.log.round(queueUs, congested, this.logWasFull);
    this.bulk.round(queueUs, congested, this.bulkWasFull);
    this.roundEndCounter = nextCounter;
    this.roundLowestUs = Number.POSITIVE_INFINITY;
    this.deliveredBytes = 0;
    this.lostBytes = 0;
    this.logWasFull = false;
    this.bulkWasFull = false;
  }
}

/** How far ahead of an even flow a burst may be: the host's timers are no finer. */
const BURST_US = 2_000;
const BURST_BYTES_MIN = 64 << 10;
/** Above the window per round trip, so that pacing spreads but never limits. */
const HEADROOM = 1.25;

/** Spreads frames over the round trip, so that a burst does not fill the peer's receive ring. */
export class Pacer {
  private bytes = BURST_BYTES_MIN;
  private filledUs = Number.NEGATIVE_INFINITY;
  private bytesPerUs = BURST_BYTES_MIN / BURST_US;

  refill(windowBytes: number, rttUs: number, nowUs: number): void {
    this.bytesPerUs = (HEADROOM * windowBytes) / Math.max(1, rttUs);
    const burst = Math.max(BURST_BYTES_MIN, this.bytesPerUs * BURST_US);
    const elapsedUs = Math.max(0, nowUs - this.filledUs);
    this.bytes = Math.min(burst, this.bytes + elapsedUs * this.bytesPerUs);
    this.filledUs = nowUs;
  }

  get open(): boolean {
    return this.bytes > 0;
  }

  sent(bytes: number): void {
    this.bytes -= bytes;
  }

  /** When the next paced frame may leave. */
  openUs(nowUs: number): number {
    return this.bytes > 0 ? nowUs : nowUs + (1 - this.bytes) / this.bytesPerUs;
  }
}
