// Which of all starts are tried with real processes: every pair of values of two factors at least once,
// chosen greedily from a seed, so that the same seed gives the same starts on every machine.
//
// A folder that is full or refused hides what the other factors would do, so pairs count only among starts
// with a good one; each of those folders meets every value of every other factor in starts of its own.
import type { SeededRandom } from '../harness/index.ts';
import {
  FACTOR_NAMES,
  FACTORS,
  type Factor,
  type Start,
  startWith,
  type Value,
  WELL,
} from './factors.ts';

type Part = Partial<Record<Factor, string>>;

const FREE = FACTOR_NAMES.filter((factor) => factor !== 'folder');
/** More tries make fewer starts, slowly. */
const TRIES = 60;

/** One start for each value that is not the good one, all else being well. */
export function singles(): Start[] {
  return FACTOR_NAMES.flatMap((factor) =>
    FACTORS[factor]
      .filter((value) => value !== WELL[factor])
      .map((value) => startWith({ [factor]: value } as Partial<Start>)),
  );
}

/** Starts with this folder that have every value of every other factor. */
export function eachValueWith(folder: Value<'folder'>, random: SeededRandom): Start[] {
  const rows = Math.max(...FREE.map((factor) => FACTORS[factor].length));
  const columns = FREE.map((factor) => shuffled(FACTORS[factor], random));
  return Array.from({ length: rows }, (_, row) => {
    const part = FREE.map((factor, i) => [factor, columns[i]![row % columns[i]!.length]]);
    return startWith({ ...(Object.fromEntries(part) as Partial<Start>), folder });
  });
}

/** Every pair of values of two factors that `starts` does not have yet, in as few more starts as it finds. */
export function pairwise(starts: readonly Start[], random: SeededRandom): Start[] {
  const open = allPairs();
  for (const start of starts)
    if (start.folder === 'well') for (const pair of pairsOf(start)) open.delete(pair);
  const more: Start[] = [];
  while (open.size > 0) {
    const tries = Array.from({ length: TRIES }, () => candidate(open, random));
    const gains = tries.map((start) => pairsOf(start).filter((pair) => open.has(pair)).length);
    const best = tries[gains.indexOf(Math.max(...gains))] as Start;
    more.push(best);
    for (const pair of pairsOf(best)) open.delete(pair);
  }
  return more;
}

export function pairsOf(start: Part): string[] {
  return FREE.flatMap((one, i) =>
    FREE.slice(i + 1).flatMap((other) =>
      start[one] === undefined || start[other] === undefined
        ? []
        : [pairName(one, start[one], other, start[other])],
    ),
  );
}

export function allPairs(): Set<string> {
  const pairs = FREE.flatMap((one, i) =>
    FREE.slice(i + 1).flatMap((other) =>
      FACTORS[one].flatMap((a) => FACTORS[other].map((b) => pairName(one, a, other, b))),
    ),
  );
  return new Set(pairs);
}

const pairName = (one: Factor, a: string, other: Factor, b: string) => `${one} ${a}, ${other} ${b}`;

/** Begins with a pair that is still open; each further factor takes the value that closes most. */
function candidate(open: ReadonlySet<string>, random: SeededRandom): Start {
  const first = random.pick([...open]);
  const part: Part = {};
  for (const factor of shuffled(FREE, random)) {
    const given = FACTORS[factor].find((value) => first.split(', ').includes(`${factor} ${value}`));
    const values = given === undefined ? shuffled(FACTORS[factor], random) : [given];
    const gains = values.map(
      (value) => pairsOf({ ...part, [factor]: value }).filter((pair) => open.has(pair)).length,
    );
    part[factor] = values[gains.indexOf(Math.max(...gains))] as string;
  }
  return startWith(part as Partial<Start>);
}

function shuffled<T>(from: readonly T[], random: SeededRandom): T[] {
  const left = [...from];
  return from.map(() => left.splice(random.int(left.length), 1)[0] as T);
}
