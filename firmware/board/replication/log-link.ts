// The log channel as replication uses it: messages in order on the log lane, with an overflow of its own
// for the moments when the channel is full; pieces of sync-up on the bulk lane, with room awaited.
//
// In the turn in which frames arrive, every log message is handed on before `turn()` is told: that is
// where acknowledgements are made. Bulk is taken only while somebody wants it, so a slow disk here
// holds the sender there back.
import type { Channel, ChannelHandler } from '../../../logchan/channel.ts';
import type { ChannelEvent } from '../../../logchan/endpoint.ts';
import { MESSAGE_BYTES_MAX } from '../../../logchan/limits.ts';
import type { MessageSource } from '../../../logchan/receiver.ts';
import { LANE } from '../../../logchan/sections.ts';
import { BULK_TYPE, type BulkMessage, decodeBulkMessage } from './bulk-messages.ts';
import type { MessageProblem } from './fields.ts';
import { decodeLogMessage, type LogMessage } from './messages.ts';

export type ChannelFactory = (handler: ChannelHandler) => Channel;

export interface LogLinkHandler {
  log(message: LogMessage): void;
  /** The bytes of pages are good until this returns. */
  bulk(message: BulkMessage): void;
  /** All log messages that are here have been handed on. */
  turn(): void;
  up(): void;
  /** What the peer had sent whole has been handed on; what was on its way to it is gone. */
  down(): void;
  /** No carrier: no need to wait for silence. */
  cut(): void;
  channel(event: ChannelEvent): void;
}

/** Beyond this the peer is not taking the log; who waits for it must be told. */
export const OVERFLOW_BYTES_MAX = 64 << 20;
/** Bulk work in one turn of the event loop: the arbiter ticks on it every 5 ms. */
const TURN_MS_MAX = 2;

/** Sync-up was stopped while it waited for something. */
export class Stopped extends Error {}

/** What a long piece of work looks at now and then. */
export interface StopSignal {
  readonly isStopped: boolean;
}

export class LogLink {
  readonly channel: Channel;
  readonly refused: Record<MessageProblem, number> = {
    empty: 0,
    type: 0,
    cut: 0,
    long: 0,
    value: 0,
  };
  /** Bytes sent on the log lane since the start, for the rate. */
  logBytes = 0;
  /** The same of the bulk lane. */
  bulkBytes = 0;
  private readonly handler: LogLinkHandler;
  private overflow: Uint8Array[] = [];
  private overflowBytes = 0;
  private bulkIsWanted = true;
  private bulkTurn: NodeJS.Immediate | undefined;
  private roomWaiters: (() => void)[] = [];
  private turnStartMs = 0;
  /** Gigabytes of pages are no gigabytes of garbage. */
  private readonly taken = new Uint8Array(MESSAGE_BYTES_MAX);

  constructor(makeChannel: ChannelFactory, handler: LogLinkHandler) {
    this.handler = handler;
    this.channel = makeChannel({
      acked: () => this.flushOverflow(),
      bulkAcked: () => this.tellRoom(),
      readable: () => this.readable(),
      event: (event) => this.event(event),
    });
  }

  get isUp(): boolean {
    return this.channel.isUp;
  }

  // ---- log lane -----------------------------------------------------------------------------

  /** In order with all others; false: it will never arrive. */
  send(message: Uint8Array, urgent: boolean): boolean {
    const { channel } = this;
    if (!channel.isUp) return false;
    if (this.overflow.length === 0 && channel.fits(message.length)) {
      this.logBytes += message.length;
      channel.append(message, { urgent });
      return true;
    }
    if (this.overflowBytes + message.length > OVERFLOW_BYTES_MAX) return false;
    this.overflow.push(message);
    this.overflowBytes += message.length;
    return true;
  }

  /** Only if it leaves at once: a statement that waits is worth nothing. */
  sendNow(message: Uint8Array): boolean {
    if (this.overflow.length > 0 || !this.channel.fits(message.length)) return false;
    this.channel.appendPassing(message);
    return true;
  }

  private flushOverflow(): void {
    let sent = 0;
    for (; sent < this.overflow.length; sent++) {
      const message = this.overflow[sent]!;
      if (!this.channel.fits(message.length)) break;
      this.logBytes += message.length;
      this.overflowBytes -= message.length;
      this.channel.append(message, { urgent: true });
    }
    if (sent > 0) this.overflow = this.overflow.slice(sent);
  }

  // ---- bulk lane ----------------------------------------------------------------------------

  /** Resolves when the piece is on its way; rejects with Stopped. A copy is made of the bytes. */
  async sendBulk(message: Uint8Array, signal: StopSignal): Promise<void> {
    await this.breathe();
    while (!signal.isStopped && this.channel.isUp) {
      if (this.channel.fits(message.length, LANE.bulk)) {
        this.bulkBytes += message.length;
        this.channel.appendBulk(message);
        return;
      }
      await new Promise<void>((resolve) => this.roomWaiters.push(resolve));
      this.turnStartMs = performance.now();
    }
    throw new Stopped('the link is gone or nobody wants it');
  }

  /** Lets the event loop turn when this turn has taken long enough. */
  async breathe(): Promise<void> {
    if (performance.now() - this.turnStartMs < TURN_MS_MAX) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.turnStartMs = performance.now();
  }

  /** Whoever waits looks again whether it was stopped. */
  wakeSenders(): void {
    this.tellRoom();
  }

  /** Whether pieces of the peer's are handed on; those that are not stay with the channel. */
  wantBulk(wanted: boolean): void {
    if (wanted === this.bulkIsWanted) return;
    this.bulkIsWanted = wanted;
    if (wanted) this.takeBulkSoon();
  }

  private takeBulkSoon(): void {
    this.bulkTurn ??= setImmediate(() => {
      this.bulkTurn = undefined;
      this.takeBulk();
    });
  }

  private tellRoom(): void {
    for (const resolve of this.roomWaiters.splice(0)) resolve();
  }

  // ---- what comes ---------------------------------------------------------------------------

  private readable(): void {
    this.takeLog({ take: () => this.channel.take(LANE.log) });
    this.takeBulk();
  }

  private takeLog(source: MessageSource): void {
    let any = false;
    for (let bytes = source.take(); bytes !== undefined; bytes = source.take()) {
      any = true;
      const decoded = decodeLogMessage(bytes);
      if (decoded.ok) this.handler.log(decoded.message);
      else this.refused[decoded.reason]++;
    }
    if (any) this.handler.turn();
  }

  private takeBulk(): void {
    const startMs = performance.now();
    while (this.bulkIsWanted) {
      if (performance.now() - startMs > TURN_MS_MAX) {
        this.takeBulkSoon();
        return;
      }
      const taken = this.channel.take(LANE.bulk, this.taken);
      if (taken === undefined) return;
      const decoded = decodeBulkMessage(taken[0] === BULK_TYPE.pages ? taken : taken.slice());
      if (decoded.ok) this.handler.bulk(decoded.message);
      else this.refused[decoded.reason]++;
    }
  }

  private event(event: ChannelEvent): void {
    this.handler.channel(event);
    if (event.type === 'up') this.handler.up();
    if (event.type === 'link' && !event.up) this.handler.cut();
    if (event.type !== 'down') return;
    this.overflow = [];
    this.overflowBytes = 0;
    // A backup that takes over needs all of it.
    this.takeLog(event.log);
    this.handler.down();
    this.tellRoom();
  }
}
