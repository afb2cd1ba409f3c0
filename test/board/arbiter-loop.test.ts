// Two arbiter loops with fake replication find each other, protect, hand over, survive silence, and stop in order.
import { renameSync, rmSync } from 'node:fs';
import { DEFAULT_LIMITS } from '../../watchdog/limits.ts';
import { RoleRecordStore } from '../../watchdog/role-record-store.ts';
import { assert, suite } from '../harness/index.ts';
import { until } from '../watchdog/pty.ts';
import { type BoardInPair, nowMs, Pair } from './pair.ts';

const test = suite('board/loop');
let pair: Pair;

test.before.each(async () => {
  pair = await Pair.make();
});
test.after.each(async () => {
  await pair.end();
});

const role = (board: BoardInPair): string => board.loop?.role ?? 'off';
const roles = (): string => `${role(pair.a)} ${role(pair.b)}`;

async function becomes(wanted: string, withinMs = 8_000): Promise<number> {
  try {
    return await until(wanted, () => roles() === wanted, withinMs);
  } catch (error) {
    throw new Error(`${(error as Error).message}; is ${roles()}\n${pair.story.join('\n')}`);
  }
}

const redundant = () =>
  pair.a.loop?.status().pairState === 'RUN-Redundant' &&
  pair.b.loop?.status().pairState === 'RUN-Redundant';

/** A's disk is trusted; both start; A leads with B in step. */
async function protect(): Promise<void> {
  new RoleRecordStore(pair.a.folder).load(1_000);
  new RoleRecordStore(pair.a.folder).restore({ generation: 4, standing: 'sole' });
  await Promise.all([pair.a.start(), pair.b.start()]);
  await becomes('protected backup');
  await until('redundant', redundant);
}

/** B ends, and A goes on alone; a host that stands still just then makes A doubt, rightly, and it is tried again. */
async function stopB(): Promise<void> {
  for (let round = 1; ; round++) {
    const stalls = pair.a.stalls;
    await pair.b.stop();
    const found = await until('A is alone', () => role(pair.a) === 'solo').catch(() => null);
    if (found !== null) return;
    const stalled = pair.a.stalls > stalls;
    assert.ok(stalled && round < 4, `A is not alone\n${pair.story.slice(-40).join('\n')}`);
    await pair.b.start();
    await becomes('protected backup');
  }
}

/** It hands over and stops; a host that stands still just then has it refused or taken back, rightly, and told. */
async function stops(board: BoardInPair, before: string, after: string): Promise<void> {
  for (let round = 1; ; round++) {
    const stalls = pair.stalls;
    const answer = board.loop!.request({ request: 'stop', force: false });
    const found = answer.ok ? await becomes(after).catch((error: Error) => error) : answer;
    if (typeof found === 'number') return;
    const story = `${round}: ${JSON.stringify(answer)}\n${pair.story.slice(-60).join('\n')}`;
    assert.ok(pair.stalls > stalls && round < 4, `does not stop\n${story}`);
    await becomes(before);
    await until('redundant', redundant);
  }
}

/** A host that stands still just then makes B doubt, rightly; then the silence is tried again. */
async function fallSilent(): Promise<void> {
  for (let round = 1; ; round++) {
    const stalls = pair.b.stalls;
    pair.cutAll(true);
    pair.a.answers = false;
    const found = await until('B leads', () => role(pair.b) === 'solo', 2_000).catch(() => null);
    if (found !== null) return;
    const stalled = pair.b.stalls > stalls;
    assert.ok(stalled && round < 4, `B does not lead\n${pair.story.slice(-40).join('\n')}`);
    pair.cutAll(false);
    pair.a.answers = true;
    await becomes('protected backup');
    await until('redundant', redundant);
  }
}

test('two boards become redundant; all that the panel shows is there', async () => {
  await protect();
  assert.equal(pair.a.guest.calls, [
    'bootGuest',
    'announceGuest',
    'gate open',
    'syncSource',
    'gate acked',
    'markLog grant',
  ]);
  assert.equal(pair.b.guest.calls, ['syncTarget']);
  assert.equal(pair.a.guest.told, {
    role: 'protected',
    pairState: 'RUN-Redundant',
    boot: 1001,
    generation: 5,
    session: 0,
    grant: { boot: pair.b.loop!.status().board.boot, session: 1 },
  });
  await until('all paths talk', () => {
    const { paths } = pair.a.loop!.status();
    return Object.values(paths).every(({ state, peerHears }) => state === 'talks' && peerHears);
  });
  const status = JSON.parse(JSON.stringify(pair.b.loop!.status()));
  assert.equal(status.safeToRemove, {
    ok: true,
    why: 'the other board serves; redundancy ends until this one is back',
  });
  assert.equal(pair.a.loop!.status().safeToRemove, {
    ok: false,
    why: 'it serves: switch over first',
  });
  assert.equal(status.record, { generation: 5, standing: 'behind' });
  assert.equal(status.watchdog.armed, true);
  assert.equal(status.peer.role, 'protected');
  // Notices look at the state once a tick, so the word may come a tick after the state.
  await until('redundancy told', () => pair.b.codes.includes('REDUNDANCY-BACK'));
  assert.is(pair.twoGates, null);
});

test('a board that comes back without its state folder, or with an old one, is in step again', async () => {
  // Above every number that a clock gives today.
  const HIGH = 2_000_000_000;
  new RoleRecordStore(pair.b.folder).load(HIGH);
  await protect();
  for (const [round, lost] of [
    () => {},
    () => new RoleRecordStore(pair.b.folder).load(17),
  ].entries()) {
    await stopB();
    rmSync(pair.b.folder, { recursive: true });
    lost();
    await pair.b.start();
    await becomes('protected backup');
    await until('redundant', redundant);
    const { boot } = pair.b.loop!.status().board;
    assert.ok(boot > HIGH + round, String(boot));
    assert.is(new RoleRecordStore(pair.b.folder).peek().boot, boot);
    assert.ok(pair.b.codes.includes('START-RECOUNTED'));
  }
  assert.is(pair.twoGates, null);
});

test('a hand-over, and back: never without redundancy, the gate moves with the reign', async () => {
  await protect();
  assert.equal(pair.b.loop!.request({ request: 'switch-over' }), {
    ok: false,
    why: 'only the primary of a redundant pair can be taken over from',
  });
  const answer = pair.a.loop!.request({ request: 'switch-over' });
  assert.ok(answer.ok && !answer.done);
  await becomes('backup protected');
  const ends = () => pair.a.events.after(0).find(({ code }) => code === 'REQUEST-DONE');
  await until('its end is told', () => ends() !== undefined);
  assert.equal(ends()!.data, { request: 'switch-over', taken: answer.ok ? answer.taken : 0 });
  await until('told', () => pair.b.codes.includes('HANDOVER-DONE'));
  const { lastTakeover } = pair.b.loop!.status();
  assert.is(lastTakeover?.kind, 'hand-over');
  assert.is(lastTakeover?.timeline.silenceMs, null);
  assert.ok(pair.a.guest.calls.includes('follow'));
  await until('redundant', redundant);
  assert.ok(pair.b.loop!.request({ request: 'switch-over' }).ok);
  await becomes('protected backup');
  assert.not.ok([...pair.a.codes, ...pair.b.codes].includes('REDUNDANCY-LOST'));
  assert.is(pair.twoGates, null);
});

test('a hand-over somebody plans waits for a backup that is far behind, unless he insists', async () => {
  await protect();
  pair.a.guest.lagMs = 88_000;
  const why = 'the backup is 88.0 s behind and the guest would stand as long; ask again later';
  const loop = pair.a.loop!;
  const handingOver = [
    { request: 'switch-over' },
    { request: 'test-failover' },
    { request: 'maintenance', on: true },
    { request: 'restart' },
    { request: 'stop', force: false },
  ] as const;
  for (const asked of handingOver) assert.equal(loop.request(asked), { ok: false, why });
  assert.is(pair.a.codes.filter((code) => code === 'REQUEST-REFUSED').length, 5);
  assert.is(loop.role, 'protected');
  pair.a.guest.lagMs = 900;
  assert.ok(loop.request({ request: 'switch-over' }).ok);
  await becomes('backup protected');
  await until('redundant', redundant);
  pair.b.guest.lagMs = 88_000;
  assert.ok(pair.b.loop!.request({ request: 'stop', force: true }).ok);
});

test('what the guest lives on is lost on the primary: alarmed at once, handed over, in step when it is back', async () => {
  await protect();
  pair.a.guest.missing = 'TAP tap0 was deleted';
  await until('told', () => pair.a.codes.includes('HEALTH-BAD'), 1_000);
  assert.equal(pair.a.loop!.status().health, { ok: false, words: ['TAP tap0 was deleted'] });
  await until('told', () => pair.b.codes.includes('HANDOVER-DONE'));
  // Protected for a moment only: a peer that is not fit to lead protects nobody.
  await becomes('target solo');
  pair.a.guest.missing = null;
  await becomes('backup protected');
});

test('a lone primary that lost it serves on, and its watchdog is fed: a reset would take the guest', async () => {
  new RoleRecordStore(pair.a.folder).load(1_000);
  new RoleRecordStore(pair.a.folder).restore({ generation: 4, standing: 'sole' });
  await pair.a.start();
  await until('leads', () => role(pair.a) === 'solo', 20_000);
  pair.a.guest.missing = 'TAP tap0 was deleted';
  await until('unfit', () => !pair.a.loop!.status().health.ok, 1_000);
  const { watchdogTimeoutMs } = pair.a.config.limits;
  const lostMs = nowMs();
  await until(
    'longer than the watchdog has patience',
    () => nowMs() - lostMs > watchdogTimeoutMs * 1.5,
    60_000,
  );
  assert.is(role(pair.a), 'solo');
  assert.not.ok(pair.a.wasBitten, 'a reset would take the guest');
});

test('the primary falls silent: taken over within the silence window; back, it follows', async () => {
  await protect();
  await fallSilent();
  await until('told', () => pair.b.codes.includes('TAKEOVER-DONE'));
  const { lastTakeover, generation } = pair.b.loop!.status();
  assert.ok(generation >= 6);
  assert.is(lastTakeover?.kind, 'takeover');
  const { silenceMs, gateMs } = lastTakeover!.timeline;
  // Since the last word on whatever path; the line may have been silent for longer.
  const { log } = DEFAULT_LIMITS.silentMs;
  assert.ok(silenceMs! >= log && silenceMs! < 300, `silence ${silenceMs}`);
  assert.ok(lastTakeover!.blackoutMs! >= silenceMs! + gateMs!);
  await until('A holds', () => role(pair.a) === 'isolated');
  await until('told so', () => pair.b.codes.includes('REDUNDANCY-LOST'));
  for (const code of ['PATH-SILENT', 'WITNESS-SILENT'])
    assert.ok(pair.a.codes.includes(code), code);
  pair.cutAll(false);
  pair.a.answers = true;
  await becomes('backup protected');
  assert.ok(pair.a.guest.calls.includes('discardGuest'));
  assert.is(pair.twoGates, null);
});

test('the log link is pulled: the primary goes on alone; put back, redundant again', async () => {
  await protect();
  pair.link.isUp = false;
  await becomes('solo target');
  pair.link.isUp = true;
  await becomes('protected backup');
  assert.is(pair.twoGates, null);
});

test('maintenance: the primary hands over first, and comes back as backup', async () => {
  await protect();
  assert.ok(pair.a.loop!.request({ request: 'maintenance', on: true }).ok);
  await becomes('maintenance solo');
  assert.equal(pair.a.loop!.status().safeToRemove, {
    ok: true,
    why: 'it takes no part; the other board serves',
  });
  assert.equal(pair.b.loop!.request({ request: 'stop', force: false }), {
    ok: false,
    why: 'this board serves and nobody can take over',
  });
  assert.ok(pair.a.loop!.request({ request: 'maintenance', on: false }).ok);
  await becomes('backup protected');
});

test('sync-up is forbidden: a returned peer waits until it is allowed', async () => {
  new RoleRecordStore(pair.a.folder).load(1_000);
  new RoleRecordStore(pair.a.folder).restore({ generation: 4, standing: 'sole' });
  await pair.a.start();
  assert.ok(pair.a.loop!.request({ request: 'sync-up', allowed: false }).ok);
  await pair.b.start();
  await becomes('solo target');
  await until('a while', () => pair.a.loop!.status().sinceMs > 300);
  assert.is(roles(), 'solo target');
  assert.is(pair.a.loop!.status().sync.rateMibS, 0);
  assert.ok(pair.a.loop!.request({ request: 'sync-rate', mibS: 20 }).ok);
  assert.is(pair.a.loop!.status().sync.rateMibS, 20);
  assert.ok(pair.a.loop!.request({ request: 'sync-up', allowed: true }).ok);
  await becomes('protected backup');
});

test('a new pair waits for the operator, who may trust one disk', async () => {
  await Promise.all([pair.a.start(), pair.b.start()]);
  await until('asks', () => /operator/.test(pair.a.loop!.status().why));
  assert.match(pair.a.loop!.status().why, /force-lead/, 'what is to be entered');
  pair.a.guest.diskTrouble = 'EIO';
  await until('unfit', () => !pair.a.loop!.status().health.ok);
  const refused = pair.a.loop!.request({ request: 'force-lead' });
  assert.match(refused.ok ? '' : refused.why, /^this board is not fit to lead \(.*EIO\)$/);
  pair.a.guest.diskTrouble = null;
  await until('fit', () => pair.a.loop!.status().health.ok);
  assert.ok(pair.a.loop!.request({ request: 'force-lead' }).ok);
  await becomes('protected backup');
  assert.is(pair.a.loop!.status().why, 'in step');
  assert.not.ok(pair.a.codes.includes('RECORD-TROUBLE'), 'who is new is not doubted');
});

test('stop and start of both, one after the other: the guest goes on, the generation grows', async () => {
  await protect();
  await stops(pair.a, 'protected backup', 'stopped solo');
  await pair.a.stop();
  await pair.a.start();
  await becomes('backup protected');
  await until('redundant', redundant);
  await stops(pair.b, 'backup protected', 'solo stopped');
  await pair.b.stop();
  await pair.b.start();
  await becomes('protected backup');
  assert.is(pair.a.loop!.status().generation, 7);
  assert.is(pair.twoGates, null);
});

test('a guest that is stuck makes the board unfit: it hands over by itself', async () => {
  new RoleRecordStore(pair.a.folder).load(1_000);
  new RoleRecordStore(pair.a.folder).restore({ generation: 4, standing: 'sole' });
  const healthLimits = { loopLagMs: 1_000, vcpuStuckMs: 100, diskMs: 1_000 };
  await Promise.all([pair.a.start({ healthLimits }), pair.b.start()]);
  await becomes('protected backup');
  await until('redundant', redundant);
  pair.a.guest.isStuck = true;
  await until('B leads', () => role(pair.b) === 'protected' || role(pair.b) === 'solo');
  assert.ok(pair.a.codes.includes('HEALTH-BAD'));
  pair.a.guest.isStuck = false;
  await becomes('backup protected');
  pair.b.guest.diskTrouble = 'EIO';
  await becomes('solo target');
  assert.match(pair.b.loop!.status().health.words.join(), /EIO/);
});

test('the disk of the record fails: unfit while it does, nothing is believed to be written', async () => {
  await protect();
  renameSync(pair.b.folder, `${pair.b.folder}.away`);
  assert.ok(pair.a.loop!.request({ request: 'switch-over' }).ok);
  await until('told', () => pair.b.codes.includes('RECORD-FAILED'));
  await until('unfit', () => pair.b.codes.includes('HEALTH-BAD'));
  assert.is(pair.b.guest.gateIs, 'closed', 'no gate before the record');
  renameSync(`${pair.b.folder}.away`, pair.b.folder);
  await until('fit again', () => pair.b.codes.includes('HEALTH-WELL'));
  await until('redundant', redundant, 8_000);
  assert.is(pair.twoGates, null);
});

test('no watchdog to rely on: it does not lead; named in the configuration, it does', async () => {
  new RoleRecordStore(pair.a.folder).load(1_000);
  new RoleRecordStore(pair.a.folder).restore({ generation: 4, standing: 'sole' });
  const refusing = {
    arm: () => Promise.resolve({ ok: false, why: 'no driver' } as const),
    pet: () => {},
    close: () => Promise.resolve(),
  };
  await pair.a.start({ watchdog: refusing });
  await until('says so', () => /watchdog/.test(pair.a.loop!.status().why), 8_000);
  assert.equal(pair.a.loop!.status().watchdog.why, 'no driver');
  assert.equal(pair.a.loop!.request({ request: 'force-lead' }), {
    ok: false,
    why: 'no watchdog is armed, and the configuration forbids to lead without one (no driver)',
  });
  assert.ok(pair.a.codes.includes('REQUEST-REFUSED'));
  await pair.a.stop();
  await pair.a.start({ watchdog: null });
  await until('leads', () => role(pair.a) === 'solo');
});

test('a watchdog left to bite that does not is noticed', async () => {
  const deaf = {
    arm: () =>
      Promise.resolve({
        ok: true,
        facts: { identity: 'deaf', timeoutMs: -1_900, causedLastReset: true, magicClose: true },
      } as const),
    pet: () => {},
    close: () => Promise.resolve(),
  };
  new RoleRecordStore(pair.a.folder).load(1_000);
  new RoleRecordStore(pair.a.folder).restore({ generation: 4, standing: 'sole' });
  await Promise.all([pair.a.start({ watchdog: deaf }), pair.b.start()]);
  await becomes('protected backup');
  await until('redundant', redundant);
  assert.ok(pair.a.loop!.request({ request: 'test-failover' }).ok);
  await until('noticed', () => pair.a.mute !== null);
  assert.ok(pair.a.codes.includes('WATCHDOG-MUTE') && pair.a.codes.includes('WATCHDOG-BIT'));
});

test.run();
