// A few thousand random schedules of the log channel; logchan.long.ts runs a million.
import { assert, runSeed, suite } from '../harness/index.ts';
import { schedule } from './logchan-schedules.ts';

const test = suite('sim/logchan');
const SCHEDULES = 2500;

test(
  `${SCHEDULES} schedules: what arrives is what was sent, and it arrives`,
  () => {
    let messages = 0;
    for (let i = 0; i < SCHEDULES; i++) {
      const world = schedule(runSeed() * 1_000_000 + i);
      for (const streams of world.streams) {
        for (const [log, bulk] of streams.values()) messages += log.taken + bulk.taken;
      }
    }
    assert.ok(messages > 20 * SCHEDULES, `only ${messages} messages in ${SCHEDULES} schedules`);
  },
  { timeoutMs: 120_000 },
);

test.run();
