// A fault that lasts comes again and again, a thousand times a second or once a minute, and is one piece of news:
// told at once, then after a growing pause with how often it came. Quiet for a while, it is over, and news when it is
// back. Pure.
import type { EventCode } from './event-codes.ts';

type EventData = Readonly<Record<string, unknown>>;

export interface Telling {
  readonly code: EventCode;
  readonly text: string;
  readonly data: EventData;
}

const PAUSES_MS = [1_000, 10_000, 60_000, 600_000, 3_600_000];
const OVER_AFTER_MS = 60_000;
/** Faults of one code with words of their own; more are told as one. */
const STORIES_PER_CODE_MAX = 8;

interface Story {
  readonly code: EventCode;
  /** The newest of it. */
  text: string;
  data: EventData;
  lastMs: number;
  toldMs: number;
  /** How often it was told. */
  told: number;
  /** Not told yet. */
  more: number;
}

export class Repeats {
  private readonly stories = new Map<string, Story>();

  /** What is to be told now; undefined: it is counted. */
  take({ code, text, data }: Telling, nowMs: number): Telling | undefined {
    const key = this.keyOf(code, text);
    const story = this.stories.get(key);
    if (story === undefined) {
      const first = { code, text, data, lastMs: nowMs, toldMs: nowMs, told: 1, more: 0 };
      this.stories.set(key, first);
      return { code, text, data };
    }
    Object.assign(story, { text, data, lastMs: nowMs });
    story.more += 1;
    return nowMs - story.toldMs >= pauseMs(story) ? tellRest(story, nowMs) : undefined;
  }

  /** What has waited for long enough. */
  due(nowMs: number): Telling[] {
    const tellings: Telling[] = [];
    for (const [key, story] of this.stories) {
      const isOver = nowMs - story.lastMs >= OVER_AFTER_MS;
      const isDue = isOver || nowMs - story.toldMs >= pauseMs(story);
      if (isDue && story.more > 0) tellings.push(tellRest(story, nowMs));
      if (isOver) this.stories.delete(key);
    }
    return tellings;
  }

  /** Figures change from one time to the next; the fault is the same. A figure in a name is another thing. */
  private keyOf(code: EventCode, text: string): string {
    const key = `${code} ${text.replaceAll(/\b\d+\b/g, '#')}`;
    if (this.stories.has(key)) return key;
    // They come with words that never repeat: as one, until it is over.
    if (this.stories.has(code)) return code;
    const ofCode = [...this.stories.values()].filter((story) => story.code === code).length;
    return ofCode < STORIES_PER_CODE_MAX ? key : code;
  }
}

function pauseMs({ told }: Story): number {
  return PAUSES_MS[Math.min(told, PAUSES_MS.length) - 1]!;
}

function tellRest(story: Story, nowMs: number): Telling {
  const { code, text, data, more, toldMs } = story;
  story.more = 0;
  story.toldMs = nowMs;
  story.told += 1;
  if (more === 1) return { code, text, data };
  const words = `${text}: ${more} times more in ${spanWords(nowMs - toldMs)}`;
  return { code, text: words, data: { ...data, more } };
}

function spanWords(ms: number): string {
  if (ms < 120_000) return `${Math.round(ms / 1_000)} s`;
  return `${Math.round(ms / 60_000)} min`;
}
