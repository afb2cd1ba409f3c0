// What happened on this board: numbered, timed, kept, told to whoever listens. The one way by which people and
// machines learn of anything. A listener never makes the board wait, and a flood hides nothing else: a fault that
// lasts is told rarely (repeats.ts), and what is told often has only its own place.
import { EVENT_CODES, type EventCode, lasts, type Severity } from './event-codes.ts';
import { Repeats, type Telling } from './repeats.ts';

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

/** A part of an event: what came, told by itself or counted with others. */
export type Occurrence = Pick<BoardEvent, 'code' | 'text' | 'data' | 'monoMs'>;

const KEPT_MAX = 2_000;

export class EventLog {
  private readonly clock: EventClock;
  private readonly kept = new KeptEvents();
  private readonly listeners = new Set<EventListener>();
  private readonly eachListeners = new Set<(occurrence: Occurrence) => void>();
  private readonly repeats = new Repeats();
  private seq = 0;
  private newest: BoardEvent | null = null;
  /** A listener may tell something itself: everybody hears that after what is being told. */
  private readonly toTell: (() => void)[] = [];

  constructor(clock: EventClock) {
    this.clock = clock;
  }

  /** Told at once; a fault that lasts only when it is news. Answers what was told last. */
  tell(code: EventCode, text: string = EVENT_CODES[code].words, data: EventData = {}): BoardEvent {
    if (lasts(code)) this.tellBurst(code, text, data);
    else this.tellNow({ code, text, data }, true);
    return this.newest!;
  }

  /** For what may come a thousand times a second, or for a year. `tick` tells the rest. */
  tellBurst(code: EventCode, text: string, data: EventData): void {
    const monoMs = this.clock.monoMs();
    const telling = this.repeats.take({ code, text, data }, monoMs);
    if (telling !== undefined) this.tellNow(telling, true);
    else this.inTurn(() => this.each({ code, text, data, monoMs }));
  }

  tick(nowMs: number): void {
    for (const telling of this.repeats.due(nowMs)) this.tellNow(telling, false);
  }

  /** `isNew`: it happens now, and is not the sum of what each was heard of. */
  private tellNow({ code, text, data }: Telling, isNew: boolean): void {
    const event: BoardEvent = {
      seq: ++this.seq,
      wallMs: this.clock.wallMs(),
      monoMs: this.clock.monoMs(),
      code,
      severity: EVENT_CODES[code].severity,
      text,
      data,
    };
    this.kept.add(event);
    this.newest = event;
    this.inTurn(() => {
      for (const listener of this.listeners) listener(event);
      if (isNew) this.each(event);
    });
  }

  private each(occurrence: Occurrence): void {
    for (const listener of this.eachListeners) listener(occurrence);
  }

  private inTurn(telling: () => void): void {
    this.toTell.push(telling);
    if (this.toTell.length > 1) return;
    try {
      for (let next = this.toTell[0]; next !== undefined; next = this.toTell[0]) {
        next();
        this.toTell.shift();
      }
    } finally {
      this.toTell.length = 0;
    }
  }

  get last(): BoardEvent | null {
    return this.newest;
  }

  /** The events after `seq`, as far back as they are kept. */
  after(seq: number): BoardEvent[] {
    return this.kept.after(seq);
  }

  /** Answers what ends it. */
  listen(listener: EventListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Of everything, each time it comes, told or only counted. Answers what ends it. */
  listenToEach(listener: (occurrence: Occurrence) => void): () => void {
    this.eachListeners.add(listener);
    return () => this.eachListeners.delete(listener);
  }
}

/** The newest of each code. Where there is no room, the code goes that has most: a flood drives out itself. */
class KeptEvents {
  private readonly byCode = new Map<EventCode, BoardEvent[]>();
  private count = 0;

  add(event: BoardEvent): void {
    const ofCode = this.byCode.get(event.code);
    if (ofCode === undefined) this.byCode.set(event.code, [event]);
    else ofCode.push(event);
    if (++this.count <= KEPT_MAX) return;
    this.longest().shift();
    this.count -= 1;
  }

  private longest(): BoardEvent[] {
    let longest: BoardEvent[] = [];
    for (const ofCode of this.byCode.values()) if (ofCode.length > longest.length) longest = ofCode;
    return longest;
  }

  after(seq: number): BoardEvent[] {
    const events = [...this.byCode.values()].flatMap((ofCode) =>
      ofCode.filter((event) => event.seq > seq),
    );
    return events.sort((a, b) => a.seq - b.seq);
  }
}

/** One line of JSON; bigints as numbers would lose digits, so as text. */
export function eventLine(event: BoardEvent): string {
  return `${JSON.stringify(event, plain)}\n`;
}

export function plain(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}
