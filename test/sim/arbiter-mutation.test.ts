// Is the exploration worth anything? Each rule of watchdog/rules.ts is switched off in turn, and the
// disaster must be found. REWRITE=1 keeps the shortest story of each as a scenario file.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { RULES, type RuleName } from '../../watchdog/rules.ts';
import { assert, repoPath, suite } from '../harness/index.ts';
import { explore, type Task } from './arbiter/explore.ts';
import type { FaultKind } from './arbiter/moves.ts';

const test = suite('sim/arbiter-mutation');

type Hunt = [
  from: Task['from'],
  grain: 'all' | 'units',
  faults: number,
  menu: FaultKind[],
  falseWords?: number,
];

/** Where each disaster is to be found. Three and four faults: rules for worlds beyond the promise. */
const HUNTS: Partial<Record<RuleName, Hunt>> = {
  'promote-only-in-step': ['redundant', 'units', 2, ['crash', 'hang']],
  'promote-needs-witness': ['redundant', 'all', 3, ['log', 'serial', 'front-b']],
  'solo-needs-witness': ['redundant', 'units', 3, ['log', 'serial', 'front-a']],
  'sleeper-doubts': ['redundant', 'units', 2, ['sleep', 'crash']],
  'persist-before-open': ['redundant', 'all', 2, ['crash', 'gasp']],
  'persist-before-grant': ['cold', 'units', 2, ['crash']],
  'gate-shut-before-grant': ['cold', 'units', 2, ['log', 'crash', 'serial', 'sleep']],
  'grant-bound-to-session': ['redundant', 'units', 2, ['sleep', 'hang', 'crash']],
  'dead-peer-must-be-shared': ['redundant', 'units', 2, ['sleep', 'crash']],
  'shared-never-leads-alone': ['redundant', 'units', 2, ['crash']],
  'behind-never-leads': ['redundant', 'units', 2, ['crash']],
  'higher-reign-fences': ['redundant', 'units', 1, ['sleep', 'hang']],
  'long-sleeper-misses': ['redundant', 'units', 2, ['sleep', 'crash']],
  'offer-must-be-fresh': ['redundant', 'units', 2, ['front-a', 'hang']],
  'alone-needs-life': ['redundant', 'units', 1, ['death']],
  'leave-without-log': ['redundant', 'units', 1, ['hand']],
  'limp-rests': ['redundant', 'units', 2, ['limp']],
  'start-exceeds-echo': ['redundant', 'units', 1, ['wipe']],
  'last-word-can-be-refuted': ['redundant', 'units', 0, [], 1],
  'doubted-word-needs-silence': ['redundant', 'units', 1, ['hang'], 1],
  'solo-needs-quiet': ['redundant', 'units', 0, [], 2],
};

for (const [rule, [from, grain, faults, menu, words = 0]] of Object.entries(HUNTS)) {
  test(
    `without ${rule}`,
    () => {
      const task: Task = {
        model: {
          rulesOff: new Set([rule as RuleName]),
          witness: 'gateway',
          overFront: menu.includes('hand'),
        },
        menu: { faults: menu, atOnce: faults + words, repairs: true, grain },
        budget: { faults, words, losses: 0, delays: 0 },
        from,
        statesMax: 200_000,
        liveness: rule !== 'promote-needs-witness' && rule !== 'solo-needs-witness',
      };
      const report = explore(task);
      assert.ok(report.found !== null, `not found in ${report.states} worlds`);
      console.log(`without ${rule}: ${report.found.what}, after ${report.states} worlds`);
      if (process.env.REWRITE === '1') keep(rule as RuleName, from, report.found);
    },
    { timeoutMs: 180_000 },
  );
}

function keep(
  rule: RuleName,
  from: string,
  found: { what: string; moves: readonly string[] },
): void {
  const what = found.what
    .replace(' (in the fair run that follows)', '')
    .replace(/^all is.*/, 'never heals');
  const text = [
    `# ${RULES[rule]}.`,
    `# The shortest story of what happens otherwise, as the exploration found it.`,
    `from ${from}`,
    `without ${rule}: ${what}`,
    '',
    ...found.moves,
    '----\n',
  ].join('\n');
  writeFileSync(repoPath(`test/scenarios/arbiter-without-${rule}.txt`), text);
}

test(
  'the limit of the claim: a front LAN split between the boards, with both links cut',
  () => {
    const model = { rulesOff: new Set<never>(), witness: 'gateway' } as const;
    const hunt = (faults: FaultKind[]) =>
      explore({
        model,
        menu: { faults, atOnce: 3, repairs: false, grain: 'units' },
        budget: { faults: 3, words: 0, losses: 0, delays: 0 },
        from: 'redundant',
        statesMax: 100_000,
        liveness: false,
      });
    // Three faults, and both boards still reach the gateway: ARBITER.md says why nothing helps here.
    assert.match(
      hunt(['log', 'serial', 'split']).found?.what ?? '',
      /stale start|both gates are open/,
    );
    // Any three whole cuts leave one board without the witness: it holds.
    const cuts = hunt(['log', 'serial', 'front-a', 'front-b', 'witness']);
    assert.is(cuts.found, null);
    assert.ok(cuts.complete);
  },
  { timeoutMs: 180_000 },
);

test(
  'the limit of the claim: a false last word, and each board suspended in turn',
  () => {
    const report = explore({
      model: { rulesOff: new Set<never>(), witness: 'gateway' },
      menu: { faults: ['sleep'], atOnce: 2, repairs: true, grain: 'units' },
      budget: { faults: 2, words: 1, losses: 0, delays: 0 },
      from: 'redundant',
      statesMax: 100_000,
      liveness: false,
    });
    // The primary sleeps for less than stallMs and loses what the backup says of its promotion; before
    // the next heartbeat the backup sleeps. ARBITER.md, "A last word", says what would help.
    assert.is(report.found?.what, 'both gates are open');
  },
  { timeoutMs: 180_000 },
);

test('each rule is hunted here, shown in a scenario, or broken in arbiter-rules.test.ts', () => {
  const folder = repoPath('test/scenarios');
  const told = readdirSync(folder)
    .map((file) => readFileSync(`${folder}/${file}`, 'utf8'))
    .concat(readFileSync(repoPath('test/watchdog/arbiter-rules.test.ts'), 'utf8'))
    .join('\n');
  const missing = (Object.keys(RULES) as RuleName[]).filter(
    (rule) => !(rule in HUNTS) && !told.includes(`without ${rule}`),
  );
  assert.equal(missing, []);
});

test.run();
