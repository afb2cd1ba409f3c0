// The list of alarms: what is raised, since when, how often, and who has seen it. Every change is handed
// out as one record, and the same records read again give the same list. Pure.
import type { Severity } from '../event-codes.ts';
import type { AlarmView } from '../status.ts';
import { ALARM_CODES, type AlarmCode } from './codes.ts';

export type ChangeKind = 'raised' | 'cleared' | 'acked';

/** One line of the history. */
export interface AlarmChange {
  readonly seq: number;
  readonly wallMs: number;
  readonly what: ChangeKind;
  readonly code: AlarmCode;
  readonly text: string;
  readonly count: number;
  /** Of an acknowledgement. */
  readonly by?: string;
}

export const HISTORY_MAX = 500;
/** Acknowledging again and again is no news. */
const BY_MAX = 40;

export class AlarmBook {
  onChange: (change: AlarmChange) => void = () => {};
  private readonly wallMs: () => number;
  private readonly raised = new Map<AlarmCode, AlarmView>();
  private readonly counts = new Map<AlarmCode, number>();
  private readonly past: AlarmChange[] = [];
  private seq = 0;

  constructor(wallMs: () => number) {
    this.wallMs = wallMs;
  }

  /** As it was written down by an earlier run; nobody is told. */
  restore(changes: Iterable<AlarmChange>): void {
    for (const change of changes) {
      this.seq = Math.max(this.seq, change.seq);
      this.apply(change);
    }
  }

  raise(code: AlarmCode, text: string): void {
    const before = this.raised.get(code);
    // A state is raised once; an event that comes again counts, and asks to be seen again.
    if (before?.active === true) return;
    this.change('raised', code, text, { count: (this.counts.get(code) ?? 0) + 1 });
  }

  clear(code: AlarmCode): void {
    const before = this.raised.get(code);
    if (before !== undefined) this.change('cleared', code, before.text, { count: before.count });
  }

  /** Answers how many it was news for. */
  ack(code: AlarmCode | null, by: string): number {
    const wanted = [...this.raised.values()].filter(
      (alarm) => alarm.acked === null && (code === null || alarm.code === code),
    );
    for (const alarm of wanted)
      this.change('acked', alarm.code, alarm.text, {
        count: alarm.count,
        by: by.slice(0, BY_MAX),
      });
    return wanted.length;
  }

  isRaised(code: AlarmCode): boolean {
    return this.raised.has(code);
  }

  /** The worst first, then the newest. */
  list(): AlarmView[] {
    return [...this.raised.values()].sort(
      (one, other) =>
        RANK[other.severity] - RANK[one.severity] ||
        other.sinceMs - one.sinceMs ||
        (one.code < other.code ? -1 : 1),
    );
  }

  /** The newest `most` changes, oldest first. */
  history(most = HISTORY_MAX): AlarmChange[] {
    return most <= 0 ? [] : this.past.slice(-most);
  }

  /** As few records as give this list and this history again. */
  records(): AlarmChange[] {
    return [...this.past];
  }

  private change(
    what: ChangeKind,
    code: AlarmCode,
    text: string,
    more: { readonly count: number; readonly by?: string },
  ): void {
    const change = { seq: ++this.seq, wallMs: this.wallMs(), what, code, text, ...more };
    this.apply(change);
    this.onChange(change);
  }

  private apply(change: AlarmChange): void {
    const { what, code, text, wallMs, count, by } = change;
    this.remember(change);
    this.counts.set(code, Math.max(count, this.counts.get(code) ?? 0));
    const before = this.raised.get(code);
    const { severity, kind } = ALARM_CODES[code];
    if (what === 'raised')
      this.raised.set(code, {
        code,
        severity,
        text,
        sinceMs: wallMs,
        count,
        active: kind === 'state',
        acked: null,
      });
    else if (what === 'cleared') this.raised.delete(code);
    else if (before !== undefined) {
      if (before.active) this.raised.set(code, { ...before, acked: { by: by ?? '', wallMs } });
      else this.raised.delete(code);
    }
  }

  /** Bounded; what tells of alarms that still stand, and the last word on each count, is kept. */
  private remember(change: AlarmChange): void {
    this.past.push(change);
    if (this.past.length <= HISTORY_MAX) return;
    const last = new Map<string, number>();
    for (const { code, what, seq } of this.past) last.set(`${code} ${what}`, seq);
    const at = this.past.findIndex(({ code, what, seq }) => last.get(`${code} ${what}`) !== seq);
    this.past.splice(Math.max(0, at), 1);
  }
}

export const RANK: Readonly<Record<Severity, number>> = {
  info: 0,
  warning: 1,
  error: 2,
  critical: 3,
};
