// Is what a board says of its redundancy true? Pairs in simulated milliseconds, healthy and with something
// broken, are asked which fault would end the service; then the same pair, from the same seed, gets that fault,
// and the claim of each board is held against what the plant sees.
import type { ArbiterState } from '../../watchdog/arbiter-types.ts';
import { checkLimits, DEFAULT_LIMITS } from '../../watchdog/limits.ts';
import {
  FAULTS,
  type Fault,
  type LogWay,
  survival,
  survivalAtBest,
} from '../../watchdog/survival.ts';
import { assert, runSeed, seededRandom, suite } from '../harness/index.ts';
import { TimedPair } from './arbiter/timed.ts';
import { NAME, other, type Side } from './arbiter/world-types.ts';

const test = suite('sim/arbiter-survival');
const SEEDS = 4;

/** What is broken before, of a pair that is in step all the same. */
interface Case {
  readonly name: string;
  readonly witness?: 'none';
  /** The log goes there, for its cable is cut. */
  readonly overFront?: boolean;
  readonly break?: (pair: TimedPair, primary: Side) => void;
}

const cutSerial = (pair: TimedPair) => {
  pair.cuts.add('serial>a');
  pair.cuts.add('serial>b');
};
const CASES: readonly Case[] = [
  { name: 'healthy' },
  { name: 'no witness configured', witness: 'none' },
  { name: 'the gateway is silent', break: (pair) => pair.setWitness(false) },
  { name: 'front cable of the backup out', break: (pair, it) => pair.cuts.add(front(other(it))) },
  { name: 'serial line cut', break: cutSerial },
  {
    name: 'serial line cut, the gateway is silent',
    break: (pair) => {
      cutSerial(pair);
      pair.setWitness(false);
    },
  },
];

const OVER_FRONT: readonly Case[] = CASES.filter(({ name }) => /healthy|serial/.test(name)).map(
  (one) => ({
    ...one,
    name: `the log over the front LAN, ${one.name}`,
    overFront: true,
    break: (pair, primary) => {
      for (const to of NAME) pair.cuts.add(`log>${to}`);
      one.break?.(pair, primary);
    },
  }),
);

const front = (side: Side) => `front-${NAME[side]}`;

function inStep(
  n: string,
  { witness, overFront = false, break: breaks }: Case,
): { pair: TimedPair; primary: Side } {
  const pair = new TimedPair({
    ...{ random: seededRandom(n), faults: 0, atOnce: 0, kinds: [], log: null, isCalm: true },
    overFront,
    ...(witness === undefined ? {} : { witness }),
  });
  pair.form();
  const primary = () => (pair.boards[0].arbiter.role === 'protected' ? 0 : 1);
  breaks?.(pair, primary());
  const is = () =>
    pair.boards
      .map(({ arbiter }) => arbiter.role)
      .sort()
      .join();
  // A stall in the last moment is not what is asked.
  do pair.until(pair.nowMs + 400);
  while (is() !== 'backup,protected' && pair.nowMs < 10_000);
  assert.is(is(), 'backup,protected', n);
  return { pair, primary: primary() };
}

function inject(pair: TimedPair, here: Side, fault: Fault): void {
  if (fault === 'death-here') pair.crash(here, false);
  else if (fault === 'death-there') pair.crash(other(here), false);
  else if (fault === 'front-here') pair.cuts.add(front(here));
  else if (fault === 'front-there') pair.cuts.add(front(other(here)));
  else if (fault === 'witness') pair.setWitness(false);
  else {
    if (fault === 'log') pair.overFront = false;
    for (const to of NAME) pair.cuts.add(`${fault}>${to}`);
  }
}

const claimed = (state: ArbiterState, nowMs: number, logWay: LogWay): string[] =>
  survival(state, nowMs, logWay).flatMap(({ fault, why }) => (why === null ? [] : [fault]));

for (const one of [...CASES, ...OVER_FRONT]) {
  test(
    `${one.name}: both boards claim what happens`,
    () => {
      let asked = 0;
      const words = new Set<string>();
      const logWay = one.overFront ? 'over-front' : 'apart';
      for (let seed = 0; seed < SEEDS; seed++) {
        const name = `survival ${one.name} ${seed}`;
        const { pair, primary } = inStep(name, one);
        for (const side of [primary, other(primary)]) {
          const claim = claimed(pair.boards[side].arbiter, pair.clockOf(side), logWay);
          words.add(`${side === primary ? 'primary' : 'backup'}: ${claim.join(' ') || 'any'}`);
          for (const fault of FAULTS) {
            const again = inStep(name, one);
            inject(again.pair, side, fault);
            // What is out already, or is not there, fails no more: the service goes on as before.
            const serves = again.pair.servesWithin(1_500);
            const text = `seed ${runSeed()}, ${name}, ${NAME[side]}: ${fault}`;
            assert.is(!claim.includes(fault), serves, text);
            asked += 1;
          }
        }
      }
      console.log(`${one.name}: ${asked} faults; not survived: ${[...words].sort().join('; ')}`);
    },
    { timeoutMs: 120_000 },
  );
}

test('a pair with nothing broken survives any single fault, however patient its limits are', () => {
  const random = seededRandom('patience');
  for (let times = 0; times < 50; times++) {
    const patience = 1 + random.float() * 10;
    const { stallMs, silentMs, witnessSilentMs } = DEFAULT_LIMITS;
    const { log, serial, front } = silentMs;
    const limits = checkLimits({
      ...DEFAULT_LIMITS,
      silentMs: { log: log * patience, serial: serial * patience, front: front * patience },
      stallMs: stallMs * (random.chance(0.5) ? patience : 1),
      witnessSilentMs: witnessSilentMs * (random.chance(0.5) ? patience : 1),
      leaveMs: serial * patience * 3,
      deathMs: serial * patience * 3,
      isolatedMs: serial * patience * 30,
    });
    const config = { id: 'a', limits, witness: 'gateway', allowNoWatchdog: false } as const;
    const verdicts = survivalAtBest({ ...config, syncAllowed: true }, true);
    const text = `seed ${runSeed()}, ${JSON.stringify(limits)}: ${JSON.stringify(verdicts)}`;
    assert.ok(verdicts.length === FAULTS.length && verdicts.every(({ why }) => why === null), text);
  }
});

test.run();
