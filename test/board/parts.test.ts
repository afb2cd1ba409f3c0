// Small parts of a board, each by itself: the timeline of a takeover, the tick, the watchdog's owner,
// whether a board may be switched off, the screen of a status.

import { spawnSync } from 'node:child_process';
import { safeToRemove } from '../../firmware/board/service-rules.ts';
import type { Status } from '../../firmware/board/status.ts';
import { TakeoverTimeline } from '../../firmware/board/takeover-timeline.ts';
import { Ticker } from '../../firmware/board/ticker.ts';
import { span, statusLines } from '../../firmware/console/status-screen.ts';
import { initialState } from '../../watchdog/arbiter.ts';
import { type ArbiterState, ROLES, type Statement } from '../../watchdog/arbiter-types.ts';
import { DEFAULT_LIMITS } from '../../watchdog/limits.ts';
import { lastGaspOf } from '../../watchdog/statement-wire.ts';
import { WatchdogGuard } from '../../watchdog/watchdog-guard.ts';
import type { Armed, Watchdog } from '../../watchdog/wdt-device.ts';
import { assert, repoPath, suite } from '../harness/index.ts';
import { until } from '../watchdog/pty.ts';

const test = suite('board/parts');

test('a takeover: complete when the first output is out, or an idle guest has been waited for', () => {
  const record = new TakeoverTimeline();
  assert.is(record.status, null);
  const decision = { cause: 'silence', kind: 'takeover', generation: 6, wallMs: 1 } as const;
  record.decided({ ...decision, decidedMs: 1_000, silenceMs: 46 });
  assert.is(record.status?.blackoutMs, null);
  record.gateOpened(1_007);
  record.gateOpened(1_400);
  const live = { cause: '', drainedMs: 2, liveMs: 12, firstOutputMs: null };
  record.replicationSays({ ...live, generation: 5 });
  assert.is(record.status?.timeline.liveMs, null, 'of another reign');
  record.replicationSays({ ...live, generation: 6 });
  assert.equal(record.status, {
    ...decision,
    timeline: { silenceMs: 46, gateMs: 7, drainedMs: 2, liveMs: 12, firstOutputMs: null },
    blackoutMs: 58,
  });
  assert.is(record.isComplete(1_100), false);
  record.replicationSays({ ...live, generation: 6, firstOutputMs: 15 });
  assert.is(record.isComplete(1_100), true);
  assert.is(record.isComplete(1_100), false, 'told once');
  record.decided({ ...decision, kind: 'takeover', decidedMs: 2_000, silenceMs: null });
  assert.is(record.isComplete(9_000), false, 'the gate is not open yet');
  record.gateOpened(2_020);
  record.replicationSays({ ...live, liveMs: null, generation: 6 });
  assert.is(record.isComplete(9_000), false, 'it still replays: nobody is served');
  record.replicationSays({ ...live, generation: 6 });
  assert.is(record.isComplete(3_019), false);
  assert.is(record.isComplete(3_020), true);
  assert.is(record.status?.blackoutMs, 20, 'no silence came before it');
});

test('the tick keeps its pace, does not catch up, and counts what came late', async () => {
  const at: number[] = [];
  const ticker = new Ticker(
    5,
    () => performance.now(),
    (nowMs) => {
      at.push(nowMs);
      // Once, far too long.
      if (at.length === 10) for (const endMs = performance.now() + 60; performance.now() < endMs; );
    },
  );
  ticker.start();
  await until('forty ticks', () => at.length >= 40);
  ticker.stop();
  const gaps = at.slice(1).map((ms, n) => ms - at[n]!);
  assert.ok(Math.min(...gaps) > 0.4, 'never two at once');
  assert.ok(ticker.counters.late >= 1 && ticker.counters.worstLateMs >= 50);
  const before = at.length;
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.is(at.length, before, 'stopped');
});

function dogThat(answers: Armed[]): { dog: Watchdog; calls: string[] } {
  const calls: string[] = [];
  const dog = {
    arm: () => {
      calls.push('arm');
      return Promise.resolve(answers.length > 1 ? answers.shift()! : answers[0]!);
    },
    pet: () => void calls.push('pet'),
    close: () => Promise.resolve(void calls.push('close')),
  };
  return { dog, calls };
}

test('the watchdog: tried again until it can be had, told once, found out when it does not bite', async () => {
  const facts = { identity: 'x', timeoutMs: 1_000, causedLastReset: null, magicClose: true };
  const no = { ok: false, why: 'busy' } as const;
  const { dog, calls } = dogThat([no, no, { ok: true, facts }]);
  const told: string[] = [];
  const owner = new WatchdogGuard(dog, {
    armed: () => told.push('armed'),
    refused: (why) => told.push(why),
    lost: (why) => told.push(`lost: ${why}`),
    mute: () => told.push('mute'),
  });
  await owner.arm(0);
  owner.tick(1_000);
  assert.is(calls.length, 1, 'not yet');
  owner.tick(6_000);
  await until('tried', () => calls.length === 2);
  await until('no', () => owner.status.why === 'busy');
  owner.tick(12_000);
  await until('armed', () => owner.status.armed);
  assert.equal(told, ['busy', 'armed']);
  owner.leaveToBite(20_000);
  owner.tick(23_000);
  assert.is(told.length, 2);
  owner.tick(23_001);
  assert.is(told.at(-1), 'mute');
  await owner.close();
  owner.tick(99_000);
  assert.is(told.length, 3);
  const none = new WatchdogGuard(null, {
    armed: () => {},
    refused: () => {},
    lost: () => {},
    mute: () => told.push('none'),
  });
  none.leaveToBite(5);
  none.tick(6);
  assert.is(told.at(-1), 'none', 'nothing else will end this board');
});

test('a watchdog that can be fed no more is told, is no reason to die, and is armed again', async () => {
  const facts = { identity: 'x', timeoutMs: 1_000, causedLastReset: null, magicClose: true };
  const { dog } = dogThat([
    { ok: true, facts },
    { ok: true, facts },
  ]);
  let isGone = false;
  const pet = () => {
    if (isGone) throw new Error('no such device');
  };
  const told: string[] = [];
  const owner = new WatchdogGuard(
    { ...dog, pet },
    {
      armed: () => told.push('armed'),
      refused: (why) => told.push(why),
      lost: (why) => told.push(`lost: ${why}`),
      mute: () => told.push('mute'),
    },
  );
  await owner.arm(0);
  owner.pet();
  isGone = true;
  owner.pet();
  assert.equal(told, ['armed', 'lost: no such device']);
  assert.equal([owner.status.armed, owner.status.why], [false, 'no such device']);
  owner.tick(6_000);
  await until('armed again', () => owner.status.armed);
});

function stateIn(role: ArbiterState['role'], peer: Statement | null): ArbiterState {
  const config = { id: 'a', limits: DEFAULT_LIMITS, witness: 'gateway' } as const;
  const state = initialState({ ...config, allowNoWatchdog: false, syncAllowed: true }, 0);
  const heardMs = { ...state.heardMs, front: peer === null ? Number.NEGATIVE_INFINITY : 1_000 };
  return { ...state, role, peer, heardMs };
}

test('switching off: never a board that serves, never one whose peer is not heard to serve', () => {
  const serving = { ...lastGaspOf(1, { generation: 1, standing: 'sole' }), role: 'solo' } as const;
  const safeWith = ROLES.filter((role) => safeToRemove(stateIn(role, serving), 1_010).ok);
  assert.equal(safeWith, [
    'cold',
    'seeking',
    'target',
    'backup',
    'fenced',
    'maintenance',
    'stopped',
  ]);
  const longAgo = ROLES.filter((role) => safeToRemove(stateIn(role, serving), 9_000).ok);
  assert.equal(longAgo, ['stopped']);
  const dead = { ...serving, role: 'dead' } as const;
  for (const peer of [null, dead, { ...serving, role: 'target' } as const])
    assert.equal(
      ROLES.filter((role) => safeToRemove(stateIn(role, peer), 1_010).ok),
      ['stopped'],
    );
});

test('going first: every thread there is, none that comes later, also inside a process namespace', () => {
  const script = `
    import { readdirSync, readFileSync } from 'node:fs';
    import { Worker } from 'node:worker_threads';
    import { raiseAllPriorities } from '${repoPath('dist/firmware/board/thread-priority.js')}';
    const policies = () => readdirSync('/proc/self/task').map((tid) =>
      readFileSync('/proc/self/task/' + tid + '/sched', 'utf8').match(/^policy.*?(\\d+)$/m)[1]);
    const why = raiseAllPriorities();
    const before = policies();
    const worker = new Worker('setInterval(() => {}, 1000)', { eval: true });
    worker.once('online', () => {
      console.log(JSON.stringify({ why, before, later: policies().filter((p) => p === '0').length }));
      process.exit(0);
    });`;
  const node = [process.execPath, '--input-type=module', '--eval', script];
  for (const command of [node, ['unshare', '--pid', '--fork', ...node]]) {
    const { stdout, stderr } = spawnSync(command[0]!, command.slice(1), { encoding: 'utf8' });
    assert.ok(stdout !== '', stderr);
    const { why, before, later } = JSON.parse(stdout);
    // Without the right to it a board says so and runs all the same.
    if (/not permitted/.test(why)) continue;
    assert.is(why, null);
    // 2 is SCHED_RR, with the bit that keeps it from being handed on.
    assert.ok(before.length > 4 && before.every((policy: string) => policy === '2'), `${before}`);
    assert.ok(later >= 1);
  }
});

test('the screen holds whatever there is to say', () => {
  const long = 'x'.repeat(200);
  const path = {
    state: 'silent',
    heardMs: 9,
    peerHears: false,
    sent: 1,
    accepted: 2,
    rejected: 9e9,
  };
  const status = {
    board: { name: long, side: 'b' },
    role: 'isolated',
    pairState: 'RUN-Redundant',
    redundancy: { words: `${long} ${long}`, faults: [{ survived: false }] },
    why: `${long} ${long}`,
    sinceMs: 9e9,
    generation: 4e9,
    record: { generation: 4e9, standing: 'unknown' },
    safeToRemove: { ok: false, why: long },
    paths: { log: path, serial: path, front: path },
    witness: { kind: 'gateway', address: '1.2.3.4', answers: false, trouble: long },
    watchdog: { kind: 'device', armed: false, why: long },
    health: { ok: false, words: [long, long] },
    lagMs: 1e6,
    logKbps: 1e6,
    gate: { mode: 'closed', waiting: 1e6, oldestMs: 1e6 },
    link: { up: true, rttUs: 1e6, frameBytes: 9000, paths: [] },
    sync: { phase: 'refused', refusals: [long, long], percent: 0, etaS: 1e9, isAllowed: false },
    lastTakeover: { kind: 'takeover', blackoutMs: 1e9, cause: long, wallMs: 1 },
    guest: {
      state: 'leading',
      position: '18446744073709551615',
      icount: '18446744073709551615',
      virtualNs: '9'.repeat(18),
      lives: 9e9,
      clock: { offMs: -9e9, worstMs: -9e9, peerErrorMs: null },
    },
    disks: [
      { path: long, trouble: long },
      { path: long, trouble: long },
      { path: long, trouble: long },
    ],
    peer: { role: 'protected', generation: 1, standing: 'shared', isHeard: false, ready: false },
    scada: { isReached: false, unreachedMs: 9e9, why: long, tellers: [] },
    clock: null,
    alarms: [],
    lastEvent: { wallMs: 1, code: 'ROLE-ISOLATED', severity: 'critical', text: long },
  } as unknown as Status;
  const lines = statusLines(status);
  assert.ok(lines.length <= 24, `${lines.length} lines`);
  assert.ok(lines.every((line) => line.length <= 80));
  assert.equal([59e3, 61e3, 3_661e3, 90_000e3].map(span), [
    '59 s',
    '1 min 1 s',
    '1 h 1 min',
    '1 d 1 h',
  ]);
});

test.run();
