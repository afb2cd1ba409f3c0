// The log on its way to one follower. It counts the messages the follower must hold before an output
// may leave (its cover), and which of them the follower has behind it.
//
//     off ──keep()──▶ keeping ──begin()──▶ flowing ──▶ broken      stop(): off, from everywhere
//      └──────────────begin()───────────────▲
//
// Keeping: a board that just went live does not know its follower yet, but its log begins now.
// Broken: a message could not be sent; the follower has a gap and can never acknowledge what is behind.
import { UNCOVERED } from '../../lockstep/gate.ts';
import { LogLag } from '../../lockstep/log-lag.ts';
import type { Look } from './disk-check.ts';
import { type Ack, encodeLogMessage, type MarkKind } from './messages.ts';

export interface Follower {
  readonly boot: number;
  readonly session: number;
}

export const KEPT_BYTES_MAX = 64 << 20;

export class StreamOut {
  private readonly send: (message: Uint8Array, urgent: boolean) => boolean;
  private readonly nowMs: () => number;
  private current: 'off' | 'keeping' | 'flowing' | 'broken' = 'off';
  private kept: Uint8Array[] = [];
  private keptBytes = 0;
  private count = 0;
  private number = 0;
  private who: (Follower & { readonly generation: number }) | undefined;
  private lag = new LogLag();
  private lastAck: Ack | undefined;
  private releasedTold = 0n;

  constructor(send: (message: Uint8Array, urgent: boolean) => boolean, nowMs: () => number) {
    this.send = send;
    this.nowMs = nowMs;
  }

  get state(): 'off' | 'keeping' | 'flowing' | 'broken' {
    return this.current;
  }

  get follower(): Follower | undefined {
    return this.who;
  }

  /** Of the stream that flows or was the last to flow. */
  get streamNumber(): number {
    return this.number;
  }

  /** What an output made now has to wait for. */
  get cover(): number {
    return this.current === 'keeping' || this.current === 'flowing' ? this.count : UNCOVERED;
  }

  /** Age of the oldest log that the follower has not applied. */
  get lagMs(): number {
    return this.current === 'flowing' ? this.lag.lagMs(this.nowMs()) : 0;
  }

  /** Whether the follower's machine has begun to move along. */
  get isApplied(): boolean {
    return (this.lastAck?.applied ?? 0) > 0;
  }

  keep(): void {
    this.stop();
    this.current = 'keeping';
  }

  /** Names the follower. What was kept goes first. */
  begin(follower: Follower, generation: number, position: bigint): void {
    if (this.current !== 'keeping') this.stop();
    this.number++;
    this.who = { ...follower, generation };
    const { boot, session } = follower;
    const begin = {
      type: 'begin',
      stream: this.number,
      generation,
      boot,
      session,
      position,
    } as const;
    this.current = 'flowing';
    this.put(encodeLogMessage(begin));
    const { kept } = this;
    this.kept = [];
    this.keptBytes = 0;
    for (const message of kept) this.put(message);
  }

  /** The next piece of the log. */
  append(bytes: Uint8Array): void {
    if (this.current === 'off' || this.current === 'broken') return;
    this.counted(encodeLogMessage({ type: 'log', bytes }));
  }

  mark(mark: MarkKind, { boot, session }: Follower, generation: number): void {
    if (this.current !== 'flowing') return;
    this.counted(encodeLogMessage({ type: 'mark', mark, generation, boot, session }));
  }

  /** Where in the log a base began. */
  baseHere(base: number): void {
    const { who } = this;
    if (this.current !== 'flowing' || who === undefined) return;
    const { session } = who;
    this.counted(encodeLogMessage({ type: 'base', step: 'here', session, base }));
  }

  /** From where on the follower is to survey a disk. */
  look(look: Look): void {
    const { who } = this;
    if (this.current !== 'flowing' || who === undefined) return;
    this.counted(encodeLogMessage({ type: 'look', session: who.session, ...look }));
  }

  private counted(message: Uint8Array): void {
    this.count++;
    this.lag.sent(this.nowMs());
    if (this.current === 'flowing') this.put(message);
    else this.keepMessage(message);
  }

  private keepMessage(message: Uint8Array): void {
    this.keptBytes += message.length;
    if (this.keptBytes > KEPT_BYTES_MAX) this.break();
    else this.kept.push(message);
  }

  private put(message: Uint8Array): void {
    if (this.current === 'flowing' && !this.send(message, true)) this.break();
  }

  /** Everything up to this output has left. Nobody waits for this word. */
  released(sequence: bigint): void {
    if (this.current !== 'flowing' || sequence <= this.releasedTold) return;
    this.releasedTold = sequence;
    this.send(encodeLogMessage({ type: 'released', sequence }), false);
  }

  /** Whether it is of this stream; if so its progress is taken in. */
  acked(ack: Ack): boolean {
    const { who } = this;
    if (this.current !== 'flowing' || who === undefined) return false;
    const isOurs =
      ack.stream === this.number &&
      ack.generation === who.generation &&
      ack.session === who.session &&
      ack.through <= this.count;
    if (!isOurs) return false;
    this.lastAck = ack;
    this.lag.applied(ack.applied);
    return true;
  }

  /** The newest acknowledgement of this stream, also one that came before it could count. */
  get newestAck(): Ack | undefined {
    return this.lastAck;
  }

  break(): void {
    if (this.current === 'off') return;
    this.current = 'broken';
    this.kept = [];
    this.keptBytes = 0;
  }

  stop(): void {
    this.current = 'off';
    this.kept = [];
    this.keptBytes = 0;
    this.count = 0;
    this.who = undefined;
    this.lag = new LogLag();
    this.lastAck = undefined;
    this.releasedTold = 0n;
  }
}
