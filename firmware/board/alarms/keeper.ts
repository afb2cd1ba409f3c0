// The alarms of one board, put together: events and status in, the list out, every change into the store
// and told as an event. Looked at twice a second, beside the tick.
import type { Limits } from '../../../watchdog/limits.ts';
import type { EventLog } from '../events.ts';
import type { AlarmView, Status } from '../status.ts';
import { AlarmBook, type AlarmChange } from './book.ts';
import type { AlarmCode } from './codes.ts';
import { AlarmStore } from './store.ts';
import { AlarmWatch, quietAfterStartMs } from './watch.ts';

export interface AlarmKeeperParts {
  readonly path: string;
  readonly events: EventLog;
  readonly wallMs: () => number;
  readonly monoMs: () => number;
  readonly limits: Limits;
}

const CLOSE_WITHIN_MS = 500;
const AGAIN_MS = 10_000;
const TOLD = {
  raised: 'ALARM-RAISED',
  cleared: 'ALARM-CLEARED',
  acked: 'ALARM-ACKED',
} as const;

export class AlarmKeeper {
  readonly store: AlarmStore;
  private readonly parts: AlarmKeeperParts;
  private readonly book: AlarmBook;
  private readonly watch: AlarmWatch;
  private readonly found: ReturnType<typeof AlarmStore.load>;
  private unlisten: () => void = () => {};
  private triedMs = Number.NEGATIVE_INFINITY;

  /** Reads the history; nothing is told before `start`. */
  constructor(parts: AlarmKeeperParts) {
    const { path, wallMs, limits } = parts;
    this.parts = parts;
    this.found = AlarmStore.load(path);
    const { journal } = this.found;
    this.book = new AlarmBook(wallMs);
    this.book.restore(journal.changes);
    this.store = new AlarmStore(
      { path, records: () => this.book.records(), onTrouble: (why) => this.unsaved(why) },
      journal,
    );
    this.book.onChange = (change) => this.tell(change);
    const raised = this.book.list().map(({ code }) => code);
    this.watch = new AlarmWatch(this.book, raised, quietAfterStartMs(limits));
  }

  /** From now on every event counts. */
  start(): void {
    const { events } = this.parts;
    const { journal, trouble } = this.found;
    this.unlisten = events.listenToEach((occurrence) => this.watch.take(occurrence));
    this.store.put({ what: 'opened' });
    const { torn, damaged } = journal;
    if (trouble !== null || damaged > 0)
      events.tell('ALARMS-DAMAGED', undefined, { torn, damaged, trouble });
    if (journal.endedInOrder === false)
      this.book.raise('UNCLEAN-START', 'the last run of this board did not end in order');
  }

  look(status: Status): void {
    const nowMs = this.parts.monoMs();
    this.watch.look(status, nowMs);
    if (!this.book.isRaised('ALARMS-UNSAVED') || nowMs - this.triedMs < AGAIN_MS) return;
    this.triedMs = nowMs;
    this.store.put({ what: 'opened' });
  }

  list(): AlarmView[] {
    return this.book.list();
  }

  history(most?: number): AlarmChange[] {
    return this.book.history(most);
  }

  ack(code: AlarmCode | null, by: string): number {
    return this.book.ack(code, by);
  }

  async close(): Promise<void> {
    this.unlisten();
    this.store.put({ what: 'closed' });
    await this.store.close(CLOSE_WITHIN_MS);
  }

  private tell(change: AlarmChange): void {
    this.store.put(change);
    const { what, code, text, count, by } = change;
    const who = by === undefined ? '' : ` by ${by}`;
    this.parts.events.tell(TOLD[what], `${code} ${what}${who}: ${text}`, {
      alarm: code,
      count,
      ...(by === undefined ? {} : { by }),
    });
  }

  private unsaved(why: string | null): void {
    if (why === null) this.book.clear('ALARMS-UNSAVED');
    else this.book.raise('ALARMS-UNSAVED', `the history of alarms cannot be written: ${why}`);
  }
}
