// The engine's own C++ tests: core (positions, exits, translations), system part, hostile guests.
import { needs, runSeed, suite } from '../harness/index.ts';
import { nativeProgram, runProgram } from './native.ts';

const test = suite('softcpu/native');
test.needs(needs.command('g++'));
const compiling = { timeoutMs: 180_000 };

test(
  'core tests, whole and in slices',
  () => void runProgram(nativeProgram('core-test', /^core-.*\.cc$/)),
  compiling,
);

test(
  'system tests, whole and in slices',
  () => void runProgram(nativeProgram('sys-test', /^sys-test.*\.cc$/)),
  compiling,
);

for (const [name, sources] of [
  ['core-test', /^core-.*\.cc$/],
  ['sys-test', /^sys-test.*\.cc$/],
] as const) {
  test(
    `${name}, translated from the first instruction on`,
    () => void runProgram(nativeProgram(name, sources), '--translate'),
    compiling,
  );
}

test(
  'random guests: a whole run against one cut and restored',
  () =>
    void runProgram(
      nativeProgram('sys-fuzz', /^sys-fuzz\.cc$/),
      String(runSeed()),
      process.env.TWINSTEP_ADDON === 'Debug' ? '60' : '300',
    ),
  compiling,
);

test.run();
