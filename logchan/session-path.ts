// One way between two boards, as their session sees it: what was measured on it, what is owed over it, and
// how well it stands. Plain state; `paths.ts` judges it, `session.ts` uses it.
import { KEEPALIVE_US, PATH_ANSWER_US_MIN, PATH_DOUBT_US } from './limits.ts';
import { PathSize } from './path-size.ts';
import { RateLimit } from './rate-limit.ts';
import { RoundTrip } from './rtt.ts';
import { Pacer, Window } from './window.ts';

export interface SessionPathOptions {
  /** It has a carrier. */
  up: boolean;
  /** What ports on both ends take, as far as it is known. */
  frameBytesMax: number;
  /** What bulk data may use of it. @default no limit */
  rateBytesPerSecond?: number;
}

/** Bytes of the log lane from one offset to another. */
export interface StreamRange {
  offset: number;
  end: number;
}

export class SessionPath {
  readonly index: number;
  readonly rtt = new RoundTrip();
  readonly window = new Window();
  readonly pacer = new Pacer();
  readonly limit: RateLimit;
  readonly size: PathSize;
  up: boolean;
  /** When the last authentic frame came over it. */
  heardUs: number;
  /** Counter of the newest frame that came over it, and when. */
  newest = 0;
  newestAtUs: number;
  /** Newest counter of ours that went over it and that the peer has seen; and the last that went. */
  seenByPeer = 0;
  lastCounter = 0;
  /** The peer waits to hear over it what we have. */
  owesState = false;
  stateUs = Number.NEGATIVE_INFINITY;
  /** What came and can wait for an acknowledgement, until when at most. */
  logFrames = 0;
  bulkFrames = 0;
  ackUs = Number.POSITIVE_INFINITY;
  probed = 0;
  farewells = 0;
  /** What went over another path while nobody knew which of them lives. */
  readonly copies: StreamRange[] = [];
  framesSent = 0;
  framesReceived = 0;
  bytesSent = 0;
  /** Bytes of the log lane in it, repeats and copies included. */
  logBytesSent = 0;

  /** No carrier, or what went over it stayed without an answer. */
  isLost: boolean;
  /** It has answered since the session began, or since it was lost. */
  isSound = false;
  /** Since when it answers without a miss. Never in trouble: always; in trouble now: never. */
  goodSinceUs: number;
  /** When it is asked next, while it carries nothing; and how often it was without an answer. */
  askUs: number;
  unanswered = 0;
  /** Newest frame that wants an answer, and since when none came. */
  demandCounter = 0;
  awaitUs = Number.POSITIVE_INFINITY;
  /** The peer sends its data over another path: it may know more. */
  isDoubted = false;
  /** It has answered in the search that is under way. */
  isFound = false;

  constructor(index: number, options: SessionPathOptions, nowUs: number) {
    const { up, frameBytesMax, rateBytesPerSecond } = options;
    this.index = index;
    this.up = up;
    this.limit = new RateLimit(rateBytesPerSecond);
    this.size = new PathSize(frameBytesMax, nowUs);
    this.heardUs = nowUs;
    this.newestAtUs = nowUs;
    this.isLost = !up;
    this.goodSinceUs = up ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
    this.askUs = nowUs;
  }

  /** A frame leaves. */
  sent(counter: number, bytes: number): void {
    this.lastCounter = counter;
    this.pacer.sent(bytes);
    this.limit.sent(bytes);
    this.framesSent++;
    this.bytesSent += bytes;
  }

  /** It wants an answer. */
  demand(counter: number, nowUs: number): void {
    this.demandCounter = counter;
    if (this.awaitUs === Number.POSITIVE_INFINITY) this.awaitUs = nowUs;
  }

  /** When it has been without a word for so long that another path is looked for. */
  overdueUs(): number {
    const answerUs = Math.max(PATH_ANSWER_US_MIN, 4 * this.rtt.timeoutUs(0));
    const patienceUs = this.isDoubted ? PATH_DOUBT_US : answerUs;
    // Frames that a full port does not take are as good as lost.
    return Math.min(this.awaitUs + patienceUs, this.stateUs + KEEPALIVE_US + answerUs);
  }

  /** A frame of ours that went over it came to the peer, and word of that back over it. */
  answered(counter: number, nowUs: number): void {
    this.unanswered = 0;
    this.isDoubted = false;
    this.awaitUs = counter >= this.demandCounter ? Number.POSITIVE_INFINITY : nowUs;
    if (this.isSound) return;
    this.isSound = true;
    if (this.goodSinceUs === Number.POSITIVE_INFINITY) this.goodSinceUs = nowUs;
  }

  /** It is in trouble: what it was good for counts no more. */
  fail(): void {
    this.isSound = false;
    this.goodSinceUs = Number.POSITIVE_INFINITY;
    this.awaitUs = Number.POSITIVE_INFINITY;
    this.isDoubted = false;
  }
}
