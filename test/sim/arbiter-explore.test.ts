// Every world two arbiters can come to, explored to the end: real code, real messages, with crashes,
// last words true and false, hangs, sleeps, cut cables (also one way) and a dead gateway. In each world reached:
// never two open gates, never a reign that begins behind what the plant has seen, never a release
// the newer reign does not hold; after one fault someone serves; after repair the pair is redundant.
// The deeper runs are in arbiter-explore.long.ts. All of it is a minute of one core; on a host that others
// use it has taken 100 s, hence the long time-outs.
import { assert, suite } from '../harness/index.ts';
import { explore, type Task, transcript, untaken } from './arbiter/explore.ts';
import type { FaultKind } from './arbiter/moves.ts';
import type { Model } from './arbiter/world-types.ts';

const test = suite('sim/arbiter-explore');

const ALL: FaultKind[] = ['crash', 'gasp', 'hang', 'sleep', 'log', 'serial', 'front-a', 'front-b'];
const ONE_WAY: FaultKind[] = ['log>a', 'log>b', 'serial>a', 'serial>b', 'witness'];
const model = { rulesOff: new Set<never>(), witness: 'gateway' } as const;
const taken = new Set<string>();

function clean(name: string, task: Omit<Task, 'model' | 'statesMax'>, of: Model = model): void {
  test(
    name,
    () => {
      const whole: Task = { ...task, model: of, statesMax: 5_000_000 };
      const report = explore(whole);
      console.log(
        `${name}: ${report.states} worlds, ${report.steps} steps, depth ${report.depth}, ` +
          `${report.healed} worlds of fair runs`,
      );
      for (const edge of report.edges) taken.add(edge);
      if (report.found !== null) throw new Error(transcript(whole, report.found));
      assert.ok(report.complete, 'explored to the end');
    },
    { timeoutMs: 300_000 },
  );
}

clean('one fault, every order of every step', {
  menu: { faults: [...ALL, ...ONE_WAY], atOnce: 1, repairs: true, grain: 'all' },
  budget: { faults: 1, words: 0, losses: 0, delays: 0 },
  from: 'redundant',
  liveness: true,
});

clean('no fault, a lost message, from the cold', {
  menu: { faults: [], atOnce: 0, repairs: false, grain: 'all' },
  budget: { faults: 0, words: 0, losses: 1, delays: 0 },
  from: 'cold',
  liveness: false,
});

clean(
  'a board that comes back with a lower count of starts, or the same, every order of every step',
  {
    menu: { faults: ['wipe'], atOnce: 1, repairs: true, grain: 'all' },
    budget: { faults: 1, words: 0, losses: 0, delays: 0 },
    from: 'redundant',
    liveness: true,
  },
);

clean('a board that comes back with a lower count of starts, and another fault, unit by unit', {
  menu: { faults: ['wipe', 'sleep'], atOnce: 2, repairs: true, grain: 'units' },
  budget: { faults: 2, words: 0, losses: 0, delays: 0 },
  from: 'redundant',
  liveness: false,
});

clean('boards that limp, in turn and with another fault, unit by unit', {
  menu: { faults: ['limp', 'crash'], atOnce: 2, repairs: true, grain: 'units' },
  budget: { faults: 2, words: 0, losses: 0, delays: 0 },
  from: 'redundant',
  liveness: true,
});

clean('a death in pieces, every order of every step', {
  menu: { faults: ['death'], atOnce: 1, repairs: false, grain: 'all' },
  budget: { faults: 1, words: 0, losses: 0, delays: 0 },
  from: 'redundant',
  liveness: true,
});

clean(
  'a hand that pulls plug after plug, the power last, unit by unit',
  {
    menu: { faults: ['hand'], atOnce: 1, repairs: false, grain: 'units' },
    budget: { faults: 1, words: 0, losses: 0, delays: 0 },
    from: 'redundant',
    liveness: true,
  },
  // Where the log has its cable alone, a board that lost it leads alone before the hand is done.
  { ...model, overFront: true, seesFront: true },
);

clean('two faults that stay, every order of every step', {
  menu: {
    faults: ['crash', 'sleep', 'log', 'serial', 'front-a'],
    atOnce: 2,
    repairs: false,
    grain: 'all',
  },
  budget: { faults: 2, words: 0, losses: 0, delays: 0 },
  from: 'redundant',
  liveness: false,
});

clean('two faults at once, repaired in any order, unit by unit', {
  menu: {
    faults: ['crash', 'sleep', 'log', 'front-a'],
    atOnce: 2,
    repairs: true,
    grain: 'units',
  },
  budget: { faults: 2, words: 0, losses: 0, delays: 0 },
  from: 'redundant',
  liveness: true,
});

clean('a crash or a cut while the pair forms, unit by unit', {
  menu: { faults: [...ALL], atOnce: 1, repairs: true, grain: 'units' },
  budget: { faults: 1, words: 0, losses: 0, delays: 0 },
  from: 'cold',
  liveness: true,
});

clean('a false last word, every order of every step', {
  menu: { faults: [], atOnce: 1, repairs: false, grain: 'all' },
  budget: { faults: 0, words: 1, losses: 0, delays: 0 },
  from: 'redundant',
  liveness: true,
});

clean('a false last word while the pair forms, unit by unit', {
  menu: { faults: [], atOnce: 1, repairs: false, grain: 'units' },
  budget: { faults: 0, words: 1, losses: 0, delays: 0 },
  from: 'cold',
  liveness: true,
});

clean('two false last words, unit by unit', {
  menu: { faults: [], atOnce: 2, repairs: false, grain: 'units' },
  budget: { faults: 0, words: 2, losses: 0, delays: 0 },
  from: 'redundant',
  liveness: true,
});

clean('a false last word and another fault at once, repaired in any order, unit by unit', {
  menu: { faults: [...ALL], atOnce: 2, repairs: true, grain: 'units' },
  budget: { faults: 1, words: 1, losses: 0, delays: 0 },
  from: 'redundant',
  liveness: true,
});

test('these runs take every edge of the table that needs no operator', () => {
  const operator = /operator/;
  const left = untaken(taken).filter(([, , when]) => !operator.test(when));
  console.log(`edges not taken: ${left.map(([from, to]) => `${from}>${to}`).join(' ')}`);
  assert.ok(left.length < 12);
});

test.run();
