// Many seeds of the timed pair. One that fails is told by its number:
// TWINSTEP_PAIR=n npm test -- arbiter-timed  plays it alone and prints its log.
import { assert, runSeed, seededRandom, suite } from '../harness/index.ts';
import { TIMED_FAULTS, type TimedFault, TimedPair } from './arbiter/timed.ts';

const test = suite('sim/arbiter-timed');
const RUNS = Number(process.env.TWINSTEP_PAIRS ?? '100');
const only = process.env.TWINSTEP_PAIR;

test(
  `random faults, at most two at once, with drift, jitter and stalls`,
  () => {
    let steps = 0;
    const runs = only === undefined ? Array.from({ length: RUNS }, (_, n) => n) : [Number(only)];
    for (const run of runs) {
      const random = seededRandom(`pair ${run}`);
      const log = only === undefined ? null : (line: string) => console.log(line);
      const result = new TimedPair({
        random,
        faults: 8,
        atOnce: 2,
        kinds: TIMED_FAULTS,
        log,
      }).run();
      const name = `seed ${runSeed()}, pair ${run}`;
      assert.is(result.violation, null, name);
      assert.ok(result.redundantAtEnd, `${name}: redundant when all is repaired`);
      steps += result.steps;
    }
    console.log(
      `${runs.length} pairs, ${steps} steps: never two gates, never stale, always healed`,
    );
  },
  { timeoutMs: 120_000 },
);

test(
  'takeover after one crash: told by the supervisor, and found by silence',
  () => {
    for (const [kind, withinMs] of [
      ['gasp', 60],
      ['crash', 160],
    ] as [TimedFault, number][]) {
      const all: number[] = [];
      for (let run = 0; all.length < 40; run++) {
        const random = seededRandom(`crash ${run}`);
        const pair = new TimedPair({ random, faults: 1, atOnce: 1, kinds: [kind], log: null });
        all.push(...pair.run().takeoversMs);
      }
      all.sort((one, two) => one - two);
      const at = (share: number) => all[Math.floor((all.length - 1) * share)] as number;
      console.log(
        `${kind}: ${all.length} takeovers, crash to open gate p50 ${at(0.5).toFixed(1)} ms, ` +
          `p99 ${at(0.99).toFixed(1)} ms`,
      );
      assert.ok(at(0.99) <= withinMs);
    }
  },
  { timeoutMs: 120_000 },
);

test.run();
