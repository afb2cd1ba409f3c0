// The host CPU as oracle: random instructions on random state, natively and in the engine.
import { needs, runSeed, suite } from '../harness/index.ts';
import { FAMILIES, oracleProgram, runOracle, TRANSLATED } from './oracle.ts';

const test = suite('softcpu/oracle');
test.needs(needs.command('g++'));
// A dozen files in one call of the compiler: a minute alone under the sanitizers, many on a busy host.
test('the oracle compiles', () => void oracleProgram(), { timeoutMs: 900_000 });

const CASES = process.env.TWINSTEP_ADDON === 'Debug' ? 10_000 : 150_000;
for (const family of FAMILIES) {
  test(`${family}, ${CASES} cases`, () => void runOracle(family, runSeed(), CASES), {
    timeoutMs: 60_000,
  });
}

for (const family of TRANSLATED) {
  test(
    `${family}, translated, ${CASES / 5} cases`,
    () => void runOracle(family, runSeed(), CASES / 5, '--translate'),
    { timeoutMs: 120_000 },
  );
}

test.run();
