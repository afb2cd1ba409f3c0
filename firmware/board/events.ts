// What happened on this board: numbered, timed, kept in a ring, told to whoever listens. The one way
// by which people and machines learn of anything. A listener never makes the board wait.
import { EVENT_CODES, type EventCode, type Severity } from './event-codes.ts';

export type EventData = Readonly<Record<string, unknown>>;

export interface BoardEvent {
  readonly seq: number;
  readonly wallMs: number;
  /** CLOCK_BOOTTIME: orders events of one start, and gives true intervals. */
  readonly monoMs: number;
  readonly code: EventCode;
  readonly severity: Severity;
  readonly text: string;
  readonly data: EventData;
}

export interface EventClock {
  wallMs(): number;
  monoMs(): number;
}

export type EventListener = (event: BoardEvent) => void;

const RING = 2_000;
/** A code that comes in a burst is told once a period, then once more with how often. */
const BURST_MS = 1_000;

interface Burst {
  sinceMs: number;
  more: number;
  last: EventData;
}

export class EventLog {
  private readonly clock: EventClock;
  private readonly ring: BoardEvent[] = [];
  private readonly listeners = new Set<EventListener>();
  private readonly bursts = new Map<EventCode, Burst>();
  private seq = 0;
  /** A listener may tell something itself: everybody hears that after what is being told. */
  private readonly toTell: BoardEvent[] = [];

  constructor(clock: EventClock) {
    this.clock = clock;
  }

  tell(code: EventCode, text: string = EVENT_CODES[code].words, data: EventData = {}): BoardEvent {
    const event: BoardEvent = {
      seq: ++this.seq,
      wallMs: this.clock.wallMs(),
      monoMs: this.clock.monoMs(),
      code,
      severity: EVENT_CODES[code].severity,
      text,
      data,
    };
    if (this.ring.length >= RING) this.ring.shift();
    this.ring.push(event);
    this.toTell.push(event);
    if (this.toTell.length === 1) this.tellListeners();
    return event;
  }

  private tellListeners(): void {
    try {
      for (let next = this.toTell[0]; next !== undefined; next = this.toTell[0]) {
        for (const listener of this.listeners) listener(next);
        this.toTell.shift();
      }
    } finally {
      this.toTell.length = 0;
    }
  }

  /** For what may come a thousand times a second. `tick` tells the rest. */
  tellBurst(code: EventCode, text: string, data: EventData): void {
    const burst = this.bursts.get(code);
    if (burst !== undefined) {
      burst.more += 1;
      burst.last = data;
      return;
    }
    this.bursts.set(code, { sinceMs: this.clock.monoMs(), more: 0, last: data });
    this.tell(code, text, data);
  }

  tick(nowMs: number): void {
    for (const [code, burst] of this.bursts) {
      if (nowMs - burst.sinceMs < BURST_MS) continue;
      this.bursts.delete(code);
      if (burst.more > 0) {
        const text = `${EVENT_CODES[code].words}: ${burst.more} times more`;
        this.tell(code, text, { ...burst.last, more: burst.more });
      }
    }
  }

  get last(): BoardEvent | null {
    return this.ring.at(-1) ?? null;
  }

  /** The events after `seq`, as far back as the ring goes. */
  after(seq: number): BoardEvent[] {
    return this.ring.filter((event) => event.seq > seq);
  }

  /** Answers what ends it. */
  listen(listener: EventListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}

/** One line of JSON; bigints as numbers would lose digits, so as text. */
export function eventLine(event: BoardEvent): string {
  return `${JSON.stringify(event, plain)}\n`;
}

export function plain(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}
