// Grey failure of one board: when it limps, by which figures, and what its arbiter makes of it: one hand-over, a
// rest before the next, no sync-up of a board that does not stay in step, with growing pauses.
import type { Statement } from '../../watchdog/arbiter-types.ts';
import { DEFAULT_LIMITS } from '../../watchdog/limits.ts';
import { Limp } from '../../watchdog/limp.ts';
import { assert, suite } from '../harness/index.ts';
import { all, type Bench, backup, primary } from './arbiter-bench.ts';

const test = suite('watchdog/limp');
const { tickMs, stallMs, limpWindowMs, limpRestMs, syncPauseMs, syncPauseMaxMs } = DEFAULT_LIMITS;
const WHY = 'this board limps: as said';

/** Ticks for `forMs`, standing still `offMs` after each `onMs`; when it was found, or null. */
function ticks(limp: Limp, forMs: number, offMs: number, onMs: number, from = 0): number | null {
  let nowMs = from;
  for (let begun = from; nowMs < from + forMs; begun = nowMs) {
    while (nowMs < begun + onMs) {
      nowMs += tickMs;
      limp.tick(nowMs, 0);
      if (limp.why !== null) return nowMs - from;
    }
    nowMs += offMs;
  }
  return null;
}

test('60 ms off and 20 ms on is a limp within seconds, and told with its figures', () => {
  const limp = new Limp(DEFAULT_LIMITS);
  const foundMs = ticks(limp, 10_000, 60, 20);
  assert.ok(foundMs !== null && foundMs < limpWindowMs, String(foundMs));
  const words =
    /^this board limps: it stood still 4\d % \((\d+) times, at most \d\d ms\) of the last 5 s$/;
  assert.match(limp.why ?? '', words);
});

test('late ticks, one long sleep, and now and then a stall are none', () => {
  assert.is(ticks(new Limp(DEFAULT_LIMITS), 20_000, stallMs - 10, 20), null);
  assert.is(ticks(new Limp(DEFAULT_LIMITS), 20_000, 4_000, 10_000), null);
  assert.is(ticks(new Limp(DEFAULT_LIMITS), 20_000, 70, 400), null);
});

test('it is over when hardly anything of the window is lost any more, not before', () => {
  const limp = new Limp(DEFAULT_LIMITS);
  const from = ticks(limp, 10_000, 60, 20)!;
  for (let nowMs = from; nowMs < from + limpWindowMs + 200; nowMs += tickMs) {
    limp.tick(nowMs, 0);
    if (nowMs < from + 1_000) assert.ok(limp.why !== null, `still at ${nowMs - from}`);
  }
  assert.is(limp.why, null);
});

test('outputs that wait too long a good part of the time are a limp, too', () => {
  const limp = new Limp(DEFAULT_LIMITS);
  for (let nowMs = 0; nowMs < 10_000; nowMs += tickMs)
    limp.tick(nowMs, nowMs % 400 < 240 ? 150 : 20);
  assert.match(limp.why ?? '', /let outputs wait \d\d % of the last 5 s/);
  const quick = new Limp(DEFAULT_LIMITS);
  for (let nowMs = 0; nowMs < 10_000; nowMs += tickMs) quick.tick(nowMs, 60);
  assert.is(quick.why, null);
});

test('a primary that limps hands over to a backup that is well, and to no other', () => {
  const one = primary();
  one.bench.pass(100, { ...all, says: { ...one.says, ready: false } });
  one.bench.fire({ type: 'limp', why: WHY });
  one.bench.pass(100, { ...all, says: { ...one.says, ready: false } });
  assert.is(one.bench.state.role, 'protected', 'the other one limps, too');
  one.bench.pass(10, { ...all, says: one.says });
  assert.is(one.bench.state.role, 'leaving');
  assert.is(one.bench.state.why, WHY);
});

/** Hands over and stays in step under the heir. */
function handsOver(bench: Bench, says: Statement): Statement {
  bench.pass(10, { ...all, says });
  assert.is(bench.state.role, 'leaving');
  const generation = says.generation + 1;
  const grant = { boot: bench.state.boot, session: bench.state.session };
  const heir: Statement = { ...says, role: 'protected', standing: 'shared', generation, grant };
  bench.pass(10, { ...all, says: heir });
  bench.fire({ type: 'persisted', record: { generation, standing: 'behind' } });
  assert.is(bench.state.role, 'backup');
  return heir;
}

/** The board of handsOver is handed back to, by the operator there, at once. */
function isHandedBack(bench: Bench, heir: Statement): Statement {
  bench.fire({ type: 'marked', mark: 'leave', session: bench.state.session });
  bench.pass(10, { ...all, says: { ...heir, role: 'leaving' } });
  const generation = heir.generation + 1;
  bench.fire({ type: 'persisted', record: { generation, standing: 'shared' } });
  assert.is(bench.state.role, 'protected');
  const { session } = bench.state.grant!;
  return { ...heir, role: 'backup', standing: 'behind', generation, grant: null, session };
}

test('once: who has just handed over and leads again does not do so a second time before its rest', () => {
  for (const [off, role] of [
    [[], 'protected'],
    [['limp-rests'], 'leaving'],
  ] as const) {
    const { bench, says } = primary({}, [...off]);
    bench.fire({ type: 'limp', why: WHY });
    const follower = isHandedBack(bench, handsOver(bench, says));
    bench.pass(5_000, { ...all, says: follower });
    assert.is(bench.state.role, role);
    if (role === 'leaving') continue;
    bench.pass(limpRestMs, { ...all, says: follower });
    assert.is(bench.state.role, 'leaving', 'after the rest');
  }
});

test('a board that limps says that it is not ready, and still takes over from the dead', () => {
  const { bench, says } = backup();
  bench.fire({ type: 'limp', why: WHY });
  const said = bench.actions.find((action) => action.do === 'say');
  assert.is(said?.do === 'say' ? said.statement.ready : null, false, 'at once');
  bench.pass(100, { ...all, says });
  assert.is(bench.state.role, 'backup', 'it stays in step');
  bench.pass(200, { witness: true });
  assert.is(bench.state.role, 'promoting');
});

test('a board that does not stay in step is tried again with growing pauses; another start is not', () => {
  const { bench, says } = primary();
  let session = 2;
  const alone = (boot: number): Statement => ({
    ...says,
    ...{ role: 'target', standing: 'behind', boot, session: ++session },
  });
  /** From one session to the next sync-up. */
  const failsAgain = (boot = 7): number => {
    const begunMs = bench.nowMs;
    const next = alone(boot);
    do {
      bench.pass(5, { ...all, says: next });
      const { writing } = bench.state;
      if (writing !== null) bench.fire({ type: 'persisted', record: writing });
    } while (bench.state.role !== 'source' && bench.nowMs < begunMs + 100_000);
    assert.is(bench.state.role, 'source');
    return bench.nowMs - begunMs;
  };
  const pauses = Array.from({ length: 9 }, () => failsAgain());
  assert.ok(pauses[0]! < 100 && pauses[1]! >= syncPauseMs - 20, pauses.join(' '));
  for (let n = 2; n < pauses.length; n++)
    assert.ok(pauses[n]! >= Math.min(syncPauseMaxMs - 20, pauses[n - 1]! * 1.9), pauses.join(' '));
  assert.ok(pauses.at(-1)! <= syncPauseMaxMs + 50);
  assert.ok(failsAgain(8) < 100, 'another start of the peer begins with none');
  failsAgain(8);
  failsAgain(8);
  bench.pass(5, { ...all, says: alone(8) });
  assert.is(bench.request({ request: 'sync-up', allowed: true }), 'accepted');
  assert.ok(failsAgain(8) < 100, 'nor after the operator');
});

test.run();
