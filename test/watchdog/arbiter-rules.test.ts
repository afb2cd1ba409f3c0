// Rules that the exploration cannot show broken within its bounds (delays of more than a heartbeat,
// or a harm that is not a fork), each with what happens without it. And the known traps by name.
import { arbitrate } from '../../watchdog/arbiter.ts';
import { compareRecords } from '../../watchdog/arbiter-cold.ts';
import type { ArbiterEvent, Standing, Statement } from '../../watchdog/arbiter-types.ts';
import { checkLimits, DEFAULT_LIMITS } from '../../watchdog/limits.ts';
import { assert, suite } from '../harness/index.ts';
import { all, Bench, backup, PEER, primary } from './arbiter-bench.ts';

const test = suite('watchdog/arbiter-rules');

test('a log link that dies alone is no reason to promote; without promote-only-when-all-silent it is', () => {
  for (const [off, role] of [
    [[], 'backup'],
    [['promote-only-when-all-silent'], 'promoting'],
  ] as const) {
    const { bench, says } = backup({}, [...off]);
    bench.pass(200, { paths: ['serial', 'front'], witness: true, says });
    assert.is(bench.state.role, role);
  }
});

test('takeover by silence comes within 50 ms on log and front, 100 ms with the serial line', () => {
  for (const [last, within] of [
    [['log', 'front'], 50],
    [['log', 'serial', 'front'], 100],
  ] as const) {
    const { bench, says } = backup();
    bench.pass(150, { paths: [...last], witness: true, says });
    const died = bench.nowMs;
    while (bench.state.role === 'backup' && bench.nowMs < died + 1000)
      bench.pass(5, { witness: true });
    assert.is(bench.state.role, 'promoting');
    assert.ok(bench.nowMs - died <= within, `${last.join('+')}: ${bench.nowMs - died} ms`);
  }
});

test('a last word needs no silence', () => {
  const { bench, says } = backup();
  bench.fire({
    type: 'heard',
    path: 'serial',
    statement: { ...says, seq: 2 ** 31, role: 'dead', standing: 'shared' },
  });
  assert.is(bench.state.role, 'promoting');
  assert.is(bench.state.generation, 5);
  assert.is(bench.state.gate, 'closed', 'not before the disk has it');
  bench.fire({ type: 'persisted', record: { generation: 5, standing: 'sole' } });
  assert.is(bench.state.gate, 'open');
});

test('a last word of an earlier start, or of one that had gone solo, proves nothing', () => {
  const { bench, says } = backup();
  bench.fire({
    type: 'heard',
    path: 'log',
    statement: { ...says, boot: 6, seq: 2 ** 31, role: 'dead' },
  });
  assert.is(bench.state.role, 'backup');
  bench.fire({
    type: 'heard',
    path: 'log',
    statement: { ...says, seq: 2 ** 31, role: 'dead', standing: 'sole' },
  });
  assert.is(bench.state.role, 'seeking');
});

test('who wakes drains its queues and waits the whole window; without awake-for-the-window it judges at once', () => {
  // Both guards off: the silence of its own sleep is taken for the peer's.
  for (const [off, role] of [
    [[], 'backup'],
    [['sleeper-doubts'], 'backup'],
    [['sleeper-doubts', 'awake-for-the-window'], 'promoting'],
  ] as const) {
    const { bench } = backup({ witness: 'none' }, [...off]);
    bench.nowMs += 400;
    bench.fire({ type: 'tick' });
    assert.is(bench.state.role, role);
  }
});

test('after a sleep silence alone never promotes; a fresh word of the primary clears the doubt', () => {
  const { bench, says } = backup();
  bench.nowMs += 400;
  bench.pass(500, { witness: true });
  assert.is(bench.state.role, 'backup');
  bench.fire({
    type: 'heard',
    path: 'log',
    statement: { ...bench.fresh(says), echoSeq: 1 },
  });
  assert.ok(
    bench.state.doubt !== null,
    'an answer to something said before the sleep is no answer',
  );
  bench.pass(10, { ...all, says });
  assert.is(bench.state.doubt, null);
  bench.pass(200, { witness: true });
  assert.is(bench.state.role, 'promoting');
});

test('a stall shorter than the limit is not a sleep', () => {
  const { bench } = backup();
  bench.nowMs += DEFAULT_LIMITS.stallMs;
  bench.fire({ type: 'tick' });
  assert.is(bench.state.doubt, null);
});

test('a late message of the old reign changes nothing; without newest-statement-only it does', () => {
  for (const [off, boot] of [
    [[], 8],
    [['newest-statement-only'], 7],
  ] as const) {
    const { bench, says } = backup({}, [...off]);
    bench.pass(5, {
      ...all,
      says: { ...says, boot: 8, role: 'solo', generation: 6, grant: null, standing: 'sole' },
    });
    bench.fire({ type: 'heard', path: 'serial', statement: { ...says, boot: 7, seq: 9999 } });
    assert.is(bench.state.peer?.boot, boot);
  }
});

test('an old word left in the serial buffer starts no reign; without cold-needs-echo it does', () => {
  for (const [off, role] of [
    [[], 'seeking'],
    [['cold-needs-echo'], 'promoting'],
  ] as const) {
    const bench = new Bench({}, [...off]);
    bench.fire({ type: 'watchdog', armed: true });
    bench.fire({ type: 'loaded', boot: 4, record: { generation: 4, standing: 'shared' } });
    // Said to my previous start, before the peer came into step.
    const old: Statement = {
      ...PEER,
      role: 'target',
      standing: 'behind',
      echoBoot: 3,
      echoSeq: 50,
    };
    bench.fire({ type: 'heard', path: 'serial', statement: old });
    assert.is(bench.state.role, role);
  }
});

test('a stall of either board that is no death costs nothing: nobody asks, nobody renounces', () => {
  const stalls: [string, (bench: Bench) => void][] = [
    [
      'its own',
      (bench) => {
        bench.nowMs += 70;
      },
    ],
    [
      'of the peer',
      (bench) => {
        bench.pass(70, { witness: true });
      },
    ],
  ];
  for (const [whose, stall] of stalls) {
    const { bench, says } = primary();
    stall(bench);
    // The first word after it comes on the slow path, written before the writer heard me again.
    const deaf = { ...says, hears: { log: true, serial: true, front: true } };
    bench.fire({ type: 'heard', path: 'front', statement: bench.fresh(deaf) });
    assert.is(bench.state.role, 'protected', whose);
    bench.pass(200, { ...all, says });
    assert.is(bench.state.role, 'protected', whose);
  }
});

test('one-way cut of the log: the backup hears nothing there, says so, and the primary asks when it has lived on', () => {
  const { bench, says } = primary();
  const deaf = { ...says, hears: { log: false, serial: true, front: true } };
  bench.pass(DEFAULT_LIMITS.deathMs, { ...all, says: deaf });
  assert.is(bench.state.role, 'protected', 'a board that dies loses its cables first');
  // Back for a moment: the time begins anew.
  bench.pass(10, { ...all, says });
  bench.pass(DEFAULT_LIMITS.deathMs, { ...all, says: deaf });
  assert.is(bench.state.role, 'protected');
  bench.pass(20, { ...all, says: deaf });
  assert.is(bench.state.role, 'yielding');
  assert.is(bench.state.gate, 'acked', 'nothing leaves unacknowledged while it waits for the word');
  bench.pass(1000, { ...all, says });
  assert.is(bench.state.role, 'yielding', 'no word, no solo');
  bench.pass(5, { ...all, says: { ...says, role: 'target', session: 3 } });
  assert.is(bench.state.role, 'soloing');
  bench.fire({ type: 'persisted', record: { generation: 4, standing: 'sole' } });
  assert.is(bench.state.gate, 'open');
});

test('log link and front LAN lost here, and not at the peer: offers the reign without a mark', () => {
  const { bench, says } = primary();
  const deaf = { ...says, hears: { log: false, serial: true, front: false }, witness: true };
  bench.pass(DEFAULT_LIMITS.witnessSilentMs + 20, { paths: ['serial'], says: deaf });
  assert.is(bench.state.role, 'leaving');
  assert.is(bench.state.gate, 'closed');
  const heir = { role: 'promoting', generation: 5, standing: 'sole', grant: null } as const;
  bench.pass(5, { paths: ['serial'], says: { ...deaf, ...heir } });
  assert.is(bench.state.role, 'fenced', 'the heir goes on without it');
});

test('an offer that a slow line brings late is taken at once where log link and front LAN are silent', () => {
  for (const fastPath of [null, 'log', 'front'] as const) {
    const { bench, says } = backup();
    const offer = { ...says, role: 'leaving' } as const;
    const paths = fastPath === null ? [] : [fastPath];
    bench.pass(DEFAULT_LIMITS.silentMs.log + 5, { witness: true });
    bench.pass(5, { paths: [...paths, 'serial'], says: offer, witness: true });
    // A word after a gap on every path is the first of a new run: it blames no path yet.
    assert.is(bench.state.role, fastPath === null ? 'promoting' : 'backup', `${fastPath}`);
    bench.fire({ type: 'persisted', record: { generation: 5, standing: 'sole' } });
    if (fastPath === null) assert.is(bench.state.role, 'solo', 'as after a death');
  }
});

test('the backup is gone, the gateway answers: solo. Gateway silent too: isolated, held, then reset', () => {
  const { bench } = primary();
  bench.pass(150, { witness: true });
  assert.is(bench.state.role, 'soloing');
  const cut = primary().bench;
  cut.pass(300);
  assert.is(cut.state.role, 'isolated');
  assert.is(cut.state.gate, 'acked');
  cut.pass(2000, { witness: true });
  assert.is(cut.state.role, 'isolated', 'the gateway is back, but who knows what the peer did');
  const pets = (bench: Bench) => bench.actions.some((action) => action.do === 'pet');
  assert.ok(!cut.state.resetAsked);
  cut.pass(DEFAULT_LIMITS.isolatedMs);
  assert.ok(cut.state.resetAsked);
  for (let i = 0; i < 1000; i++) assert.ok(!pets(cut.pass(5)), 'not petted any more');
});

test('without a witness configured: the backup promotes on silence, the primary holds', () => {
  const follower = backup({ witness: 'none' }).bench;
  follower.pass(150);
  assert.is(follower.state.role, 'promoting');
  const leader = primary({ witness: 'none' }).bench;
  leader.pass(150);
  assert.is(leader.state.role, 'isolated');
});

test('a peer that returns with an equal or lower generation joins or waits, never leads', () => {
  const { bench, says } = primary();
  for (const generation of [3, 4]) {
    bench.pass(5, {
      ...all,
      says: { ...says, boot: 8, role: 'seeking', generation, standing: 'behind' },
    });
    assert.ok(['soloing', 'solo'].includes(bench.state.role));
  }
});

test('a higher reign fences whoever leads, and a forced tie is broken by name', () => {
  const { bench, says } = primary();
  bench.pass(5, {
    ...all,
    says: { ...says, role: 'promoting', generation: 5, standing: 'pending' },
  });
  assert.is(bench.state.role, 'fenced');
  assert.is(bench.state.gate, 'closed');
  for (const [id, role] of [
    ['a', 'protected'],
    ['b', 'fenced'],
  ] as const) {
    const board = primary({ id }).bench;
    board.pass(5, {
      ...all,
      says: { ...says, role: 'solo', generation: 4, standing: 'sole', session: 2 },
    });
    assert.is(board.state.role, role);
  }
});

test('two cold boards never both lead, whatever their records', () => {
  const standings: Standing[] = ['sole', 'shared', 'behind', 'unknown'];
  for (const one of standings) {
    for (const two of standings) {
      for (const [g1, g2] of [
        [1, 1],
        [1, 2],
        [2, 1],
      ] as const) {
        const first = compareRecords(
          { generation: g1, standing: one },
          { generation: g2, standing: two },
        );
        const second = compareRecords(
          { generation: g2, standing: two },
          { generation: g1, standing: one },
        );
        assert.ok(first !== 'lead' || second !== 'lead', `${one} ${g1}, ${two} ${g2}`);
        if (one === 'behind' || one === 'unknown') assert.is.not(first, 'lead');
        if (first === 'wait' && one !== 'behind')
          assert.is(second, 'lead', `${one} ${g1} waits for ${two} ${g2}`);
      }
    }
  }
});

test('no watchdog, no lead, unless the configuration names it', () => {
  for (const [allowNoWatchdog, role] of [
    [false, 'seeking'],
    [true, 'promoting'],
  ] as const) {
    const bench = new Bench({ allowNoWatchdog });
    bench.fire({ type: 'loaded', boot: 1, record: { generation: 1, standing: 'sole' } });
    bench.pass(DEFAULT_LIMITS.seekMs + 100);
    assert.is(bench.state.role, role);
  }
});

test('a board that is not healthy is not petted, does not stay in step, hands over', () => {
  const { bench } = backup();
  bench.fire({ type: 'health', ok: false });
  assert.is(bench.state.role, 'target');
  const lead = primary();
  lead.bench.fire({ type: 'health', ok: false });
  assert.is(lead.bench.state.role, 'leaving');
  for (let i = 0; i < 600; i++) {
    lead.bench.pass(5, { ...all, says: lead.says });
    assert.ok(!lead.bench.actions.some((action) => action.do === 'pet'));
  }
});

test('unfit and alive: handed over, and petted all the while; alone it leads on', () => {
  const lead = primary();
  lead.bench.fire({ type: 'health', ok: false, isAlive: true });
  assert.is(lead.bench.state.role, 'leaving');
  const solo = primary().bench;
  solo.pass(150, { witness: true });
  solo.fire({ type: 'persisted', record: { generation: 4, standing: 'sole' } });
  solo.fire({ type: 'health', ok: false, isAlive: true });
  const unfitMs = solo.nowMs;
  solo.pass(3_000, { witness: true });
  assert.is(solo.state.role, 'solo');
  assert.ok(solo.state.pettedMs > unfitMs + 2_000);
});

test('requests: accepted when someone goes on serving, refused in words otherwise', () => {
  const { bench } = primary();
  assert.is(bench.request({ request: 'switch-over' }), 'accepted');
  assert.is(bench.state.role, 'leaving');
  const solo = primary().bench;
  solo.pass(150, { witness: true });
  solo.fire({ type: 'persisted', record: { generation: 4, standing: 'sole' } });
  assert.match(solo.request({ request: 'switch-over' }), /redundant/);
  assert.match(solo.request({ request: 'test-failover' }), /redundant/);
  assert.match(solo.request({ request: 'maintenance', on: true }), /nobody can take over/);
  assert.match(solo.request({ request: 'stop', force: false }), /nobody can take over/);
  assert.match(solo.request({ request: 'force-lead' }), /waits/);
  assert.is(solo.request({ request: 'stop', force: true }), 'accepted');
  assert.is(solo.state.role, 'stopped');
  assert.ok(solo.actions.some((action) => action.do === 'close-watchdog'));
  const follower = backup().bench;
  assert.is(follower.request({ request: 'maintenance', on: true }), 'accepted');
  assert.is(follower.state.role, 'maintenance');
  assert.is(follower.request({ request: 'maintenance', on: false }), 'accepted');
  assert.is(follower.state.role, 'target', 'the primary is there: follows again');
  const failover = primary().bench;
  assert.is(failover.request({ request: 'test-failover' }), 'accepted');
  assert.ok(failover.actions.some((action) => action.do === 'reset'));
});

test('a stop of the primary hands over first, then takes no part', () => {
  const { bench, says } = primary();
  assert.is(bench.request({ request: 'stop', force: false }), 'accepted');
  assert.is(bench.state.role, 'leaving');
  const mine = { boot: 3, session: bench.state.session };
  const heir: Statement = {
    ...says,
    role: 'protected',
    generation: 5,
    standing: 'shared',
    grant: mine,
  };
  bench.pass(5, { ...all, says: heir });
  assert.is(bench.state.role, 'stopped');
});

test('an heir that dies before its disk has the new reign: the old primary goes on', () => {
  const { bench, says } = primary();
  assert.is(bench.request({ request: 'switch-over' }), 'accepted');
  const heir: Statement = { ...says, role: 'promoting', generation: 5, standing: 'pending' };
  bench.pass(20, { ...all, says: heir });
  assert.is(bench.state.role, 'leaving');
  bench.pass(300, { witness: true });
  assert.is(bench.state.role, 'promoting', 'its guest does not stand still for ever');
  assert.is(bench.state.generation, 6, 'newer than what the heir may have written');
});

test('an heir that slept and waits for a fresh offer, the new reign on its disk: the old primary stays in step', () => {
  const { bench, says } = primary();
  assert.is(bench.request({ request: 'stop', force: false }), 'accepted');
  const reign = { generation: 5, standing: 'shared' } as const;
  bench.pass(5, { ...all, says: { ...says, role: 'promoting', ...reign } });
  assert.is(bench.state.role, 'leaving');
  const mine = { boot: 3, session: bench.state.session };
  bench.pass(5, { ...all, says: { ...says, role: 'protected', ...reign, grant: mine } });
  assert.is(bench.state.role, 'stopped', 'what the operator asked for is done');
});

test('a backup that is off the plant and silent on the log holds up no output; one that came back waits for an answer, without off-plant-waits it leads', () => {
  const { bench, says } = primary();
  const serialOnly = () => ({ paths: ['serial' as const], witness: true });
  bench.pass(60, { ...serialOnly(), says });
  assert.is(bench.state.role, 'protected', 'it may take over');
  bench.pass(5, { ...serialOnly(), says: { ...says, witness: false } });
  assert.is(bench.state.role, 'soloing');
  for (const [off, role] of [
    [[], 'backup'],
    [['off-plant-waits'], 'promoting'],
  ] as const) {
    const other = backup({}, [...off]);
    other.bench.pass(100, { ...all, witness: false, says: other.says });
    assert.is(other.bench.state.role, 'backup');
    // It goes on speaking of what it heard before: the gateway answers again, and it dies.
    const stale = other.bench.fresh(other.says);
    for (let n = 1; n <= 20; n++) {
      const statement = { ...stale, seq: stale.seq + n };
      other.bench.fire({ type: 'heard', path: 'front', statement });
      other.bench.pass(5, { witness: true });
    }
    other.bench.seq += 20;
    other.bench.pass(200, { witness: true });
    assert.is(other.bench.state.role, role);
    if (off.length > 0) continue;
    other.bench.pass(20, { ...all, says: other.says });
    other.bench.pass(200, { witness: true });
    assert.is(other.bench.state.role, 'promoting', 'the peer has answered since');
  }
});

test('a request that did not come about is not done later', () => {
  for (const asked of [
    { request: 'switch-over' },
    { request: 'maintenance', on: true },
    { request: 'stop', force: false },
  ] as const) {
    const { bench } = primary();
    assert.is(bench.request(asked), 'accepted');
    bench.pass(300, { witness: true });
    bench.fire({ type: 'persisted', record: bench.state.writing! });
    assert.is(bench.state.role, 'solo', asked.request);
    const again: Statement = { ...PEER, boot: 8, role: 'target', standing: 'behind', session: 1 };
    const { generation } = bench.state;
    bench.pass(200, { ...all, says: { ...again, generation } });
    assert.is(bench.state.role, 'source', asked.request);
    bench.fire({ type: 'sync-done', partner: { boot: 8, session: 1 } });
    bench.fire({ type: 'persisted', record: { generation, standing: 'shared' } });
    bench.pass(200, { ...all, says: { ...again, generation, role: 'backup' } });
    assert.is(bench.state.role, 'protected', asked.request);
  }
});

test('the operator vouches for a disk: a reign newer than everything known', () => {
  const bench = new Bench();
  bench.fire({ type: 'watchdog', armed: true });
  bench.fire({ type: 'loaded', boot: 1, record: { generation: 2, standing: 'behind' } });
  bench.pass(20, { ...all, says: { ...PEER, role: 'seeking', generation: 6, standing: 'behind' } });
  assert.is(bench.state.role, 'seeking');
  assert.is(bench.request({ request: 'force-lead' }), 'accepted');
  assert.is(bench.state.generation, 7);
});

test('the clock never runs backwards, and constants that contradict each other do not load', () => {
  const { bench } = backup();
  bench.nowMs -= 1;
  assert.throws(() => bench.fire({ type: 'tick' }), /backwards/);
  const bad = (change: object) => () => checkLimits({ ...DEFAULT_LIMITS, ...change });
  // The sharper set that docs/CONFIG.md offers.
  checkLimits({
    ...DEFAULT_LIMITS,
    heartbeatMs: { ...DEFAULT_LIMITS.heartbeatMs, serial: 10 },
    silentMs: { ...DEFAULT_LIMITS.silentMs, serial: 52 },
    witnessSilentMs: 50,
  });
  assert.throws(bad({ heartbeatMs: { log: 20, serial: 20, front: 5 } }), /two lost heartbeats/);
  assert.throws(bad({ stallMs: 40 }), /cannot have noticed/);
  assert.throws(bad({ petMs: 6000 }), /late pet/);
  assert.throws(bad({ watchdogTimeoutMs: 2500 }), /whole seconds/);
  assert.throws(bad({ witnessSilentMs: 100 }), /old answer/);
});

test('the function is pure: same input, same output, input untouched', () => {
  const { bench, says } = primary();
  const before = structuredClone(bench.state);
  const event: ArbiterEvent = { type: 'heard', path: 'log', statement: bench.fresh(says) };
  const one = arbitrate(bench.state, event, bench.nowMs);
  const two = arbitrate(bench.state, event, bench.nowMs);
  assert.equal(bench.state, before);
  assert.equal(one, two);
});

test.run();
