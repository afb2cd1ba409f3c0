// How many combinations there are, and which of them are alike for whoever decides: a TAP that is missing
// and a disk that is missing make the same board unfit, and so on.
import { fullProduct, refusesFolder, type Start } from './factors.ts';

const all = fullProduct();
const started = all.filter((start) => !refusesFolder(start));
const deciding = started.filter(
  ({ serial, watchdog, disk }) => serial !== 'missing' && watchdog !== 'held' && disk === 'there',
);

export const told: {
  readonly whole: number;
  /** End at once with one line. */
  readonly refused: number;
  readonly deciding: readonly Start[];
  /** Like one of `deciding` for everything that decides. */
  readonly alike: number;
} = {
  whole: all.length,
  refused: all.length - started.length,
  deciding,
  alike: started.length - deciding.length,
};
