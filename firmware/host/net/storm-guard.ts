// Storm control before the guest: what a network floods a card with (a loop between two switches, a device
// gone mad) is dropped before anybody keeps it. Pure: time is told.
//
// Two token buckets, filled at the configured rates: one for broadcast and multicast, one for all frames.
// Frames to the guest's own address may use all of the second one, others only its upper half, so that
// no flood takes the share of the guest's own talk. When a bucket runs low, the source heard most is the
// first that has to wait: beside one mad device the others are still heard.

export interface StormLimits {
  /** Broadcast and multicast frames; 0: as many as come. */
  readonly groupFramesPerS: number;
  /** All frames; 0: as many as come. */
  readonly framesPerS: number;
}

/** More than a quiet plant ever says, and what a guest on the software engine can well look at. */
export const STORM_LIMITS: StormLimits = { groupFramesPerS: 500, framesPerS: 20_000 };

export interface StormFacts {
  /** Frames dropped before the guest, since the start: broadcast and multicast, and all together. */
  readonly groupDropped: number;
  readonly dropped: number;
  /** In the last whole second. */
  readonly droppedPerS: number;
  /** It lasts: frames are dropped second after second. */
  readonly isStorm: boolean;
  /** Heard most while frames were dropped; null: none ever was. */
  readonly source: string | null;
}

/** What may come at once after silence, in seconds of the rate. */
const GROUP_DEPTH_S = 0.5;
const FRAMES_DEPTH_S = 0.1;
const WINDOW_MS = 1_000;
/** So many windows with drops, one after the other, are a storm; so many without end it. */
const STORM_WINDOWS = 3;
const CALM_WINDOWS = 10;
const SOURCE_AT = 6;
const GROUP_BIT = 1;

export class StormGuard {
  private readonly mac: number;
  private readonly group: TokenBucket;
  private readonly all: TokenBucket;
  /** Who talks to the guest itself, and who does not. */
  private readonly own = new Talkers();
  private readonly others = new Talkers();
  private groupDropped = 0;
  private dropped = 0;
  private windowEndMs = Number.NaN;
  private droppedPerS = 0;
  private stormy = 0;
  private calm = 0;
  private isStorm = false;
  private source: number | null = null;

  constructor(mac: Uint8Array, { groupFramesPerS, framesPerS }: StormLimits) {
    this.mac = numberAt(mac, 0);
    this.group = new TokenBucket(groupFramesPerS, GROUP_DEPTH_S);
    this.all = new TokenBucket(framesPerS, FRAMES_DEPTH_S);
  }

  /** Whether it goes on to the guest. Time never goes back. */
  admit(frame: Uint8Array, nowMs: number): boolean {
    this.look(nowMs);
    this.group.fill(nowMs);
    this.all.fill(nowMs);
    return this.takes(frame);
  }

  facts(nowMs: number): StormFacts {
    this.look(nowMs);
    const { groupDropped, dropped, droppedPerS, isStorm, source } = this;
    const words = source === null ? null : macWords(source);
    return { groupDropped, dropped, droppedPerS, isStorm, source: words };
  }

  private takes(frame: Uint8Array): boolean {
    const isGroup = ((frame[0] as number) & GROUP_BIT) !== 0;
    const isOwn = !isGroup && numberAt(frame, 0) === this.mac;
    const talkers = isOwn ? this.own : this.others;
    const isLoudest = talkers.heard(numberAt(frame, SOURCE_AT));
    const reserve = isOwn ? (isLoudest ? 0.25 : 0) : 0.5;
    if ((!isGroup || this.group.has(isLoudest ? 0.5 : 0)) && this.all.has(reserve)) {
      if (isGroup) this.group.take();
      this.all.take();
      return true;
    }
    this.dropped++;
    talkers.dropped++;
    if (isGroup) this.groupDropped++;
    return false;
  }

  /** Windows that have ended since the last look. */
  private look(nowMs: number): void {
    if (Number.isNaN(this.windowEndMs)) this.windowEndMs = nowMs + WINDOW_MS;
    if (nowMs < this.windowEndMs) return;
    const ended = 1 + Math.floor((nowMs - this.windowEndMs) / WINDOW_MS);
    this.windowEndMs += ended * WINDOW_MS;
    this.endWindow();
    // Nothing came in the others; how many more than enough does not matter.
    for (let left = Math.min(ended - 1, CALM_WINDOWS); left > 0; left--) this.endWindow();
  }

  private endWindow(): void {
    const { own, others } = this;
    const dropped = own.dropped + others.dropped;
    this.droppedPerS = dropped;
    if (dropped > 0) this.source = (own.dropped > others.dropped ? own : others).loudest;
    for (const talkers of [own, others]) talkers.endWindow();
    this.stormy = dropped > 0 ? this.stormy + 1 : 0;
    this.calm = dropped > 0 ? 0 : this.calm + 1;
    if (this.stormy >= STORM_WINDOWS) this.isStorm = true;
    if (this.calm >= CALM_WINDOWS) this.isStorm = false;
  }
}

class TokenBucket {
  private readonly perMs: number;
  private readonly depth: number;
  private level: number;
  private filledMs = Number.NaN;

  constructor(perS: number, depthS: number) {
    this.perMs = perS / 1_000;
    this.depth = Math.max(1, perS * depthS);
    this.level = this.depth;
  }

  fill(nowMs: number): void {
    if (nowMs === this.filledMs) return;
    const ms = Number.isNaN(this.filledMs) ? 0 : nowMs - this.filledMs;
    this.filledMs = nowMs;
    this.level = Math.min(this.depth, this.level + ms * this.perMs);
  }

  /** Whether one more may go and leave this part of a full bucket to others. */
  has(reserve: number): boolean {
    return this.perMs === 0 || this.level >= Math.max(1, this.depth * reserve);
  }

  take(): void {
    this.level -= 1;
  }
}

const SOURCES_MAX = 16;

/** Who is heard most of late, of as many as there may be: few counts are kept (space saving). */
class Talkers {
  /** In this window, of all of them. */
  dropped = 0;
  loudest: number | null = null;
  private loudestCount = 0;
  private readonly counts = new Map<number, number>();

  /** Whether it is the one heard most so far. */
  heard(source: number): boolean {
    const { counts } = this;
    let count = counts.get(source);
    if (count === undefined && counts.size >= SOURCES_MAX) count = this.replaceLeast();
    count = (count ?? 0) + 1;
    counts.set(source, count);
    if (count > this.loudestCount || source === this.loudest) {
      this.loudest = source;
      this.loudestCount = count;
    }
    return source === this.loudest;
  }

  /** What was heard earlier counts half. */
  endWindow(): void {
    this.dropped = 0;
    for (const [source, count] of this.counts) this.counts.set(source, count / 2);
    this.loudestCount /= 2;
  }

  private replaceLeast(): number {
    let [least, leastCount] = [0, Number.POSITIVE_INFINITY];
    for (const [source, count] of this.counts)
      if (count < leastCount) [least, leastCount] = [source, count];
    this.counts.delete(least);
    return leastCount;
  }
}

/** Six bytes, exact in a number. */
function numberAt(bytes: Uint8Array, at: number): number {
  let value = 0;
  for (let i = 0; i < 6; i++) value = value * 256 + (bytes[at + i] as number);
  return value;
}

function macWords(mac: number): string {
  return mac.toString(16).padStart(12, '0').match(/../g)!.join(':');
}
