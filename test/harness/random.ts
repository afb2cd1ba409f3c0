// Seeded randomness for tests: the same seed gives the same numbers on every machine. The seed is
// 1 unless `npm test -- --seed N` (or TWINSTEP_SEED) says otherwise; the runner prints it.
// Generator: sfc32 (C. Doty-Humphrey, PractRand), 128 bits of state, passes BigCrush.

export interface SeededRandom {
  readonly seed: number;
  u32(): number;
  /** Uniform whole number in [0, lessThan). */
  int(lessThan: number): number;
  /** Uniform in [0, 1). */
  float(): number;
  chance(probability: number): boolean;
  bytes(count: number): Uint8Array;
  bigint(bits: number): bigint;
  pick<T>(from: readonly T[]): T;
}

export function runSeed(): number {
  const given = Number(process.env.TWINSTEP_SEED ?? '1');
  if (!Number.isSafeInteger(given) || given < 0) throw new Error('TWINSTEP_SEED: a number >= 0');
  return given;
}

/** A generator of its own for each call; `label` separates the streams of one test. */
export function seededRandom(label = '', seed = runSeed()): SeededRandom {
  let [a, b, c, d] = [hash(`${label}:a`), seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0, 1];
  const u32 = () => {
    const t = (a + b + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + t;
    return t >>> 0;
  };
  for (let i = 0; i < 15; i++) u32();
  const float = () => (u32() * 2 ** 21 + (u32() >>> 11)) / 2 ** 53;
  const int = (lessThan: number) => Math.floor(float() * lessThan);
  return {
    seed,
    u32,
    int,
    float,
    chance: (probability) => float() < probability,
    bytes: (count) => Uint8Array.from({ length: count }, () => u32() & 0xff),
    bigint: (bits) => {
      let value = 0n;
      for (let have = 0; have < bits; have += 32) value = (value << 32n) | BigInt(u32());
      return BigInt.asUintN(bits, value);
    },
    pick: (from) => {
      const chosen = from[int(from.length)];
      if (chosen === undefined) throw new Error('pick: from an empty list');
      return chosen;
    },
  };
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const char of text) value = Math.imul(value ^ char.charCodeAt(0), 0x01000193);
  return value >>> 0;
}
