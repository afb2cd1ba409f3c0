// Where a vCPU thread stands, in words of memory its owner reads without asking: a health check or an
// acknowledgement must not wait for a slice. Each word is exact by itself; together they may be one
// slice apart.

/** What the thread does just now. */
export const DOING = ['starts', 'runs', 'idles', 'paused', 'waits', 'disk', 'diverged'] as const;
/**
 * runs: executing. idles: the guest sleeps. paused: until resume(). waits: followed all it was given.
 * disk: waits for a completion of the local replica. diverged: parked until stop().
 */
export type Doing = (typeof DOING)[number];

export interface VcpuFacts {
  readonly position: bigint;
  readonly virtualNs: bigint;
  /** Following: applied since it began to follow. Leading: written to the present log. */
  readonly entriesApplied: number;
  /** Following: how many of the push()ed pieces are applied to their last entry. Leading: 0. */
  readonly piecesApplied: number;
  /** Its position need not move. */
  readonly isIdle: boolean;
  readonly doing: Doing;
  /** From 1; grows with every restart of the guest, alike on both boards. */
  readonly life: number;
  /** Leading: how far the guest's clock is from its line; positive: ahead. */
  readonly clockErrorNs: bigint;
  /** The furthest it has been from it since this thread began. */
  readonly clockWorstNs: bigint;
}

const WORD = {
  ...{ position: 0, virtualNs: 1, entries: 2, doing: 3, life: 4, pieces: 5 },
  ...{ clockError: 6, clockWorst: 7 },
} as const;
const WORDS = 8;

export class FactWords {
  readonly shared: SharedArrayBuffer;
  private readonly words: BigInt64Array;

  constructor(shared = new SharedArrayBuffer(8 * WORDS)) {
    this.shared = shared;
    this.words = new BigInt64Array(shared);
  }

  read(): VcpuFacts {
    const at = (word: number) => Atomics.load(this.words, word);
    const doing = DOING[Number(at(WORD.doing))]!;
    return {
      position: at(WORD.position),
      virtualNs: at(WORD.virtualNs),
      entriesApplied: Number(at(WORD.entries)),
      piecesApplied: Number(at(WORD.pieces)),
      isIdle: doing !== 'runs',
      doing,
      life: Number(at(WORD.life)),
      clockErrorNs: at(WORD.clockError),
      clockWorstNs: at(WORD.clockWorst),
    };
  }

  position(position: bigint, virtualNs: bigint, entries: number, pieces: number): void {
    Atomics.store(this.words, WORD.position, position);
    Atomics.store(this.words, WORD.virtualNs, virtualNs);
    Atomics.store(this.words, WORD.entries, BigInt(entries));
    Atomics.store(this.words, WORD.pieces, BigInt(pieces));
  }

  clock({ now, worst }: { readonly now: bigint; readonly worst: bigint }): void {
    Atomics.store(this.words, WORD.clockError, now);
    const before = Atomics.load(this.words, WORD.clockWorst);
    if (size(worst) > size(before)) Atomics.store(this.words, WORD.clockWorst, worst);
  }

  doing(doing: Doing): void {
    Atomics.store(this.words, WORD.doing, BigInt(DOING.indexOf(doing)));
  }

  life(life: number): void {
    Atomics.store(this.words, WORD.life, BigInt(life));
  }
}

const size = (value: bigint): bigint => (value < 0n ? -value : value);
