// Millions of random and mutated inputs through every parser and the native cipher; also in the sanitizer
// build: `npm run test:asan -- --suffix .long.js logchan/fuzz`. Ten minutes on one quiet core.
import { seededRandom, suite } from '../harness/index.ts';
import { fuzzCipher, fuzzEndpoints, fuzzEntries, fuzzParsers } from './fuzz.ts';

const test = suite('logchan/fuzz long');
const TIMEOUT = { timeoutMs: 3_600_000 };

function counted(name: string, run: () => Map<string, number> | object): void {
  test(
    name,
    () => {
      const verdicts = run();
      const told = verdicts instanceof Map ? Object.fromEntries(verdicts) : verdicts;
      console.log(`${name}: ${JSON.stringify(told)}`);
    },
    TIMEOUT,
  );
}

counted('the native cipher, a million frames', () => fuzzCipher(seededRandom('cipher'), 1_000_000));
counted('frame parsers, five million inputs', () =>
  fuzzParsers(seededRandom('parsers'), 5_000_000),
);
counted('entry decoder, five million inputs', () =>
  fuzzEntries(seededRandom('entries'), 5_000_000),
);
counted('endpoints, five thousand lives', () => {
  const random = seededRandom('endpoints');
  let broken = 0;
  for (let run = 0; run < 5_000; run++) broken += fuzzEndpoints(random, 150);
  return { broken };
});

test.run();
