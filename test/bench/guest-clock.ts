// The guest's CLOCK_MONOTONIC as a client on the plant LAN sees it: real minus guest's time lies between what it
// was when a question left and when its answer came. The quickest answers narrow it down.
import { createSocket, type Socket } from 'node:dgram';
import { GUEST_IP } from '../twin/network.ts';

const PORT = 7;
const BYTES = 32;
const ASK_MS = 10;

export interface ClockSample {
  /** By the client's clock. */
  readonly atMs: number;
  /** Real minus guest's time, from and to. */
  readonly fromMs: number;
  readonly toMs: number;
}

export class GuestClockClient {
  readonly samples: ClockSample[] = [];
  /** How far the guest's clock ever went back between two answers to questions asked one after the other. */
  backMs = 0;
  private readonly socket: Socket = createSocket('udp4');
  private readonly timer: NodeJS.Timeout;
  private asked = new Map<bigint, bigint>();
  private number = 0n;
  private last = { number: 0n, ns: 0n };

  constructor() {
    this.socket.on('message', (bytes) => this.heard(bytes));
    this.socket.on('error', () => {});
    this.timer = setInterval(() => this.ask(), ASK_MS);
  }

  close(): void {
    clearInterval(this.timer);
    this.socket.close();
  }

  /** The narrowest that these samples allow if the clock keeps its line through them. */
  static met(samples: readonly ClockSample[]): { readonly fromMs: number; readonly toMs: number } {
    const best = [...samples].sort((a, b) => a.toMs - a.fromMs - (b.toMs - b.fromMs)).at(0);
    if (best === undefined) throw new Error('the guest told no time');
    return best;
  }

  between(fromMs: number, toMs: number): ClockSample[] {
    return this.samples.filter(({ atMs }) => atMs >= fromMs && atMs < toMs);
  }

  private ask(): void {
    const bytes = Buffer.alloc(BYTES);
    bytes.write('clock?');
    bytes.writeBigUInt64LE(++this.number, 16);
    this.asked.set(this.number, process.hrtime.bigint());
    this.asked.delete(this.number - 1_000n);
    this.socket.send(bytes, PORT, GUEST_IP);
  }

  private heard(bytes: Buffer): void {
    const nowNs = process.hrtime.bigint();
    const [ns, number] = [bytes.readBigUInt64LE(8), bytes.readBigUInt64LE(16)];
    const askedNs = this.asked.get(number);
    // The last output may come twice after a takeover.
    if (askedNs === undefined) return;
    this.asked.delete(number);
    if (number > this.last.number) {
      this.backMs = Math.max(this.backMs, Number(this.last.ns - ns) / 1e6);
      this.last = { number, ns };
    }
    this.samples.push({
      atMs: Number(nowNs) / 1e6,
      fromMs: Number(askedNs - ns) / 1e6,
      toMs: Number(nowNs - ns) / 1e6,
    });
  }
}
