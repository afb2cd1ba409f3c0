// One direction of a link that goes wrong on purpose, for simulation and for tests over real ports.
// Every fault is named in `Faults`; what happens follows from the seed alone.

/** A source of seeded randomness; the test harness has one. */
export interface FaultRandom {
  int(lessThan: number): number;
  chance(probability: number): boolean;
}

export interface Faults {
  lossChance: number;
  duplicateChance: number;
  /** One bit somewhere in the frame turns over. */
  flipChance: number;
  /** The frame arrives cut at a random length. */
  cutShortChance: number;
  /** Each frame takes this long plus a random part; the random part reorders. */
  delayUs: number;
  jitterUs: number;
  /** Now and then nothing arrives for a while, then everything does (a busy host, a pause frame). */
  stallChance: number;
  stallUs: number;
  /** Larger frames vanish without a word, as in a switch. */
  frameBytesMax: number;
  /** Nothing passes. */
  cut: boolean;
  /** Speed of the wire, and what queues in front of it before frames are lost. */
  bytesPerUs: number;
  queueBytesMax: number;
}

export const NO_FAULTS: Faults = {
  lossChance: 0,
  duplicateChance: 0,
  flipChance: 0,
  cutShortChance: 0,
  delayUs: 50,
  jitterUs: 0,
  stallChance: 0,
  stallUs: 0,
  frameBytesMax: Number.POSITIVE_INFINITY,
  cut: false,
  bytesPerUs: Number.POSITIVE_INFINITY,
  queueBytesMax: Number.POSITIVE_INFINITY,
};

interface Flying {
  atUs: number;
  order: number;
  bytes: Uint8Array;
}

export class FaultyLine {
  faults: Faults;
  sent = 0;
  private readonly random: FaultRandom;
  private readonly flying: Flying[] = [];
  private stalledUntilUs = Number.NEGATIVE_INFINITY;
  private busyUntilUs = Number.NEGATIVE_INFINITY;
  private order = 0;

  constructor(random: FaultRandom, faults: Faults = NO_FAULTS) {
    this.random = random;
    this.faults = faults;
  }

  /** Takes a copy of the frame into the line, or loses it. */
  send(frame: Uint8Array, nowUs: number): void {
    const { faults, random } = this;
    this.sent++;
    if (random.chance(faults.stallChance)) this.stalledUntilUs = nowUs + faults.stallUs;
    if (faults.cut || frame.length > faults.frameBytesMax || random.chance(faults.lossChance)) {
      return;
    }
    const leftUs = this.leaveUs(frame.length, nowUs);
    if (leftUs === undefined) return;
    for (let copies = random.chance(faults.duplicateChance) ? 2 : 1; copies > 0; copies--) {
      const jitterUs = faults.jitterUs > 0 ? random.int(faults.jitterUs + 1) : 0;
      const atUs = Math.max(leftUs + faults.delayUs + jitterUs, this.stalledUntilUs);
      this.insert({ atUs, order: this.order++, bytes: this.damaged(frame.slice()) });
    }
  }

  /** When the last byte is on the wire; undefined when the queue in front of it is full. */
  private leaveUs(bytes: number, nowUs: number): number | undefined {
    const { bytesPerUs, queueBytesMax } = this.faults;
    if (bytesPerUs === Number.POSITIVE_INFINITY) return nowUs;
    const waitUs = Math.max(0, this.busyUntilUs - nowUs);
    if (waitUs * bytesPerUs > queueBytesMax) return undefined;
    this.busyUntilUs = nowUs + waitUs + bytes / bytesPerUs;
    return this.busyUntilUs;
  }

  private damaged(frame: Uint8Array): Uint8Array {
    const { faults, random } = this;
    if (random.chance(faults.flipChance)) {
      const bit = random.int(frame.length * 8);
      frame[bit >> 3] = (frame[bit >> 3] as number) ^ (1 << (bit & 7));
    }
    return random.chance(faults.cutShortChance) ? frame.slice(0, random.int(frame.length)) : frame;
  }

  private insert(message: Flying): void {
    let at = this.flying.length;
    while (at > 0 && isLater(this.flying[at - 1] as Flying, message)) at--;
    this.flying.splice(at, 0, message);
  }

  /** When the next frame arrives. */
  arrivalUs(): number {
    return this.flying[0]?.atUs ?? Number.POSITIVE_INFINITY;
  }

  /** The next frame that has arrived by now. */
  receive(nowUs: number): Uint8Array | undefined {
    if (this.arrivalUs() > nowUs) return undefined;
    return this.flying.shift()?.bytes;
  }
}

function isLater(a: Flying, b: Flying): boolean {
  return a.atUs > b.atUs || (a.atUs === b.atUs && a.order > b.order);
}
