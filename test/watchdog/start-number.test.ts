// The number of a start: a board whose record is lost or old says things under a number too low, learns from
// the peer's echo what it has to exceed, and is heard; what an earlier start said stays refused.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Statement } from '../../watchdog/arbiter-types.ts';
import { FrameReader, pathKeys, sealStatement } from '../../watchdog/path-frame.ts';
import { RoleRecordStore } from '../../watchdog/role-record-store.ts';
import type { RuleName } from '../../watchdog/rules.ts';
import { assert, suite } from '../harness/index.ts';
import { Bench, backup, PEER, primary } from './arbiter-bench.ts';

const test = suite('watchdog/start-number');
const NO_EXTRAS = { position: 0n, health: 0 };

/** A board without a record, of start `boot`. */
function wiped(boot: number, off: RuleName[] = []): Bench {
  const bench = new Bench({ id: 'b' }, off);
  bench.fire({ type: 'watchdog', armed: true });
  bench.fire({ type: 'loaded', boot, record: { generation: 0, standing: 'unknown' } });
  return bench;
}

const solo = (echoBoot: number, echoSeq: number): Statement => ({
  ...PEER,
  ...{ role: 'solo', standing: 'sole', seq: 50, echoBoot, echoSeq },
});

const counted = (bench: Bench) =>
  bench.actions.flatMap((action) => (action.do === 'count-start' ? [action.boot] : []));
const said = (bench: Bench) =>
  bench.actions.flatMap((action) => (action.do === 'say' ? [action.statement.boot] : []));

test('a board that is held for an earlier start of itself takes the number above, once its disk has it', () => {
  const bench = wiped(5);
  bench.fire({ type: 'heard', path: 'log', statement: solo(1_700_000_000, 9) });
  assert.equal(counted(bench), [1_700_000_001]);
  assert.equal(said(bench), [], 'not before the disk has it');
  bench.pass(20);
  assert.equal(said(bench), []);
  bench.fire({ type: 'start-counted', boot: 1_700_000_001 });
  assert.equal(said(bench), [1_700_000_001], 'at once');
  bench.pass(5);
  assert.equal(said(bench), [1_700_000_001]);
});

test('the same number is a lower one when the peer heard more under it than was said', () => {
  const bench = wiped(5);
  bench.pass(20);
  bench.fire({ type: 'heard', path: 'log', statement: solo(5, bench.state.seq) });
  assert.equal(counted(bench), [], 'its own words');
  bench.fire({
    type: 'heard',
    path: 'log',
    statement: { ...solo(5, bench.state.seq + 1), seq: 51 },
  });
  assert.equal(counted(bench), [6]);
});

test('an old echo moves nothing, nor does the last number there is', () => {
  const bench = wiped(5);
  for (const [seq, echoBoot] of [
    [60, 4],
    [61, 0],
    [62, 0xffffffff],
  ] as const) {
    bench.fire({ type: 'heard', path: 'log', statement: { ...solo(echoBoot, 1), seq } });
    assert.equal(counted(bench), []);
  }
  assert.is(bench.state.boot, 5);
});

test('who is in step keeps its number whatever old thing is echoed; who follows leaves first', () => {
  const { bench, says } = primary();
  bench.fire({ type: 'heard', path: 'log', statement: { ...bench.fresh(says), echoBoot: 900 } });
  assert.equal(counted(bench), []);
  assert.is(bench.state.role, 'protected');

  const follower = wiped(5);
  follower.pass(20, { paths: ['log'], says: { ...solo(0, 0), role: 'solo' } });
  assert.is(follower.state.role, 'target');
  const { session } = follower.state;
  follower.fire({ type: 'heard', path: 'log', statement: { ...solo(8, 1), seq: 5_000 } });
  assert.is(follower.state.role, 'seeking');
  assert.ok(follower.state.session > session, 'every claim under the old number is given up');
  assert.is(follower.state.boot, 9);
});

test('without start-exceeds-echo it speaks under the low number for ever', () => {
  const bench = wiped(5, ['start-exceeds-echo']);
  bench.fire({ type: 'heard', path: 'log', statement: solo(1_700_000_000, 9) });
  bench.pass(20);
  assert.equal(said(bench), [5]);
});

test('a backup in step outlives a primary that is back at once without its record, unless it doubts', () => {
  for (const [sleepMs, role] of [
    [0, 'promoting'],
    [400, 'seeking'],
  ] as const) {
    const { bench, says } = backup();
    bench.nowMs += sleepMs;
    const anew = {
      role: 'seeking',
      standing: 'unknown',
      generation: 0,
      grant: null,
      boot: 8,
    } as const;
    bench.fire({ type: 'heard', path: 'log', statement: { ...bench.fresh(says), ...anew } });
    assert.is(bench.state.role, role);
  }
});

test('on the wire: the low number is refused and echoed, the one above is taken, the old frames are not', () => {
  const key = new Uint8Array(32).fill(4);
  const [a, b] = [pathKeys(key, 'a'), pathKeys(key, 'b')];
  const reader = new FrameReader(a);
  const frame = (boot: number, seq: number) =>
    sealStatement(b, { ...PEER, role: 'backup', boot, seq }, NO_EXTRAS);
  const before = frame(1_790_000_000, 77);
  assert.ok(reader.read(before).ok);

  const bench = wiped(946_684_800);
  bench.pass(5);
  assert.not.ok(reader.read(frame(bench.state.boot, bench.state.seq)).ok);
  bench.fire({ type: 'heard', path: 'log', statement: solo(1_790_000_000, 77) });
  bench.fire({ type: 'start-counted', boot: bench.state.boot });
  assert.ok(reader.read(frame(bench.state.boot, bench.state.seq)).ok);
  for (const old of [before, frame(1_790_000_000, 78), frame(946_684_800, 1_000_000)]) {
    const read = reader.read(old);
    assert.is(read.ok ? 'taken' : read.reason, 'replay');
  }
});

test('the number is mended on disk, in both copies, and the next start counts on from it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-start-'));
  try {
    const store = new RoleRecordStore(folder);
    assert.is(store.load(5).boot, 5);
    store.countStart(1_700_000_001);
    store.write({ generation: 3, standing: 'behind' });
    const { boot, record, copies } = store.peek();
    assert.equal([boot, record.standing, copies], [1_700_000_001, 'behind', ['good', 'good']]);
    assert.is(new RoleRecordStore(folder).load(6).boot, 1_700_000_002);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test.run();
