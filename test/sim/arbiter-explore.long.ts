// The deep runs: all faults with all one-way cuts, three faults at once, and two faults with every
// order of every step up to a stated number of worlds. Ten minutes of one quiet core; `npm run test:long -- arbiter`.
// TWINSTEP_WORLDS sets the bound of the last one (default 2 million, about 3 GB of memory).
import { assert, suite } from '../harness/index.ts';
import { explore, type Task, transcript } from './arbiter/explore.ts';
import type { FaultKind } from './arbiter/moves.ts';
import type { Model } from './arbiter/world-types.ts';

const test = suite('sim/arbiter-explore-long');

const ALL: FaultKind[] = ['crash', 'gasp', 'hang', 'sleep', 'log', 'serial', 'front-a', 'front-b'];
const ONE_WAY: FaultKind[] = ['log>a', 'log>b', 'serial>a', 'serial>b', 'witness'];
const model = { rulesOff: new Set<never>(), witness: 'gateway' } as const;
const MINUTES = 60_000;

function clean(
  name: string,
  task: Omit<Task, 'model'>,
  toTheEnd: boolean,
  of: Model = model,
): void {
  test(
    name,
    () => {
      const report = explore({ ...task, model: of });
      console.log(
        `${name}: ${report.states} worlds, ${report.steps} steps, depth ${report.depth}, ` +
          `${report.healed} worlds of fair runs, ${report.complete ? 'to the end' : 'bounded'}`,
      );
      if (report.found !== null) throw new Error(transcript({ ...task, model: of }, report.found));
      if (toTheEnd) assert.ok(report.complete);
    },
    { timeoutMs: 60 * MINUTES },
  );
}

const two = { faults: 2, words: 0, losses: 0, delays: 0 };
const three = { faults: 3, words: 0, losses: 0, delays: 0 };
const oneAndWord = { faults: 1, words: 1, losses: 0, delays: 0 };

for (const from of ['redundant', 'cold'] as const) {
  const menu = { faults: [...ALL, ...ONE_WAY], atOnce: 2, repairs: true, grain: 'units' } as const;
  const task = { menu, budget: two, from, statesMax: 20_000_000, liveness: true };
  clean(`two faults at once, all kinds, from ${from}, unit by unit`, task, true);
  const name = `a false last word and another fault at once, all kinds, from ${from}, unit by unit`;
  clean(name, { ...task, budget: oneAndWord }, true);
}

for (const [fault, overFront] of [
  ['death', false],
  ['death', true],
  ['hand', true],
] as const) {
  const menu = { faults: [fault, ...ALL], atOnce: 2, repairs: false, grain: 'units' } as const;
  const task = {
    menu,
    budget: two,
    from: 'redundant',
    statesMax: 20_000_000,
    liveness: true,
  } as const;
  const way = overFront ? 'the log also over the front LAN' : 'the log on its cable alone';
  clean(`${fault} and another fault, ${way}, unit by unit`, task, true, {
    ...model,
    overFront,
    seesFront: overFront,
  });
}

clean(
  'a hand that pulls plug after plug, the power last, every order of every step',
  {
    menu: { faults: ['hand'], atOnce: 1, repairs: false, grain: 'all' },
    budget: { faults: 1, words: 0, losses: 0, delays: 0 },
    from: 'redundant',
    statesMax: 2_000_000,
    liveness: true,
  },
  true,
  { ...model, overFront: true },
);

clean(
  'a board that comes back with a lower count of starts, and another fault, unit by unit',
  {
    menu: {
      faults: ['wipe', 'crash', 'sleep', 'log', 'serial'],
      atOnce: 2,
      repairs: true,
      grain: 'units',
    },
    budget: two,
    from: 'redundant',
    statesMax: 1_000_000,
    liveness: false,
  },
  true,
);

clean(
  'boards that limp, in turn and with another fault, unit by unit',
  {
    menu: { faults: ['limp', 'crash', 'log'], atOnce: 2, repairs: true, grain: 'units' },
    budget: two,
    from: 'redundant',
    statesMax: 1_000_000,
    liveness: true,
  },
  true,
);

clean(
  'two false last words, every order of every step',
  {
    menu: { faults: [], atOnce: 2, repairs: false, grain: 'all' },
    budget: { faults: 0, words: 2, losses: 0, delays: 0 },
    from: 'redundant',
    statesMax: 2_000_000,
    liveness: true,
  },
  true,
);

clean(
  'a false last word and a crash, every order of every step',
  {
    menu: { faults: ['crash'], atOnce: 2, repairs: true, grain: 'all' },
    budget: oneAndWord,
    from: 'redundant',
    statesMax: 1_000_000,
    liveness: false,
  },
  false,
);

clean(
  'a false last word and two other faults, crash and hang, two at once, unit by unit',
  {
    menu: { faults: ['crash', 'hang'], atOnce: 2, repairs: true, grain: 'units' },
    budget: { ...two, words: 1 },
    from: 'redundant',
    statesMax: 1_000_000,
    liveness: false,
  },
  false,
);

clean(
  'three faults that stay, unit by unit',
  {
    menu: {
      faults: ['crash', 'sleep', 'log', 'serial', 'front-a', 'front-b'],
      atOnce: 3,
      repairs: false,
      grain: 'units',
    },
    budget: three,
    from: 'redundant',
    statesMax: 20_000_000,
    liveness: false,
  },
  true,
);

clean(
  'two faults at once, crash and log link, every order of every step',
  {
    menu: { faults: ['crash', 'log'], atOnce: 2, repairs: true, grain: 'all' },
    budget: two,
    from: 'redundant',
    statesMax: 5_000_000,
    liveness: false,
  },
  true,
);

clean(
  'two faults at once, every order of every step',
  {
    menu: {
      faults: ['crash', 'hang', 'sleep', 'log', 'serial', 'front-a', 'front-b', 'witness'],
      atOnce: 2,
      repairs: true,
      grain: 'all',
    },
    budget: two,
    from: 'redundant',
    statesMax: Number(process.env.TWINSTEP_WORLDS ?? '2000000'),
    liveness: false,
  },
  false,
);

test.run();
