// What a pair would survive, in the cases a field knows: each claim with its reason, and the words. That the
// claims are true is shown by test/sim/arbiter-survival.test.ts.
import type { ArbiterConfig } from '../../watchdog/arbiter-types.ts';
import { DEFAULT_LIMITS } from '../../watchdog/limits.ts';
import {
  type FaultVerdict,
  notSurvivedWords,
  survival,
  survivalAtBest,
  survivalKey,
} from '../../watchdog/survival.ts';
import { assert, suite } from '../harness/index.ts';
import { all, backup, primary } from './arbiter-bench.ts';

const test = suite('watchdog/survival');
const names = { here: 'press-7-a', there: 'press-7-b' };

const not = (verdicts: readonly FaultVerdict[]) =>
  Object.fromEntries(verdicts.flatMap(({ fault, why }) => (why === null ? [] : [[fault, why]])));

test('a healthy pair survives each single fault, as both of its boards know', () => {
  for (const { bench, says } of [primary(), backup()]) {
    bench.pass(300, { ...all, says });
    const verdicts = survival(bench.state, bench.nowMs);
    assert.is(verdicts.length, 7);
    assert.equal(not(verdicts), {});
    assert.is(notSurvivedWords(verdicts, names), null);
  }
});

test('without a witness the death of the backup stops the primary, and no lost front cable is noticed', () => {
  for (const [at, dies] of [
    [primary({ witness: 'none' }), 'death-there'],
    [backup({ witness: 'none' }), 'death-here'],
  ] as const) {
    at.bench.pass(300, { ...all, says: { ...at.says, witness: false }, witness: false });
    const found = not(survival(at.bench.state, at.bench.nowMs));
    assert.is(found[dies], 'no-witness');
    const cable = dies === 'death-there' ? 'front-here' : 'front-there';
    assert.equal(Object.keys(found).sort(), [dies, cable].sort());
    assert.is(found[cable], 'unnoticed');
  }
});

test('a gateway that does not answer: neither death is survived, and it is said why', () => {
  const { bench, says } = primary();
  bench.pass(300, { ...all, witness: false, says: { ...says, witness: false } });
  const verdicts = survival(bench.state, bench.nowMs);
  assert.equal(not(verdicts), {
    'death-here': 'witness-silent',
    'death-there': 'witness-silent',
    'front-here': 'unnoticed',
  });
  assert.is(
    notSurvivedWords(verdicts, names),
    'death of press-7-a, death of press-7-b (nobody answers as witness); ' +
      'loss of the front cable of press-7-a (no witness would tell of it)',
  );
});

test('a backup without its front cable serves nobody', () => {
  const { bench, says } = primary();
  const hears = { ...says.hears, front: false };
  bench.pass(300, {
    ...{ paths: ['log', 'serial'], witness: true },
    says: { ...says, hears, witness: false },
  });
  const found = not(survival(bench.state, bench.nowMs));
  assert.is(found['death-here'], 'front-out');
  assert.is(found['front-here'], 'front-out');
  assert.is(found['death-there'], undefined);
});

test('alone everything hangs on the board that leads', () => {
  const { bench } = primary();
  bench.pass(300, { witness: true });
  bench.fire({ type: 'persisted', record: { generation: 4, standing: 'sole' } });
  assert.is(bench.state.role, 'solo');
  assert.equal(not(survival(bench.state, bench.nowMs)), {
    'death-here': 'nobody-in-step',
    'front-here': 'nobody-in-step',
  });
});

test('a configuration is judged as the pair that it makes at best', () => {
  const config: ArbiterConfig = {
    id: 'a',
    limits: DEFAULT_LIMITS,
    witness: 'gateway',
    allowNoWatchdog: false,
    syncAllowed: true,
  };
  assert.equal(not(survivalAtBest(config, true)), {});
  assert.equal(not(survivalAtBest(config, false)), {});
  assert.equal(not(survivalAtBest({ ...config, witness: 'none' }, true)), {
    'death-there': 'no-witness',
    'front-here': 'unnoticed',
  });
});

test('the key changes with what is so, and not with time; what it saves', () => {
  const { bench, says } = primary();
  bench.pass(300, { ...all, says });
  const key = () => survivalKey(bench.state, bench.nowMs);
  const well = key();
  bench.pass(300, { ...all, says });
  assert.is(key(), well);
  bench.pass(300, { ...all, witness: false, says: { ...says, witness: false } });
  assert.is.not(key(), well);
  bench.pass(300, { ...all, says });
  assert.is(key(), well);
  const begunMs = performance.now();
  for (let round = 0; round < 50; round++) survival(bench.state, bench.nowMs);
  console.log(`all faults of one state: ${((performance.now() - begunMs) / 50).toFixed(2)} ms`);
});

test.run();
