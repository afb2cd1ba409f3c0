// A log for people: one line an entry, counts and bytes by kind, and the rates that matter.
import type { Entry } from './entry.ts';
import { EntryEncoder } from './entry-codec.ts';

const TEXT_BYTES = 32;

/** What a position counts in this log, for people. */
export interface PositionUnit {
  readonly one: string;
  readonly many: string;
}

export function entryText({ position, body }: Entry, unit: PositionUnit): string {
  const text = bodyText(body, unit);
  return `${String(position).padStart(16)}  ${body.kind.padEnd(15)} ${text}`.trimEnd();
}

function bodyText(body: Entry['body'], unit: PositionUnit): string {
  switch (body.kind) {
    case 'clock-step':
      return `${milliseconds(body.ns)} ms, ${(Number(body.multiplier) / 2 ** 32).toFixed(3)} ns ${unit.one}`;
    case 'net-rx':
      return `card ${body.nic}, ${body.frame.length} bytes ${hexText(body.frame)}`;
    case 'serial-rx':
      return `${body.port} ${JSON.stringify(Buffer.from(body.bytes).toString('latin1').slice(0, TEXT_BYTES))}`;
    case 'serial-line': {
      const lines = (['cts', 'dsr', 'dcd', 'ri'] as const).filter((line) => body[line]);
      const words = [...lines, ...(body.isHalfDuplex ? ['half-duplex'] : [])];
      return `${body.port} ${words.length === 0 ? 'no line' : words.join(' ')}`;
    }
    case 'serial-break':
      return body.port;
    case 'disk-completion':
      return `disk ${body.disk} request ${body.id} ${body.status}, data from ${body.data.from}`;
    case 'control':
      return body.action;
    case 'wall-clock':
      return `${new Date(Number(body.wallNs / 1_000_000n)).toISOString()}`;
    case 'output':
      return `up to output ${body.sequence}, hash ${hex(body.hash)}`;
    case 'digest':
      return `state ${hex(body.state)}, memory ${hex(body.memory)}`;
    case 'slice-close':
      return `${body.state.length > 0 ? 'closed' : 'to be closed'}, ${body.pages.length >> 12} pages`;
    case 'end':
      return '';
  }
}

export interface LogSummary {
  readonly entries: number;
  readonly bytes: number;
  readonly position: bigint;
  /** Virtual time of the guest at the last clock step. */
  readonly virtualNs: bigint;
  readonly kinds: ReadonlyMap<string, { count: number; bytes: number }>;
}

/** Feed entries in order; ask any time. */
export class LogSummarizer {
  private readonly encoder = new EntryEncoder();
  private readonly kinds = new Map<string, { count: number; bytes: number }>();
  private entries = 0;
  private bytes = 0;
  private position = 0n;
  private virtualNs = 0n;

  add(entry: Entry): void {
    const bytes = this.encoder.encode(entry).length;
    const kind = this.kinds.get(entry.body.kind) ?? { count: 0, bytes: 0 };
    kind.count++;
    kind.bytes += bytes;
    this.kinds.set(entry.body.kind, kind);
    this.entries++;
    this.bytes += bytes;
    this.position = entry.position;
    if (entry.body.kind === 'clock-step') this.virtualNs = entry.body.ns;
  }

  summary(): LogSummary {
    const { entries, bytes, position, virtualNs, kinds } = this;
    return { entries, bytes, position, virtualNs, kinds };
  }
}

export function summaryText(summary: LogSummary, unit: PositionUnit): string {
  const seconds = Number(summary.virtualNs) / 1e9;
  const rate = seconds > 0 ? `${perSecond(summary.bytes, seconds)} a guest second` : 'no time';
  const rows = [...summary.kinds]
    .sort(([, a], [, b]) => b.bytes - a.bytes)
    .map(([kind, { count, bytes }]) => `${kind.padEnd(16)}${pad(count)}${pad(bytes)}`);
  return [
    `${'kind'.padEnd(16)}${'entries'.padStart(12)}${'bytes'.padStart(12)}`,
    ...rows,
    `${'all'.padEnd(16)}${pad(summary.entries)}${pad(summary.bytes)}`,
    `${summary.position} ${unit.many}, ${seconds.toFixed(3)} s of guest time: ${rate}`,
  ].join('\n');
}

const perSecond = (bytes: number, seconds: number): string =>
  `${(bytes / seconds).toFixed(0)} bytes (${((bytes * 8) / 1000 / seconds).toFixed(1)} kbit)`;
const pad = (value: number): string => String(value).padStart(12);
const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
const milliseconds = (ns: bigint): string => (Number(ns) / 1e6).toFixed(3);

function hexText(bytes: Uint8Array): string {
  const shown = Buffer.from(bytes.subarray(0, 14)).toString('hex');
  return bytes.length > 14 ? `${shown}..` : shown;
}
