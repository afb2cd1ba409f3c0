// The measurement behind `twinstep link`: both boards run it, on a channel like any other. They draw
// lots; the one with the higher number measures while the other takes, then they change over.
//
//   lots -> [measures round trips, then throughput] -> turn -> [the other measures] -> done
import { randomBytes } from 'node:crypto';
import { Channel, type ChannelState } from '../../logchan/channel.ts';
import type { ChannelEvent, EndReason } from '../../logchan/endpoint.ts';
import type { Port } from '../../logchan/port.ts';
import { LANES } from '../../logchan/sections.ts';

export interface LinkMeasurement {
  roundTripUs: { p50: number; p99: number };
  mibPerSecond: number;
  frameBytes: number;
  /** Share of the bytes sent that had to be sent again. */
  repeatedShare: number;
  state: ChannelState;
}

export interface LinkMeasureOptions {
  port: Port;
  pairingKey: Uint8Array;
  cluster: string;
  roundTrips: number;
  throughputMs: number;
  /** Every event of the channel, for people. */
  onEvent(event: ChannelEvent): void;
}

const GONE_WORDS: Record<EndReason, string> = {
  'peer-restarted': 'it started anew; start both again',
  'peer-left': 'somebody stopped it over there',
  unconfirmed: 'it did not stay for the measurement',
  protocol: 'it does not keep to the format; install the same firmware on both',
  closed: 'stopped here',
};

const ENTRY = { lot: 1, ping: 2, turn: 3, done: 4 } as const;
const LOT_BYTES = 8;
const PING_BYTES = 100;
const CHUNK_BYTES = 32_000;
/** The path's size is found out in this time; measuring waits for it. */
const SETTLE_MS = 300;
/** A technician may wiggle a plug this long; then the measurement is over. */
const GIVE_UP_MS = 5_000;

export class LinkMeasure {
  private readonly options: LinkMeasureOptions;
  private readonly channel: Channel;
  private readonly lot = randomBytes(LOT_BYTES);
  private readonly done: Promise<LinkMeasurement>;
  private finish: (result: LinkMeasurement | Error) => void = () => {};
  private result: LinkMeasurement | undefined;
  private peerDone = false;
  private onAcked: ((through: number) => void) | undefined;
  private onBulkAcked: ((through: number) => void) | undefined;
  private giveUp: NodeJS.Timeout | undefined;

  constructor(options: LinkMeasureOptions) {
    this.options = options;
    const { port, pairingKey, cluster } = options;
    this.done = new Promise((resolve, reject) => {
      this.finish = (result) => (result instanceof Error ? reject(result) : resolve(result));
    });
    this.channel = new Channel({
      paths: [{ port }],
      pairingKey,
      cluster,
      handler: {
        acked: (through) => this.onAcked?.(through),
        bulkAcked: (through) => this.onBulkAcked?.(through),
        readable: () => this.takeAll(),
        event: (event) => this.event(event),
      },
    });
  }

  start(): void {
    this.channel.start();
  }

  get isUp(): boolean {
    return this.channel.isUp;
  }

  state(): ChannelState {
    return this.channel.state();
  }

  /** What this board measured, once both have; fails when the peer goes away before. */
  measurement(): Promise<LinkMeasurement> {
    return this.done;
  }

  stop(): void {
    clearTimeout(this.giveUp);
    this.channel.stop();
  }

  private event(event: ChannelEvent): void {
    this.options.onEvent(event);
    if (event.type === 'up') {
      setTimeout(() => this.say(ENTRY.lot, this.lot), SETTLE_MS);
    } else if (event.type === 'silent') {
      this.giveUp = setTimeout(() => this.finish(new Error(this.silentWords())), GIVE_UP_MS);
    } else if (event.type === 'heard') {
      clearTimeout(this.giveUp);
    } else if (event.type === 'down') {
      clearTimeout(this.giveUp);
      // The other board may be done a moment before us and leave: that is no failure.
      if (this.result !== undefined && this.peerDone) this.finish(this.result);
      else if (event.why !== 'closed')
        this.finish(new Error(`the peer went away: ${GONE_WORDS[event.why]}`));
    }
  }

  private silentWords(): string {
    const why = this.channel.state().linkUp
      ? 'its board hangs or has no power, or a switch between us does not pass on'
      : 'the cable is pulled or the other board is off';
    return `the peer has been silent for ${GIVE_UP_MS / 1000} s: ${why}`;
  }

  private say(kind: number, bytes: Uint8Array = new Uint8Array(0)): void {
    if (!this.channel.isUp) return;
    this.channel.append(Buffer.concat([Buffer.from([kind]), bytes]), { urgent: true });
  }

  private takeAll(): void {
    for (const lane of LANES) {
      for (let entry = this.channel.take(lane); entry; entry = this.channel.take(lane)) {
        if (lane === LANES[0]) this.heard(entry[0] ?? 0, entry.subarray(1));
      }
    }
  }

  private heard(kind: number, bytes: Uint8Array): void {
    if (kind === ENTRY.lot && Buffer.compare(this.lot, bytes) > 0) void this.measure();
    else if (kind === ENTRY.turn) void this.measure();
    else if (kind === ENTRY.done) this.peerDone = true;
    if (kind === ENTRY.turn) this.peerDone = true;
    if (kind === ENTRY.done && this.result !== undefined) this.leave(this.result);
  }

  private async measure(): Promise<void> {
    const roundTripUs = await this.roundTrips();
    const mibPerSecond = await this.throughput();
    const state = this.channel.state();
    const sent = state.framesSent * state.frameBytes;
    this.result = {
      roundTripUs,
      mibPerSecond,
      frameBytes: state.frameBytes,
      repeatedShare: sent === 0 ? 0 : state.repeatedBytes / sent,
      state,
    };
    this.say(this.peerDone ? ENTRY.done : ENTRY.turn);
    // Whoever measured last is done when the other knows.
    if (this.peerDone) this.leave(this.result);
  }

  private leave(result: LinkMeasurement): void {
    const last = this.channel.ackedThrough;
    this.onAcked = (through) => {
      if (through > last) this.finish(result);
    };
    setTimeout(() => this.finish(result), SETTLE_MS);
  }

  private roundTrips(): Promise<{ p50: number; p99: number }> {
    const { roundTrips } = this.options;
    const took: number[] = [];
    const ping = new Uint8Array(PING_BYTES);
    let startMs = 0;
    const next = () => {
      startMs = performance.now();
      this.say(ENTRY.ping, ping);
    };
    return new Promise((resolve) => {
      this.onAcked = () => {
        took.push((performance.now() - startMs) * 1000);
        if (took.length < roundTrips) setImmediate(next);
        else {
          took.sort((a, b) => a - b);
          const at = (share: number) => took[Math.floor((took.length - 1) * share)] ?? 0;
          resolve({ p50: at(0.5), p99: at(0.99) });
        }
      };
      next();
    });
  }

  private throughput(): Promise<number> {
    const chunk = randomBytes(CHUNK_BYTES);
    const startMs = performance.now();
    return new Promise((resolve) => {
      const fill = () => {
        while (this.channel.fits(CHUNK_BYTES, LANES[1])) this.channel.appendBulk(chunk);
      };
      this.onBulkAcked = (through) => {
        const tookMs = performance.now() - startMs;
        if (tookMs < this.options.throughputMs) fill();
        else {
          this.onBulkAcked = undefined;
          resolve((through * CHUNK_BYTES) / 2 ** 20 / (tookMs / 1000));
        }
      };
      fill();
    });
  }
}
