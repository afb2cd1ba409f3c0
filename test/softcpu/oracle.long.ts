// Tens of millions of cases in all; `--seed random` makes each run another one.
import { needs, runSeed, suite } from '../harness/index.ts';
import { FAMILIES, oracleProgram, runOracle, TRANSLATED } from './oracle.ts';

const test = suite('softcpu/oracle, long');
test.needs(needs.command('g++'));

// A dozen files in one call of the compiler: a minute alone under the sanitizers, many on a busy host.
test('the oracle compiles', () => void oracleProgram(), { timeoutMs: 900_000 });

const CASES = 3_000_000;
for (const family of FAMILIES) {
  test(`${family}, ${CASES} cases`, () => void runOracle(family, runSeed(), CASES), {
    timeoutMs: 30 * 60_000,
  });
}

for (const family of TRANSLATED) {
  test(
    `${family}, translated, ${CASES} cases`,
    () => void runOracle(family, runSeed(), CASES, '--translate'),
    { timeoutMs: 60 * 60_000 },
  );
}

test.run();
