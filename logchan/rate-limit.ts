// What bulk data may use of a path that others live on, too (the front LAN): a token bucket. Messages and
// acknowledgements are never held back, but what they use is not there for bulk any more.
import { FRAME_BYTES_MAX } from './limits.ts';

/** As much may leave at once after a quiet time. */
const BURST_US = 20_000;
const BURST_BYTES_MIN = 2 * FRAME_BYTES_MAX;

export class RateLimit {
  private readonly bytesPerUs: number;
  private readonly burstBytes: number;
  private bytes: number;
  private filledUs = Number.NEGATIVE_INFINITY;

  constructor(bytesPerSecond = Number.POSITIVE_INFINITY) {
    this.bytesPerUs = bytesPerSecond / 1e6;
    this.burstBytes = Math.max(BURST_BYTES_MIN, this.bytesPerUs * BURST_US);
    this.bytes = this.burstBytes;
  }

  refill(nowUs: number): void {
    if (this.bytesPerUs === Number.POSITIVE_INFINITY) return;
    const elapsedUs = Math.max(0, nowUs - this.filledUs);
    this.bytes = Math.min(this.burstBytes, this.bytes + elapsedUs * this.bytesPerUs);
    this.filledUs = nowUs;
  }

  get open(): boolean {
    return this.bytes > 0;
  }

  sent(bytes: number): void {
    if (this.bytesPerUs === Number.POSITIVE_INFINITY) return;
    // A flood of messages is not paid for by bulk for ever.
    this.bytes = Math.max(-this.burstBytes, this.bytes - bytes);
  }

  /** When bulk data may leave again, as of the last refill(). */
  openUs(nowUs: number): number {
    return this.bytes > 0 ? nowUs : nowUs + (1 - this.bytes) / this.bytesPerUs;
  }
}
