// One stream of the log as a target or backup receives it from its primary. Each message is counted and
// kept; it is handed on in order, as soon as this board has a machine to take it.
//
// A message that is in memory counts as acknowledged. Whether this board may send the acknowledgement depends
// on its role, and `following` knows that. Pure: this holds bytes and counts.
import type { Ack, LogMessage, MarkKind } from './messages.ts';

export type Begin = Extract<LogMessage, { type: 'begin' }>;
type Mark = Extract<LogMessage, { type: 'mark' }>;

/** Log for a machine that is not there yet. */
export const BUFFER_BYTES_MAX = 256 << 20;

export class StreamIn {
  private readonly begun: Begin;
  private through = 0;
  /** Message number of each piece that was handed on and may not be applied yet. */
  private pieceNumbers: number[] = [];
  private piecesForgotten = 0;
  private consumer: ((log: Uint8Array) => void) | undefined;
  private buffer: { readonly number: number; readonly bytes: Uint8Array }[] = [];
  private bufferBytes = 0;
  private appliedTold = 0;
  private lastMark: MarkKind | undefined;

  constructor(begin: Begin) {
    this.begun = begin;
  }

  get session(): number {
    return this.begun.session;
  }

  get generation(): number {
    return this.begun.generation;
  }

  get stream(): number {
    return this.begun.stream;
  }

  /** The newest mark that has arrived, with all log before it. */
  get mark(): MarkKind | undefined {
    return this.lastMark;
  }

  get isAttached(): boolean {
    return this.consumer !== undefined;
  }

  /** Kept until handOn(). False: there is no room left to keep it. */
  log(bytes: Uint8Array): boolean {
    this.through++;
    this.bufferBytes += bytes.length;
    this.buffer.push({ number: this.through, bytes });
    return this.bufferBytes <= BUFFER_BYTES_MAX;
  }

  /** True: the mark is for this session of this board. As a message it counts in any case. */
  marked({ mark, boot, session, generation }: Mark): boolean {
    this.through++;
    const { begun } = this;
    const isMine =
      boot === begun.boot && session === begun.session && generation === begun.generation;
    if (isMine) this.lastMark = mark;
    return isMine;
  }

  /** A message that is nothing to the machine; its number. */
  counted(): number {
    return ++this.through;
  }

  /** There is a machine now: it gets what is kept, and what follows with each handOn(). */
  attach(consumer: (log: Uint8Array) => void): void {
    this.consumer = consumer;
    this.handOn();
  }

  /** Called after the acknowledgement is sent: that must not wait for the vCPU thread to wake. */
  handOn(): void {
    const { consumer, buffer } = this;
    if (consumer === undefined || buffer.length === 0) return;
    this.buffer = [];
    this.bufferBytes = 0;
    for (const { number, bytes } of buffer) {
      this.pieceNumbers.push(number);
      consumer(bytes);
    }
  }

  /** `pieces`: how many of the handed-on pieces the machine has behind it. */
  ack(pieces: number, position: bigint, virtualNs: bigint): Ack {
    const { stream, generation, session } = this.begun;
    const applied = this.appliedThrough(pieces);
    this.appliedTold = applied;
    const { through } = this;
    return { type: 'ack', stream, generation, session, through, applied, position, virtualNs };
  }

  /** Whether an acknowledgement would say more than the last one did about what is applied. */
  hasNews(pieces: number): boolean {
    return this.appliedThrough(pieces) > this.appliedTold;
  }

  /** Whether everything that came is applied. */
  isCaughtUp(pieces: number): boolean {
    if (!this.isAttached || this.buffer.length > 0) return false;
    return pieces - this.piecesForgotten >= this.pieceNumbers.length;
  }

  /** Number of the last message that the machine has behind it. */
  appliedThrough(pieces: number): number {
    const done = pieces - this.piecesForgotten;
    if (!this.isAttached) return 0;
    // A machine applies pieces, not marks: a mark behind the last piece is done when that piece is.
    if (done >= this.pieceNumbers.length) {
      this.forget(this.pieceNumbers.length);
      const kept = this.buffer[0];
      return kept === undefined ? this.through : kept.number - 1;
    }
    const next = this.pieceNumbers[done] as number;
    if (done >= 1024) this.forget(done);
    return next - 1;
  }

  private forget(count: number): void {
    this.pieceNumbers = this.pieceNumbers.slice(count);
    this.piecesForgotten += count;
  }
}
