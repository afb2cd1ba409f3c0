// Many seeds of the timed pair. One that fails is told by its number:
// TWINSTEP_PAIR=n npm test -- arbiter-timed  plays it alone and prints its log.

import { DEFAULT_LIMITS } from '../../watchdog/limits.ts';
import { assert, runSeed, seededRandom, suite } from '../harness/index.ts';
import { TimedPair } from './arbiter/timed.ts';
import { TIMED_FAULTS, type TimedFault } from './arbiter/timed-faults.ts';
import { NAME, other, type Side } from './arbiter/world-types.ts';

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
        overFront: run % 2 === 1,
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
  { timeoutMs: 300_000 },
);

const restless = (name: string) =>
  new TimedPair({ random: seededRandom(name), faults: 0, atOnce: 0, kinds: [], log: null });
/** No stall but those that a test makes. */
const calm = (name: string, overFront: boolean) =>
  new TimedPair({
    random: seededRandom(name),
    ...{ faults: 0, atOnce: 0, kinds: [], log: null },
    ...{ isCalm: true, overFront },
  });
const SEEDS = 10;
const DEATHS = 60;

test(
  'a primary that limps hands over once, and does not get the guest back while it rests',
  () => {
    for (let seed = 0; seed < SEEDS; seed++) {
      const pair = restless(`limp ${seed}`);
      pair.form();
      const limping = pair.boards[0].arbiter.role === 'protected' ? 0 : 1;
      pair.faults.limp(limping, 60, 20, 10_000);
      pair.until(pair.nowMs + 4_000);
      const name = `seed ${runSeed()}, limp ${seed}`;
      assert.is(pair.handOvers, 1, `${name}: within seconds`);
      // The other one begins to limp as well, as soon as the guest is there: the same heat.
      pair.faults.limp(limping === 0 ? 1 : 0, 60, 20, 4_000);
      pair.until(pair.nowMs + 5_000);
      assert.is(pair.handOvers, 1, `${name}: no to and fro`);
      assert.is(pair.violation, null, name);
      assert.ok(pair.servesWithin(3_000), name);
    }
  },
  { timeoutMs: 120_000 },
);

test(
  'a board that cannot stay in step is tried again with growing pauses',
  () => {
    const all: number[] = [];
    for (let seed = 0; seed < SEEDS; seed++) {
      const pair = restless(`limping target ${seed}`);
      pair.form();
      const before = pair.syncUps;
      const follower = pair.boards[0].arbiter.role === 'protected' ? 1 : 0;
      pair.faults.limp(follower, 200, 50, 10_000);
      pair.until(pair.nowMs + 10_000);
      all.push(pair.syncUps - before);
      assert.is(pair.violation, null, `seed ${runSeed()}, limping target ${seed}`);
      pair.until(pair.nowMs + 6_000);
      const roles = pair.boards.map(({ arbiter }) => arbiter.role).sort();
      assert.equal(roles, ['backup', 'protected'], 'and is in step when it is well');
    }
    console.log(`sync-ups of a board that is off 200 ms of 250, in ten seconds: ${all.join(' ')}`);
    assert.ok(Math.max(...all) <= 8);
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
  { timeoutMs: 300_000 },
);

/** The other board leads, and serves. Answers how long after the end of the death, in milliseconds. */
function goesOn(pair: TimedPair, survivor: Side, endsMs: number, name: string): number {
  pair.until(endsMs);
  const { arbiter } = pair.boards[survivor];
  const isOpen = () => pair.boards[survivor].arbiter.gate === 'open';
  while (!isOpen() && pair.nowMs < endsMs + 1_000) pair.until(pair.nowMs + 1);
  assert.ok(isOpen(), `${name}: the other board leads; it was ${arbiter.role}`);
  const tookMs = pair.nowMs - endsMs;
  assert.is(pair.violation, null, name);
  assert.ok(pair.servesWithin(0), name);
  return tookMs;
}

function timesOf(all: number[]): string {
  all.sort((one, two) => one - two);
  const at = (share: number) => (all[Math.floor((all.length - 1) * share)] as number).toFixed(0);
  return `it leads p50 ${at(0.5)} ms, p99 ${at(0.99)} ms after the end`;
}

test(
  'a board that dies in pieces, or whose plugs are pulled one by one: the service goes on by itself',
  () => {
    for (const kind of ['death', 'hand'] as const) {
      const all: number[] = [];
      for (let seed = 0; seed < DEATHS; seed++) {
        // Where the log has its cable alone, a hand is too slow to be one fault.
        const pair = calm(`${kind} ${seed}`, kind === 'hand' || seed % 2 === 1);
        pair.form();
        const dying = pair.boards[0].arbiter.role === 'protected' ? 0 : 1;
        const endsMs = pair.nowMs + pair.faults.die(dying, kind);
        all.push(goesOn(pair, other(dying), endsMs, `seed ${runSeed()}, ${kind} ${seed}`));
      }
      console.log(`${DEATHS} of ${kind}, seen by the other board: ${timesOf(all)}`);
    }
  },
  { timeoutMs: 300_000 },
);

/** One dies in pieces, and about its end the other one stands still, less than its buffers hold. */
function dieBesideStall(role: 'protected' | 'backup', seed: number) {
  const { stallMs, bufferedMs, silentMs } = DEFAULT_LIMITS;
  const random = seededRandom(`stall while ${role} dies ${seed}`);
  const pair = calm(`${role} dies ${seed}`, seed % 2 === 1);
  pair.form();
  const dying: Side = pair.boards[0].arbiter.role === role ? 0 : 1;
  const endsMs = pair.nowMs + pair.faults.die(dying, 'death');
  // With the tick before and the one after it.
  const stall = stallMs + random.float() * (bufferedMs - stallMs - 15);
  const beginsMs = endsMs - stall + random.float() * (stall + silentMs.log);
  pair.until(Math.max(pair.nowMs, beginsMs));
  pair.freeze(other(dying), stall);
  pair.until(endsMs);
  const name = `seed ${runSeed()}, ${role} dies ${seed}, the other stalls ${stall.toFixed(0)} ms`;
  return { pair, dying, endsMs, name };
}

test(
  'either board dies while the other one stands still, for a moment: the service goes on by itself',
  () => {
    for (const role of ['protected', 'backup'] as const) {
      const all: number[] = [];
      for (let seed = 0; seed < DEATHS; seed++) {
        const { pair, dying, endsMs, name } = dieBesideStall(role, seed);
        if (role === 'backup' && pair.boards[dying].arbiter.role !== 'backup') {
          // Its last act was to take over from a primary that seemed dead: that one is fenced, rightly.
          pair.until(endsMs + 1_000);
          assert.is(pair.violation, null, name);
        } else all.push(goesOn(pair, other(dying), endsMs, name));
      }
      console.log(`${all.length} deaths of ${role}, the other board stalls: ${timesOf(all)}`);
      assert.ok(all.length > DEATHS * 0.75);
    }
  },
  { timeoutMs: 300_000 },
);

/** The primary loses log, front LAN and serial line while the other board stands still; then it ends. */
function diesUnheard(frontMs: number, serialMs: number): string | null {
  const pair = calm(`unheard ${frontMs} ${serialMs}`, false);
  pair.form();
  const dying: Side = pair.boards[0].arbiter.role === 'protected' ? 0 : 1;
  for (const to of NAME) pair.cuts.add(`log>${to}`);
  pair.freeze(other(dying), 160);
  pair.until(pair.nowMs + frontMs);
  pair.cuts.add(`front-${NAME[dying]}`);
  pair.until(pair.nowMs + serialMs);
  for (const to of NAME) pair.cuts.add(`serial>${to}`);
  pair.until(pair.nowMs + 40);
  pair.crash(dying, false);
  pair.until(pair.nowMs + 1_000);
  return pair.violation;
}

test('a primary that loses the plant before the other board hears that it goes on has shown nothing', () => {
  for (let frontMs = 76; frontMs < 100; frontMs += 2)
    for (let serialMs = 8; serialMs < 20; serialMs += 4)
      assert.is(diesUnheard(frontMs, serialMs), null, `seed ${runSeed()}, ${frontMs}, ${serialMs}`);
});

test.run();
