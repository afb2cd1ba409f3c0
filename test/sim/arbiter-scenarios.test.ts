// Stories of the pair, found by the exploration or written by hand, played again: the trace is as
// committed, nothing goes wrong, the pair heals; and with the named rule off the disaster happens.
// REWRITE=1 npm test -- arbiter-scenarios writes the traces anew; commit only what you understand.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { assert, repoPath, suite } from '../harness/index.ts';
import { parseScenario, playScenario } from './arbiter/scenario.ts';

const test = suite('sim/arbiter-scenarios');
const folder = repoPath('test/scenarios');

for (const file of readdirSync(folder).filter((name) => /^arbiter-.*\.txt$/.test(name))) {
  test(file, () => {
    const path = `${folder}/${file}`;
    const scenario = parseScenario(readFileSync(path, 'utf8'));
    const played = playScenario(scenario, new Set());
    if (process.env.REWRITE === '1') {
      writeFileSync(path, `${scenario.head}----\n${played.trace}`);
    } else {
      assert.fixture(played.trace, scenario.expected);
    }
    assert.is(played.violation ?? played.later, null);
    assert.ok(played.heals, 'in the end the pair is redundant again');
    for (const { rule, violation } of scenario.without) {
      const broken = playScenario(scenario, new Set([rule]));
      const happened = broken.violation ?? broken.later ?? (broken.heals ? null : 'never heals');
      assert.is(happened, violation, `without ${rule}`);
    }
  });
}

test.run();
