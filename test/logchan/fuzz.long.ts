// Millions of random and mutated inputs through every parser.
import { seededRandom, suite } from '../harness/index.ts';
import { fuzzEndpoints, fuzzParsers } from './fuzz.ts';

const test = suite('logchan/fuzz long');

test('parsers, five million inputs', () => void fuzzParsers(seededRandom('parsers'), 5_000_000), {
  timeoutMs: 1_800_000,
});

test(
  'endpoints, twenty thousand lives',
  () => {
    const random = seededRandom('endpoints');
    for (let run = 0; run < 20_000; run++) fuzzEndpoints(random, 150);
  },
  { timeoutMs: 3_600_000 },
);

test.run();
