// Fuzzing in small; fuzz.long.ts does the same for millions of inputs.
import { assert, seededRandom, suite } from '../harness/index.ts';
import { fuzzCipher, fuzzEndpoints, fuzzEntries, fuzzParsers } from './fuzz.ts';

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

test('the entry decoder takes any bytes, says why, and keeps its context', () => {
  const verdicts = fuzzEntries(seededRandom('entries'), 20_000);
  for (const reason of ['ok', 'cut', 'kind', 'aux', 'range']) {
    assert.ok((verdicts.get(reason) ?? 0) > 0, `${reason} was never reached`);
  }
});

test('the native cipher agrees with the plain one on any bytes', () => {
  const { opened, refused } = fuzzCipher(seededRandom('cipher'), 3_000);
  assert.ok(opened > 500 && refused > 500, `${opened} opened, ${refused} refused`);
});

test('endpoints survive a peer that is itself broken', () => {
  const random = seededRandom('endpoints');
  let broken = 0;
  for (let run = 0; run < 30; run++) broken += fuzzEndpoints(random, 150);
  assert.ok(broken > 10, `only ${broken} sessions broke: the mutations do not reach far`);
});

test.run();
