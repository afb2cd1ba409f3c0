// A million random schedules of the log channel. `npm run test:long -- sim/logchan --seed N`.
import { runSeed, suite } from '../harness/index.ts';
import { schedule } from './logchan-schedules.ts';

const test = suite('sim/logchan long');
const SCHEDULES = 1_000_000;
const PART = 50_000;

// In parts, so that a report shows how far it came.
for (let from = 0; from < SCHEDULES; from += PART) {
  test(
    `schedules ${from} to ${from + PART - 1}`,
    () => {
      for (let i = from; i < from + PART; i++) schedule((runSeed() + 1) * 10_000_000 + i);
    },
    { timeoutMs: 3_600_000 },
  );
}

test.run();
