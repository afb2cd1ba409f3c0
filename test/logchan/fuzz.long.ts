// Millions of random and mutated inputs through every parser.
import { seededRandom, suite } from '../harness/index.ts';
import { fuzzParsers } from './fuzz.ts';

const test = suite('logchan/fuzz long');

test('parsers, five million inputs', () => void fuzzParsers(seededRandom('parsers'), 5_000_000), {
  timeoutMs: 1_800_000,
});

test.run();
