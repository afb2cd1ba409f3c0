// How large a frame the path carries. Both boards say what their ports take, but a switch between them
// has an opinion too and drops without a word: so a size counts only after a frame of that size was
// seen to arrive, and stops counting when large frames vanish (RFC 8899 in small).
import { FRAME_BYTES_BASE } from './limits.ts';

const TRIES = 3;
const TRY_US_MIN = 20_000;
/** After a failure somewhere above, the top is tried again this often: cables get changed. */
const RETRY_US = 10_000_000;
/** Sizes that real networks have: jumbo, FDDI-like, plain Ethernet, plain less a tunnel. */
const SIZES = [9000, 4352, 1500, 1480, 1400];

export class PathSize {
  /** The largest size known to pass; every session starts small. */
  bytes = FRAME_BYTES_BASE;
  private limit: number;
  private candidates: number[] = [];
  private tries = 0;
  private nextUs: number;

  constructor(limit: number, nowUs: number) {
    this.limit = limit;
    this.nextUs = nowUs;
    this.restart(nowUs);
  }

  /** What ports on both ends take; the path may carry less. */
  get limitBytes(): number {
    return this.limit;
  }

  /** Nothing left to find out for now. */
  get settled(): boolean {
    return this.candidates.length === 0;
  }

  /** A port now takes another size. */
  setLimit(bytes: number, nowUs: number): void {
    if (bytes === this.limit) return;
    this.limit = bytes;
    this.bytes = Math.min(this.bytes, bytes);
    this.restart(nowUs);
  }

  /** Large frames seem to vanish: back to the size that always passes, and find out anew. */
  suspect(nowUs: number): void {
    if (this.bytes === FRAME_BYTES_BASE) return;
    this.bytes = FRAME_BYTES_BASE;
    this.restart(nowUs);
  }

  wakeUs(): number {
    return this.bytes < this.limit ? this.nextUs : Number.POSITIVE_INFINITY;
  }

  /** Size of the probe to send now, or 0. */
  next(rttUs: number, nowUs: number): number {
    if (this.bytes >= this.limit || nowUs < this.nextUs) return 0;
    if (this.settled) this.restart(nowUs);
    if (this.tries === TRIES) {
      this.candidates.shift();
      this.tries = 0;
    }
    const size = this.candidates[0];
    if (size === undefined) {
      this.nextUs = nowUs + RETRY_US;
      return 0;
    }
    this.tries++;
    this.nextUs = nowUs + Math.max(TRY_US_MIN, 3 * rttUs);
    return size;
  }

  /** A probe of this size arrived. Whether that is news. */
  passed(size: number): boolean {
    if (size <= this.bytes || size > this.limit) return false;
    this.bytes = size;
    this.candidates = [];
    this.tries = 0;
    // Below the limit, what failed is tried again later.
    this.nextUs += RETRY_US;
    return true;
  }

  private restart(nowUs: number): void {
    const sizes = [this.limit, ...SIZES.filter((size) => size < this.limit)];
    this.candidates = sizes.filter((size) => size > this.bytes);
    this.tries = 0;
    this.nextUs = nowUs;
  }
}
