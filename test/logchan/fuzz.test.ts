// Fuzzing in small; fuzz.long.ts does the same for millions of inputs.
import { assert, seededRandom, suite } from '../harness/index.ts';
import { fuzzEndpoints, fuzzParsers } from './fuzz.ts';

const test = suite('logchan/fuzz');

test(
  'parsers take any bytes and never look beyond them',
  () => {
    const verdicts = fuzzParsers(seededRandom('parsers'), 40_000);
    for (const reason of ['short', 'magic', 'version', 'kind', 'cluster', 'key', 'hello']) {
      assert.ok((verdicts.get(reason) ?? 0) > 0, `${reason} was never reached`);
    }
    for (const reason of ['section', 'cut', 'twice', 'range', 'ok']) {
      assert.ok((verdicts.get(reason) ?? 0) > 0, `${reason} was never reached`);
    }
  },
  { timeoutMs: 60_000 },
);

test('endpoints survive a peer that is itself broken', () => {
  const random = seededRandom('endpoints');
  let broken = 0;
  for (let run = 0; run < 30; run++) broken += fuzzEndpoints(random, 150);
  assert.ok(broken > 10, `only ${broken} sessions broke: the mutations do not reach far`);
});

test.run();
