// The clock of the plant controller (test/guests/metal/plc.c) as somebody on the wire sees it: real minus guest's
// time lies between what it was when a question left and when its answer came. The quickest of many answers narrows it
// down; a busy host only widens it.
import { assert } from '../harness/index.ts';

export const GUEST_MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
const CLIENT_MAC = Uint8Array.of(2, 0, 0, 0, 0, 9);
const AT = { number: 44, clock: 60 } as const;

/** With room for the guest's clock in the answer. */
export function question(payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(68 + payload.length);
  frame.set(GUEST_MAC, 0);
  frame.set(CLIENT_MAC, 6);
  frame.set([0x88, 0xb6], 12);
  frame.set(payload, 68);
  return frame;
}

/** Real minus guest's time, from and to, in milliseconds. */
export interface Offset {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Asks the guest one question; its answer, or undefined when it did not come. */
export type Ask = () => Promise<Uint8Array | undefined>;

export class GuestLine {
  private readonly ask: Ask;
  private lastNs = 0n;
  private lastNumber = 0n;

  constructor(ask: Ask) {
    this.ask = ask;
  }

  /** One question, asked again until it is answered. */
  private async sample(): Promise<Offset> {
    for (;;) {
      const askedNs = process.hrtime.bigint();
      const answer = await this.ask();
      if (answer === undefined) continue;
      const heardNs = process.hrtime.bigint();
      const read = (at: number) => Buffer.from(answer).readBigUInt64LE(at);
      const [number, clockNs] = [read(AT.number), read(AT.clock)];
      // The last output may come twice after a takeover.
      if (number > this.lastNumber) {
        assert.ok(
          clockNs >= this.lastNs,
          `the guest's clock went back by ${this.lastNs - clockNs}`,
        );
        [this.lastNumber, this.lastNs] = [number, clockNs];
      }
      return { fromMs: Number(askedNs - clockNs) / 1e6, toMs: Number(heardNs - clockNs) / 1e6 };
    }
  }

  /** The narrowest of some. */
  async look(count = 10): Promise<Offset> {
    let best = await this.sample();
    for (let left = count - 1; left > 0; left--) {
      const one = await this.sample();
      if (one.toMs - one.fromMs < best.toMs - best.fromMs) best = one;
    }
    return best;
  }

  /** Asks on and on for so long. */
  async talk(forMs: number): Promise<void> {
    const endMs = performance.now() + forMs;
    while (performance.now() < endMs) {
      await this.sample();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /**
   * Five seconds after something the clock is on its line again. On a host that is busy with other things a guest
   * may just then be late for a moment: it is looked at until it is on its line, which one that lost it never is.
   */
  async isBackOn(start: Offset, what: string): Promise<void> {
    const atOnce = await this.look();
    await this.talk(AFTER_MS);
    let now = await this.look();
    const endMs = performance.now() + PATIENCE_MS;
    while (apartMs(start, now) > OFF_MAX_MS && performance.now() < endMs) now = await this.look();
    const said = `${what}: ${off(start, atOnce)} at once, ${off(start, now)} then`;
    console.log(said);
    assert.ok(apartMs(start, now) <= OFF_MAX_MS, said);
  }
}

const AFTER_MS = 5_000;
const OFF_MAX_MS = 10;
const PATIENCE_MS = 20_000;

/** How far apart two offsets are at least. */
export function apartMs(a: Offset, b: Offset): number {
  return Math.max(0, a.fromMs - b.toMs, b.fromMs - a.toMs);
}

function off(start: Offset, now: Offset): string {
  const middle = ({ fromMs, toMs }: Offset) => (fromMs + toMs) / 2;
  const error = (now.toMs - now.fromMs + start.toMs - start.fromMs) / 2;
  return `${(middle(start) - middle(now)).toFixed(1)} ms off (+- ${error.toFixed(1)})`;
}
