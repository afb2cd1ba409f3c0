// What a board may find when it is started, factor by factor: the first value of each is the good one.
// A start is one value of every factor. Of the other board only what the issue of its presence is: what
// it finds itself is well, but for the wires both share.
import type { Standing } from '../../watchdog/arbiter-types.ts';

export const FACTORS = {
  /** The board under test. */
  side: ['a', 'b'],
  log: ['carrier', 'no carrier'],
  front: ['carrier', 'no carrier'],
  serial: ['talks', 'silent', 'missing'],
  gateway: ['answers', 'silent'],
  peer: ['starts too', 'leads', 'without power', 'hangs'],
  tap: ['there', 'missing'],
  disk: ['there', 'missing'],
  watchdog: ['there', 'missing', 'held'],
  record: ['sole', 'shared', 'behind', 'new', 'damaged'],
  folder: ['well', 'full', 'read-only', 'in use'],
} as const;

export type Factor = keyof typeof FACTORS;
export type Value<F extends Factor> = (typeof FACTORS)[F][number];
export type Start = { readonly [F in Factor]: Value<F> };

export const FACTOR_NAMES = Object.keys(FACTORS) as readonly Factor[];

export const WELL: Start = Object.fromEntries(
  FACTOR_NAMES.map((factor) => [factor, FACTORS[factor][0]]),
) as Start;

export const startWith = (some: Partial<Start>): Start => ({ ...WELL, ...some });

/** The reign both records tell of. */
export const GENERATION = 4;

/** What the other board's disk says, so that the two together know who leads. */
export const PEER_RECORD: Readonly<Record<Value<'record'>, Standing>> = {
  sole: 'behind',
  shared: 'behind',
  behind: 'shared',
  new: 'sole',
  damaged: 'sole',
};

/** The peer has no say in the start of a board that does not even own its folder. */
export function refusesFolder({ folder }: Start): boolean {
  return folder === 'read-only' || folder === 'in use';
}

export function fullProduct(): Start[] {
  return FACTOR_NAMES.reduce<Partial<Start>[]>(
    (starts, factor) =>
      starts.flatMap((start) => FACTORS[factor].map((value) => ({ ...start, [factor]: value }))),
    [{}],
  ) as Start[];
}

/** For people: what differs from a start where all is well. */
export function wordsOf(start: Start): string {
  const differs = FACTOR_NAMES.filter((factor) => start[factor] !== WELL[factor]);
  return differs.map((factor) => `${factor} ${start[factor]}`).join(', ') || 'all well';
}
