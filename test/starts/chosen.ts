// The starts that are tried with real processes, always the same ones: all well, each single thing wrong,
// every pair of things, and each folder that hides the rest with each of the others.
import { type SeededRandom, seededRandom } from '../harness/index.ts';
import { eachValueWith, pairwise, singles } from './cover.ts';
import { FACTORS, type Start, startWith, WELL } from './factors.ts';

/** Of the choice, which the table in docs/starts.md is of: not of the run. */
export const SEED = 1;

/** The one board that comes back after a blackout, by what its disk says. */
const STORIES: readonly Partial<Start>[] = [
  { peer: 'without power', log: 'no carrier' },
  { peer: 'without power', log: 'no carrier', record: 'shared' },
  { peer: 'without power', log: 'no carrier', record: 'behind', side: 'b' },
];

export interface Chosen {
  readonly single: readonly Start[];
  /** What must be among them, whatever is chosen. */
  readonly story: readonly Start[];
  readonly pairs: readonly Start[];
  readonly folders: readonly Start[];
}

export function chosen(): Chosen {
  const random: SeededRandom = seededRandom('starts', SEED);
  const single = [WELL, ...singles()];
  const story = STORIES.map((some) => startWith(some));
  const pairs = pairwise([...single, ...story], random);
  const hiding = FACTORS.folder.filter((folder) => folder !== 'well');
  return {
    single,
    story,
    pairs,
    folders: hiding.flatMap((folder) => eachValueWith(folder, random)),
  };
}

export function chosenStarts(): Start[] {
  const { single, story, pairs, folders } = chosen();
  return [...single, ...story, ...pairs, ...folders];
}
