// Keeps the record of this board's role on disk: loads it, counts starts in it and writes it, each again and again
// until the disk takes it, and tells of each. Nothing follows from a record before the supervisor knows of it.
import type { ArbiterEvent, ArbiterState, DiskRecord } from '../../watchdog/arbiter-types.ts';
import type { Loaded } from '../../watchdog/role-record-store.ts';
import type { EventLog } from './events.ts';
import { RoleRecord, type Written } from './role-record.ts';

/** Tells the supervisor of a record that is safe on disk; `then` when it knows. */
export type RecordIsSafe = (boot: number, record: DiskRecord, then: () => void) => void;

export interface RecordCareParts {
  readonly folder: string;
  readonly events: EventLog;
  readonly nowMs: () => number;
  readonly state: () => ArbiterState;
  readonly fire: (event: ArbiterEvent) => void;
  readonly recordIsSafe: RecordIsSafe | undefined;
}

/** A write that takes longer is told: it is part of every takeover. */
const SLOW_WRITE_MS = 100;
const WRITE_AGAIN_MS = 200;
const LOAD_AGAIN_MS = 1_000;

export class RecordCare {
  private readonly parts: RecordCareParts;
  private readonly record: RoleRecord;
  private timer: NodeJS.Timeout | null = null;
  private isStopped = false;
  private coldReason: string | null = null;
  private writeTrouble: string | null = null;

  constructor(parts: RecordCareParts) {
    this.parts = parts;
    this.record = new RoleRecord(parts.folder, parts.nowMs);
    this.record.onWritten = (written) => this.written(written);
    this.record.onCounted = (boot, error) => this.counted(boot, error);
  }

  /** Why the record could not be read and counted yet. */
  get coldWhy(): string | null {
    return this.coldReason;
  }

  /** Why the newest write failed. */
  get trouble(): string | null {
    return this.writeTrouble;
  }

  /** Since when a write has been under way, or null. */
  get busySinceMs(): number | null {
    return this.record.busySinceMs;
  }

  /** Without a start counted on disk the board has no word to say: it waits, cold, until the disk has it. */
  async load(): Promise<void> {
    const { events, fire } = this.parts;
    let loaded: Loaded;
    try {
      loaded = await this.record.load();
    } catch (error) {
      const text = `the record cannot be written: ${(error as Error).message}`;
      if (text !== this.coldReason) events.tell('RECORD-FAILED', text);
      this.coldReason = text;
      if (!this.isStopped) this.timer = setTimeout(() => void this.load(), LOAD_AGAIN_MS);
      return;
    }
    if (this.isStopped) return;
    this.timer = null;
    const { boot, record, copies, trouble } = loaded;
    const isNew = copies.every((copy) => copy === 'missing');
    const words = `generation ${record.generation}, ${record.standing}`;
    const text = `start ${boot}, ${isNew ? 'a new board, without a record yet' : words}`;
    events.tell('RECORD-LOADED', text, { boot, ...record });
    if (trouble !== null && !isNew) events.tell('RECORD-TROUBLE', trouble);
    this.isSafe(boot, record, () => fire({ type: 'loaded', boot, record }));
  }

  write(record: DiskRecord): void {
    this.record.write(record);
  }

  /** Calls this start `boot`. */
  count(boot: number): void {
    this.record.count(boot);
  }

  /** Asks for nothing again. */
  stop(): void {
    this.isStopped = true;
    if (this.timer !== null) clearTimeout(this.timer);
  }

  /** After what was asked for is written. */
  close(): Promise<void> {
    this.stop();
    return this.record.close();
  }

  /** Its word must never be older than the gate. */
  private isSafe(boot: number, record: DiskRecord, then: () => void): void {
    const { recordIsSafe } = this.parts;
    if (recordIsSafe === undefined) then();
    else recordIsSafe(boot, record, then);
  }

  /** The peer held this start for an older one; it has a number above that now. */
  private counted(boot: number, error: string | null): void {
    const { events, state, fire } = this.parts;
    if (error !== null) {
      events.tellBurst('RECORD-FAILED', `the number of this start cannot be written: ${error}`, {});
      setTimeout(() => this.countAgain(boot), WRITE_AGAIN_MS);
      return;
    }
    events.tell('START-RECOUNTED', `this is start ${boot} now`, { boot });
    this.isSafe(boot, state().record, () => fire({ type: 'start-counted', boot }));
  }

  private countAgain(boot: number): void {
    const { boot: now, isCounted } = this.parts.state();
    if (!this.isStopped && now === boot && !isCounted) this.record.count(boot);
  }

  private written({ record, error, tookMs }: Written): void {
    const { events, state, fire } = this.parts;
    const data = { ...record, tookMs: Number(tookMs.toFixed(2)) };
    this.writeTrouble = error;
    if (error === null) {
      const code = tookMs > SLOW_WRITE_MS ? 'RECORD-SLOW' : 'RECORD-WRITTEN';
      const text = `generation ${record.generation}, ${record.standing}, in ${tookMs.toFixed(1)} ms`;
      events.tell(code, text, data);
      this.isSafe(state().boot, record, () => fire({ type: 'persisted', record }));
      return;
    }
    events.tell('RECORD-FAILED', `the record cannot be written: ${error}`, data);
    // Only the newest order counts by now.
    this.timer ??= setTimeout(() => {
      this.timer = null;
      const { writing } = state();
      if (writing !== null) this.record.write(writing);
    }, WRITE_AGAIN_MS);
  }
}
