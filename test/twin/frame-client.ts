// The client of the small bundled guest (test/guests/metal/plc.c), which knows no TCP: it answers each frame
// with a running number. One question at a time, asked again when no answer comes. The number tells
// everything: none may be missing, and one that comes again (after a takeover it may) must be the same to
// the last byte.
import { PacketRing } from '../../native/index.ts';
import type { ClientWord, WindowFacts } from './client.ts';
import { Gap } from './gap.ts';
import { GUEST_MAC, PLANT_INTERFACE } from './network.ts';

const ETHERTYPE = 0x88b6;
const QUESTION_BYTES = 200;
/** In the payload, behind the Ethernet header. */
const NUMBER_AT = 30;
export const AGAIN_MS = 20;
const KEPT = 4096;

export interface NumberFault {
  readonly fault: 'number' | 'repeat';
  readonly words: string;
}

/** The numbers that came, held against what they must be. */
export class Numbers {
  last = 0n;
  private readonly known = new Map<bigint, string>();

  take(payload: Uint8Array): NumberFault | undefined {
    const bytes = Buffer.from(payload);
    const number = bytes.readBigUInt64LE(NUMBER_AT);
    const before = this.known.get(number);
    if (before !== undefined) {
      if (before === bytes.toString('latin1')) return undefined;
      return { fault: 'repeat', words: `answer ${number} came again with other bytes` };
    }
    this.known.set(number, bytes.toString('latin1'));
    this.known.delete(number - BigInt(KEPT));
    const due = this.last + 1n;
    if (number > this.last) this.last = number;
    if (number === due || due === 1n) return undefined;
    return { fault: 'number', words: `${due} was due, ${number} came` };
  }
}

export class FrameClient {
  private readonly intervalMs: number;
  private readonly againMs: number;
  private readonly tell: (word: ClientWord) => void;
  private readonly numbers = new Numbers();
  private readonly gap = new Gap();
  private readonly ring: PacketRing;
  private readonly shared: ReturnType<PacketRing['start']>;
  private timer: NodeJS.Timeout | undefined;
  private isUp = false;
  /** When the open question was first asked, and when last. */
  private open: { sinceMs: number; againMs: number } | undefined;
  private answersSince = 0;
  private latencies: number[] = [];

  constructor(intervalMs: number, againMs: number, tell: (word: ClientWord) => void) {
    this.intervalMs = intervalMs;
    this.againMs = againMs;
    this.tell = tell;
    this.ring = new PacketRing({
      ...{ interface: PLANT_INTERFACE, ethertype: ETHERTYPE, payloadBytesMax: 1500 },
      ...{ receiveSlots: 256, sendSlots: 1 },
    });
    this.shared = this.ring.start({
      frames: (count) => this.frames(count),
      writable: () => {},
      link: () => {},
    });
    this.ring.setDestination(Uint8Array.from(GUEST_MAC.split(':'), (byte) => Number(`0x${byte}`)));
  }

  connect(): void {
    this.timer ??= setInterval(() => this.ask(), this.intervalMs);
  }

  get answered(): number {
    return Number(this.numbers.last);
  }

  window(): WindowFacts {
    const facts: WindowFacts = {
      longestGapMs: this.gap.take(performance.now()),
      ...{ udpGapMs: null, udpLost: 0, udpLatenciesMs: [], intervalMs: this.intervalMs },
      ...{ latenciesMs: this.latencies, lines: this.answersSince, answered: this.answered },
      ...{ answeredBytes: this.answered * QUESTION_BYTES, journal: 0 },
      outstanding: this.open === undefined ? 0 : 1,
    };
    [this.latencies, this.answersSince] = [[], 0];
    return facts;
  }

  private ask(): void {
    const nowMs = performance.now();
    if (this.open === undefined) this.gap.idle(nowMs);
    else if (nowMs - this.open.againMs < this.againMs) return;
    this.open = { sinceMs: this.open?.sinceMs ?? nowMs, againMs: nowMs };
    this.shared.lengths[0] = QUESTION_BYTES;
    this.ring.send(0, 1);
  }

  private frames(count: number): void {
    const { ring, frames } = this.shared;
    for (let i = 0; i < count; i++) {
      const at = frames[2 * i] as number;
      const payload = new Uint8Array(ring, at, frames[2 * i + 1] as number);
      if (payload.length >= NUMBER_AT + 8) this.take(payload);
    }
  }

  private take(payload: Uint8Array): void {
    const before = this.numbers.last;
    const fault = this.numbers.take(payload);
    if (fault !== undefined) this.tell({ say: 'fault', ...fault });
    if (this.numbers.last === before) return;
    const nowMs = performance.now();
    if (!this.isUp) this.tell({ say: 'connected' });
    this.isUp = true;
    this.answersSince++;
    this.gap.answer(nowMs);
    this.latencies.push(nowMs - (this.open?.sinceMs ?? nowMs));
    this.open = undefined;
  }
}
