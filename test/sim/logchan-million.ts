// A million random schedules of the log channel, in two halves that run beside each other: a process
// each (logchan-even.long.ts, logchan-odd.long.ts). `npm run test:long -- sim/logchan --seed N`.
import { runSeed, type Suite } from '../harness/index.ts';
import { schedule } from './logchan-schedules.ts';

const SCHEDULES = 1_000_000;
const HALVES = 2;
const PART = 100_000;
/** Two quiet cores of 2.4 GHz need a quarter of an hour for all of it; a busy machine several times that. */
const PART_TIMEOUT_MS = 3_600_000;

/** In parts, so that a report shows how far it came. */
export function million(test: Suite, half: number): void {
  for (let from = 0; from < SCHEDULES; from += PART) {
    test(
      `schedules ${from} to ${from + PART - 1}, every second`,
      () => {
        const startMs = performance.now();
        let messages = 0;
        for (let i = from + half; i < from + PART; i += HALVES) {
          const world = schedule((runSeed() + 1) * 10_000_000 + i);
          for (const streams of world.streams) {
            for (const [log, bulk] of streams.values()) messages += log.taken + bulk.taken;
          }
        }
        const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
        console.log(`${PART / HALVES} schedules, ${messages} messages delivered in ${seconds} s`);
      },
      { timeoutMs: PART_TIMEOUT_MS },
    );
  }
}
