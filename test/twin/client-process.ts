// The plant's client, a process of its own so that nothing else in a test delays it: one TCP
// connection on which it sends numbered lines and checks every answer, and beside it, if wanted,
// UDP datagrams that are echoed. Told what to do over the IPC channel (client.ts).
import { createSocket } from 'node:dgram';
import { connect, type Socket } from 'node:net';
import { watchdog as native } from '../../native/index.ts';
import type { ClientOrder, ClientWord, WindowFacts } from './client.ts';
import { Answers, lineOf } from './client-lines.ts';
import { AGAIN_MS, FrameClient } from './frame-client.ts';
import { Gap } from './gap.ts';
import { GUEST_IP } from './network.ts';

const PORT = 7;
const OUTSTANDING_MAX = 64;
const RETRY_MS = 100;
/** A connection to nobody is given up and tried again. */
const CONNECT_MS = 2_000;
/** As the serial wire's (wires/serial.c). */
const PRIORITY = 20;

let isPaused = false;
const tell = (word: ClientWord) => void process.send?.(word);

class Client {
  private readonly intervalMs: number;
  private answers = new Answers();
  private sentMs: number[] = [];
  private sent = 0;
  private rest = '';
  private socket: Socket | undefined;
  private isUp = false;
  private readonly gap = new Gap();
  private latencies: number[] = [];
  private since = { lines: 0, bytes: 0 };

  constructor(intervalMs: number) {
    this.intervalMs = intervalMs;
    setInterval(() => this.tick(), intervalMs);
  }

  connect(): void {
    this.socket?.destroy();
    // Whatever ends the old one from here on is no news; the new one is tried until it stands.
    this.isUp = false;
    this.answers = new Answers();
    [this.sentMs, this.sent, this.rest] = [[], 0, ''];
    this.since = { lines: 0, bytes: 0 };
    const socket = connect({ port: PORT, host: GUEST_IP, noDelay: true });
    this.socket = socket;
    const late = setTimeout(() => socket.destroy(new Error('nobody answers')), CONNECT_MS);
    socket.once('connect', () => {
      clearTimeout(late);
      this.isUp = true;
      this.gap.idle(performance.now());
      tell({ say: 'connected' });
    });
    socket.on('data', (bytes) => this.hear(bytes.toString('latin1')));
    socket.on('error', (error) => this.lost(socket, error.message));
    socket.on('close', () => this.lost(socket, 'closed by the guest'));
  }

  private lost(socket: Socket, why: string): void {
    if (socket !== this.socket) return;
    this.socket = undefined;
    if (!this.isUp) {
      setTimeout(() => this.connect(), RETRY_MS);
      return;
    }
    this.isUp = false;
    tell({ say: 'broken', why, lines: this.answers.answered });
  }

  private tick(): void {
    const now = performance.now();
    if (!this.isUp) return;
    if (this.sentMs.length === 0) this.gap.idle(now);
    if (isPaused) return;
    if (this.sentMs.length >= OUTSTANDING_MAX) return;
    this.sent += 1;
    this.sentMs.push(now);
    this.socket?.write(lineOf(this.sent));
  }

  private hear(text: string): void {
    const now = performance.now();
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop() ?? '';
    for (const line of lines) {
      const verdict = this.answers.take(line);
      if (!verdict.ok) tell({ say: 'fault', fault: verdict.fault, words: verdict.words });
      this.latencies.push(now - (this.sentMs.shift() ?? now));
    }
    if (lines.length > 0) this.gap.answer(now);
  }

  get answered(): number {
    return this.answers.answered;
  }

  /** What happened since the last call. */
  window(): WindowFacts {
    const now = performance.now();
    const { answered, answeredBytes, journal } = this.answers;
    if (this.sentMs.length === 0) this.gap.idle(now);
    const facts: WindowFacts = {
      longestGapMs: this.gap.take(now),
      udpGapMs: null,
      udpLost: 0,
      udpLatenciesMs: [],
      intervalMs: this.intervalMs,
      latenciesMs: this.latencies,
      lines: answered - this.since.lines,
      answered,
      answeredBytes,
      outstanding: this.sentMs.length,
      journal,
    };
    this.latencies = [];
    this.since = { lines: answered, bytes: answeredBytes };
    return facts;
  }
}

/** Datagrams that come back: what the plant network sees, without TCP's repeats in between. */
class UdpProbe {
  private readonly socket = createSocket('udp4');
  private readonly gap = new Gap();
  private readonly sentMs = new Map<number, number>();
  private latencies: number[] = [];
  private next = 0;

  constructor(intervalMs: number) {
    this.socket.on('message', (bytes) => this.hear(bytes.readUInt32LE(0)));
    this.socket.on('error', () => {});
    this.socket.bind(0, () => setInterval(() => this.send(), intervalMs));
  }

  private send(): void {
    if (isPaused) {
      this.gap.idle(performance.now());
      return;
    }
    const bytes = Buffer.alloc(32);
    bytes.writeUInt32LE(++this.next);
    this.sentMs.set(this.next, performance.now());
    this.socket.send(bytes, PORT, GUEST_IP, () => {});
  }

  private hear(n: number): void {
    const now = performance.now();
    const sent = this.sentMs.get(n);
    if (sent === undefined) return;
    this.sentMs.delete(n);
    this.latencies.push(now - sent);
    this.gap.answer(now);
  }

  window() {
    const now = performance.now();
    const lost = [...this.sentMs].filter(([, sent]) => now - sent > 1000);
    for (const [n] of lost) this.sentMs.delete(n);
    const facts = {
      udpGapMs: this.gap.take(now),
      udpLost: lost.length,
      udpLatenciesMs: this.latencies,
    };
    this.latencies = [];
    return facts;
  }
}

/** Other machines of a plant share no processor with the boards: like the wires, the client goes before them, if it may. */
function goesFirst(): void {
  try {
    native.goFirst(0, PRIORITY);
  } catch {
    // What it measures is then the boards' and its own waiting for a processor.
  }
}

goesFirst();
const [, , kind = 'lines', lineMs = '5', udpMs = '0', againMs = AGAIN_MS] = process.argv;
const client =
  kind === 'lines'
    ? new Client(Number(lineMs))
    : new FrameClient(Number(lineMs), Number(againMs), tell);
const udp = kind === 'lines' && Number(udpMs) > 0 ? new UdpProbe(Number(udpMs)) : undefined;
process.on('message', (order: ClientOrder) => {
  if (order.do === 'connect') client.connect();
  else if (order.do === 'pause' || order.do === 'resume') isPaused = order.do === 'pause';
  else if (order.do === 'glance') tell({ say: 'glance', answered: client.answered });
  else tell({ say: 'window', facts: { ...client.window(), ...udp?.window() } });
});
process.on('disconnect', () => process.exit(0));
