// The history of alarms as lines that say themselves whether they are whole: eight hex digits of a
// checksum, a space, one object of JSON. A power cut tears the last line; anything else that does not
// fit its checksum is damage. Both are skipped and counted, and never keep a board from starting. Pure.
import { crc32 } from 'node:zlib';
import type { AlarmChange } from './book.ts';
import { isAlarmCode } from './codes.ts';

/** `opened` and `closed` mark the runs of the board. */
export interface RunMark {
  readonly what: 'opened' | 'closed';
}

export type JournalRecord = AlarmChange | RunMark;

export interface Journal {
  readonly changes: readonly AlarmChange[];
  /** The last run wrote its end; null: there was no run. */
  readonly endedInOrder: boolean | null;
  /** A last line that is not whole. */
  readonly torn: number;
  /** Other lines that are not as written. */
  readonly damaged: number;
}

/** Longer ones are cut before they are written. */
const TEXT_MAX = 400;
const LINE_MAX = 1_200;

export function journalLine(record: JournalRecord): string {
  const short = 'text' in record ? { ...record, text: record.text.slice(0, TEXT_MAX) } : record;
  const json = JSON.stringify(short);
  return `${checksum(json)} ${json}\n`;
}

export function readJournal(text: string): Journal {
  const lines = text.split('\n');
  const tail = lines.pop() ?? '';
  const changes: AlarmChange[] = [];
  let endedInOrder: boolean | null = null;
  let damaged = 0;
  for (const line of lines) {
    const record = readLine(line);
    if (record === null) {
      damaged += 1;
      continue;
    }
    if ('code' in record) changes.push(record);
    else endedInOrder = record.what === 'closed';
  }
  return { changes, endedInOrder, torn: tail === '' ? 0 : 1, damaged };
}

function readLine(line: string): JournalRecord | null {
  const json = line.slice(9);
  if (line.length > LINE_MAX || line[8] !== ' ' || line.slice(0, 8) !== checksum(json)) return null;
  try {
    return recordOf(JSON.parse(json) as Readonly<Record<string, unknown>>);
  } catch {
    return null;
  }
}

/** Also a line with a right checksum may be of another firmware. */
function recordOf(given: Readonly<Record<string, unknown>>): JournalRecord | null {
  const { what, code, text, seq, wallMs, count, by } = given;
  if (what === 'opened' || what === 'closed') return { what };
  if (what !== 'raised' && what !== 'cleared' && what !== 'acked') return null;
  if (!isAlarmCode(code) || typeof text !== 'string') return null;
  if (!isNumber(seq) || !isNumber(wallMs) || !isNumber(count)) return null;
  const change: AlarmChange = { seq, wallMs, what, code, text, count };
  return typeof by === 'string' ? { ...change, by } : change;
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

function checksum(json: string): string {
  return crc32(json).toString(16).padStart(8, '0');
}
