// The serial line as a path of the arbiter: statements out at the line's own pace, newest only;
// statements in, authenticated and in order. Also carries pairing. No timers: the owner ticks.
import type { Statement } from './arbiter-types.ts';
import { CobsReader, cobsEncode } from './cobs.ts';
import type { SerialLine } from './line.ts';
import {
  type Authentic,
  FRAME_BYTES_MAX,
  FrameReader,
  type PathKeys,
  sealPairing,
} from './path-frame.ts';
import type { Extras } from './statement-wire.ts';

export interface SerialPathOptions {
  readonly line: SerialLine;
  /** Null: not paired yet. */
  readonly keys: PathKeys | null;
  readonly authentic?: Authentic;
  readonly heartbeatMs: number;
  readonly onStatement: (statement: Statement, extras: Extras) => void;
  readonly onPairing: (body: Uint8Array) => void;
  readonly onDown: (why: string) => void;
}

export class SerialPath {
  readonly reader: FrameReader;
  readonly stream = new CobsReader(FRAME_BYTES_MAX);
  private readonly options: SerialPathOptions;
  private waiting: Uint8Array | null = null;
  private urgent = false;
  private sentMs = Number.NEGATIVE_INFINITY;
  sent = 0;

  constructor(options: SerialPathOptions) {
    this.options = options;
    this.reader = new FrameReader(options.keys, options.authentic);
    options.line.onData = (bytes) => this.take(bytes);
    options.line.onDown = (why) => options.onDown(why);
  }

  /** Every statement of the arbiter, sealed; what the line has no time for is replaced by the next. */
  offer(frame: Uint8Array, urgent: boolean, nowMs: number): void {
    this.waiting = frame;
    this.urgent ||= urgent;
    this.tick(nowMs);
  }

  sayPairing(body: Uint8Array): void {
    this.options.line.write(framed(sealPairing(body)));
  }

  tick(nowMs: number): void {
    const { heartbeatMs, line } = this.options;
    const dueMs = this.sentMs + heartbeatMs;
    if (this.waiting === null || !(this.urgent || nowMs >= dueMs)) return;
    if (!line.write(framed(this.waiting))) return;
    // A loop that turns every few milliseconds is always a little late; that must not add up.
    const onPace = !this.urgent && nowMs - dueMs < heartbeatMs / 2;
    this.sentMs = onPace ? dueMs : nowMs;
    this.waiting = null;
    this.urgent = false;
    this.sent += 1;
  }

  private take(bytes: Uint8Array): void {
    for (const frame of this.stream.push(bytes)) {
      const read = this.reader.read(frame);
      if (!read.ok) continue;
      if (read.kind === 'pairing') this.options.onPairing(read.body);
      else this.options.onStatement(read.statement, read.extras);
    }
  }
}

/** A zero before the frame too: whatever noise came before ends there. */
export function framed(frame: Uint8Array): Uint8Array {
  const coded = cobsEncode(frame);
  const bytes = new Uint8Array(coded.length + 2);
  bytes.set(coded, 1);
  return bytes;
}
