// The starts that are tried with real processes, always the same ones: all well, each single thing wrong,
// every pair of things, and each folder that hides the rest with each of the others.
import { type SeededRandom, seededRandom } from '../harness/index.ts';
import { eachValueWith, pairwise, singles } from './cover.ts';
import { FACTORS, type Start, WELL } from './factors.ts';

/** Of the choice, which the table in docs/starts.md is of: not of the run. */
export const SEED = 1;

export interface Chosen {
  readonly single: readonly Start[];
  readonly pairs: readonly Start[];
  readonly folders: readonly Start[];
}

export function chosen(): Chosen {
  const random: SeededRandom = seededRandom('starts', SEED);
  const single = [WELL, ...singles()];
  const pairs = pairwise(single, random);
  const hiding = FACTORS.folder.filter((folder) => folder !== 'well');
  return { single, pairs, folders: hiding.flatMap((folder) => eachValueWith(folder, random)) };
}

export function chosenStarts(): Start[] {
  const { single, pairs, folders } = chosen();
  return [...single, ...pairs, ...folders];
}
