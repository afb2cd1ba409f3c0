// The timed pair over thousands of seeds. TWINSTEP_PAIRS sets how many (default 5000).
import { assert, seededRandom, suite } from '../harness/index.ts';
import { TimedPair } from './arbiter/timed.ts';
import { TIMED_FAULTS } from './arbiter/timed-faults.ts';

const test = suite('sim/arbiter-timed-long');

test(
  'random faults, at most two at once',
  () => {
    const runs = Number(process.env.TWINSTEP_PAIRS ?? '5000');
    let steps = 0;
    for (let run = 0; run < runs; run++) {
      const random = seededRandom(`pair ${run}`);
      const overFront = run % 2 === 1;
      const options = { random, faults: 12, atOnce: 2, kinds: TIMED_FAULTS, overFront, log: null };
      const result = new TimedPair(options).run();
      assert.is(result.violation, null, `pair ${run}`);
      assert.ok(result.redundantAtEnd, `pair ${run}: redundant when all is repaired`);
      steps += result.steps;
    }
    console.log(`${runs} pairs, ${steps} steps`);
  },
  { timeoutMs: 3_600_000 },
);

test.run();
