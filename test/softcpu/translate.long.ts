// Translator and interpreter side by side over millions of random programs and hostile guests. Under the
// sanitizers: `npm run build:asan && npm run test:long -- --asan softcpu/translate`.
import { needs, runSeed, suite } from '../harness/index.ts';
import { nativeProgram, runProgram } from './native.ts';

const test = suite('softcpu/translate, long');
test.needs(needs.command('g++'));

const sanitized = process.env.TWINSTEP_ADDON === 'Debug';
const PROGRAMS = sanitized ? 300_000 : 5_000_000;
const GUESTS = sanitized ? 10_000 : 100_000;

test(
  `${PROGRAMS} random programs`,
  () =>
    void runProgram(
      nativeProgram('translate-test', /^translate-test\.cc$/),
      String(runSeed()),
      String(PROGRAMS),
    ),
  { timeoutMs: 120 * 60_000 },
);

test(
  `${GUESTS} hostile guests`,
  () =>
    void runProgram(nativeProgram('sys-fuzz', /^sys-fuzz\.cc$/), String(runSeed()), String(GUESTS)),
  { timeoutMs: 120 * 60_000 },
);

test.run();
