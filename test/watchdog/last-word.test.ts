// What one board makes of a last word, true or false: who acts at once, who waits for what, what
// refutes it. What two boards come to together is in test/sim/arbiter-explore.test.ts.
import type { Standing, Statement } from '../../watchdog/arbiter-types.ts';
import { DEFAULT_LIMITS } from '../../watchdog/limits.ts';
import { lastGaspOf, SEQ_OF_THE_DEAD } from '../../watchdog/statement-wire.ts';
import { assert, suite } from '../harness/index.ts';
import { all, type Bench, backup, primary } from './arbiter-bench.ts';

const test = suite('watchdog/last-word');

/** Of the peer's start 7, on the benches' generation. */
const word = (standing: Standing) => lastGaspOf(7, { generation: 4, standing });

function hear(bench: Bench, path: 'log' | 'serial' | 'front', statement: Statement): void {
  bench.fire({ type: 'heard', path, statement });
}

function said(bench: Bench): Statement {
  bench.pass(5);
  const action = bench.actions.find((one) => one.do === 'say');
  if (action?.do !== 'say') throw new Error('a tick says something');
  return action.statement;
}

test('a backup takes over at once; who speaks on is heard again, and joins', () => {
  for (const [off, role] of [
    [[], 'source'],
    [['last-word-can-be-refuted'], 'solo'],
  ] as const) {
    const { bench, says } = backup({}, [...off]);
    hear(bench, 'serial', word('shared'));
    assert.is(bench.state.role, 'promoting');
    bench.fire({ type: 'persisted', record: { generation: 5, standing: 'sole' } });
    assert.is(bench.state.role, 'solo');
    bench.pass(20, { ...all, says: { ...says, role: 'fenced', grant: null } });
    const joins = {
      ...says,
      role: 'target',
      generation: 5,
      standing: 'behind',
      session: 3,
    } as const;
    bench.pass(20, { ...all, says: { ...joins, grant: null } });
    assert.is(bench.state.role, role);
  }
});

test('what was said before it refutes nothing, and it is not believed twice', () => {
  const { bench, says } = backup();
  bench.pass(5, { ...all, says });
  const late = bench.state.peer as Statement;
  hear(bench, 'log', word('shared'));
  hear(bench, 'serial', late);
  hear(bench, 'serial', { ...late, seq: late.seq - 1 });
  assert.is(bench.state.peer?.role, 'dead');
  hear(bench, 'log', bench.fresh(says));
  assert.is(bench.state.peer?.role, 'protected');
  hear(bench, 'serial', word('shared'));
  assert.is(bench.state.peer?.role, 'protected', 'the same word on a slower path');
  hear(bench, 'serial', lastGaspOf(8, { generation: 5, standing: 'behind' }));
  assert.is(bench.state.peer?.role, 'dead', 'that of the next start is another one');
  hear(bench, 'log', bench.fresh(says));
  assert.is(bench.state.peer?.role, 'protected', 'there is no next start: this one speaks');
});

test('a board answers what the peer itself said, whatever was said of it', () => {
  const { bench, says } = backup();
  bench.pass(5, { ...all, says });
  const newest = bench.seq;
  hear(bench, 'log', word('shared'));
  const { echoBoot, echoSeq } = said(bench);
  assert.equal([echoBoot, echoSeq], [7, newest], `not ${SEQ_OF_THE_DEAD}`);
  hear(bench, 'log', lastGaspOf(8, { generation: 4, standing: 'shared' }));
  assert.equal(
    [said(bench).echoBoot, said(bench).echoSeq],
    [7, newest],
    'start 8 itself said nothing',
  );
});

test('a primary goes alone when the backup is said to be dead and has been quiet since', () => {
  const { stallMs } = DEFAULT_LIMITS;
  const { bench, says } = primary();
  bench.pass(5, { ...all, says });
  hear(bench, 'front', word('behind'));
  bench.pass(stallMs, { witness: true });
  assert.is(bench.state.role, 'protected', 'not while it was heard a moment ago');
  assert.is(bench.state.gate, 'acked');
  bench.pass(5, { witness: true });
  assert.is(bench.state.role, 'soloing', 'long before all paths count as silent');
  bench.fire({ type: 'persisted', record: { generation: 4, standing: 'sole' } });
  assert.is(bench.state.gate, 'open');
});

test('a false word of a backup costs nothing; without solo-needs-quiet it ends the redundancy', () => {
  for (const [off, role] of [
    [[], 'protected'],
    [['solo-needs-quiet'], 'soloing'],
  ] as const) {
    const { bench, says } = primary({}, [...off]);
    hear(bench, 'log', word('behind'));
    bench.pass(5, { witness: true });
    assert.is(bench.state.role, role);
    if (role !== 'protected') continue;
    bench.pass(500, { ...all, says });
    assert.is(bench.state.role, 'protected');
    assert.ok(!bench.state.wantsRenounce);
  }
});

test('who slept acts on a last word only with silence; without doubted-word-needs-silence at once', () => {
  for (const [off, follows, leads] of [
    [[], 'backup', 'isolated'],
    [['doubted-word-needs-silence'], 'promoting', 'soloing'],
  ] as const) {
    const follower = backup({}, [...off]).bench;
    follower.nowMs += 400;
    hear(follower, 'log', word('shared'));
    assert.is(follower.state.role, follows);
    const leader = primary({}, [...off]).bench;
    leader.pass(400);
    assert.is(leader.state.role, 'isolated', 'hears nobody, not even the gateway');
    hear(leader, 'log', word('behind'));
    assert.is(leader.state.role, leads);
    if (off.length > 0) continue;
    follower.pass(200, { witness: true });
    leader.pass(200, { witness: true });
    assert.is(follower.state.role, 'promoting');
    assert.is(leader.state.role, 'soloing');
  }
});

test('who slept and hears that the dead one had gone solo waits for it', () => {
  const { bench } = backup();
  bench.nowMs += 400;
  hear(bench, 'log', word('sole'));
  assert.is(bench.state.role, 'seeking');
});

test('who slept and then hears the dead one speak waits for its answer', () => {
  const { bench, says } = backup();
  bench.nowMs += 400;
  hear(bench, 'log', word('shared'));
  hear(bench, 'front', { ...bench.fresh(says), echoSeq: 1 });
  bench.pass(300, { witness: true });
  assert.is(bench.state.role, 'backup', 'it lived, and may have gone on: silence is no news now');
  bench.pass(10, { ...all, says: { ...says, role: 'solo', grant: null } });
  assert.is(bench.state.role, 'target');
});

test('who hands over to a board said to be dead begins a reign newer than any it can have begun', () => {
  const { bench } = primary();
  assert.is(bench.request({ request: 'switch-over' }), 'accepted');
  assert.is(bench.state.role, 'leaving');
  hear(bench, 'log', word('behind'));
  bench.pass(DEFAULT_LIMITS.stallMs + 5, { witness: true });
  assert.is(bench.state.role, 'promoting');
  assert.is(bench.state.generation, 6);
});

test('who takes over keeps the board that hands over in step, whatever is said of it meanwhile', () => {
  const { bench, says } = backup();
  bench.fire({ type: 'marked', mark: 'leave', session: bench.state.session });
  hear(bench, 'log', bench.fresh({ ...says, role: 'leaving', session: 5 }));
  assert.is(bench.state.role, 'promoting');
  hear(bench, 'front', lastGaspOf(8, { generation: 4, standing: 'shared' }));
  bench.fire({ type: 'persisted', record: { generation: 5, standing: 'shared' } });
  assert.is(bench.state.role, 'protected');
  assert.equal(bench.state.grant, { boot: 7, session: 5 });
  const stays: Statement = { ...says, role: 'backup', generation: 5, session: 5, grant: null };
  bench.pass(500, { ...all, says: stays });
  assert.is(bench.state.role, 'protected');
});

test.run();
