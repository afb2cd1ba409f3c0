// A configuration on trial, with real processes: it goes at its time while the board runs, and before the
// board reads it at its start; a board starts anew when asked and says which configuration it runs.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeAbout, encodeAbout } from '../../firmware/board/about.ts';
import { loadConfig } from '../../firmware/board/config/load.ts';
import { ConfigStore, now } from '../../firmware/board/config/store.ts';
import { hashOf } from '../../firmware/board/config/versions.ts';
import { ControlClient } from '../../firmware/board/control/client.ts';
import { type BoardEvent, EventLog } from '../../firmware/board/events.ts';
import { mayRestart } from '../../firmware/board/service-rules.ts';
import { lockStateFolder } from '../../firmware/board/state-folder.ts';
import type { Status } from '../../firmware/board/status.ts';
import { Supervised } from '../../firmware/board/supervise.ts';
import { assert, repoPath, seededRandom, suite } from '../harness/index.ts';
import { until } from '../watchdog/pty.ts';
import { healthyStatus } from './alarms/statuses.ts';
import { loneConfig, STAND_IN } from './lone-config.ts';

const test = suite('board/trial');
const SOON_MS = 20_000;
const LONG = { timeoutMs: 60_000 };
let folder = '';
let file = '';
let supervised: Supervised | null = null;
let lock: number | undefined;

const PORT = 30_000 + (process.pid % 20_000);
const OLD = `# kept${loneConfig({ host: 31, port: PORT, more: STAND_IN })}`;
const NEW = OLD.replace('"alone"', '"renamed"');

test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'twinstep-trial-'));
  file = join(folder, 'board.toml');
  writeFileSync(join(folder, 'key'), new Uint8Array(32).fill(3), { mode: 0o600 });
  writeFileSync(join(folder, 'kernel'), '');
  writeFileSync(file, OLD);
});
test.after.each(async () => {
  await supervised?.stop();
  supervised?.close();
  supervised = null;
  if (lock !== undefined) closeSync(lock);
  lock = undefined;
  rmSync(folder, { recursive: true, force: true });
});

/** As if it had been committed a while ago. */
function onTrial(leftMs: number): void {
  const clock = now();
  const agoMs = 60_000 - leftMs;
  const then = { ...clock, wallMs: clock.wallMs - agoMs, bootMs: clock.bootMs - agoMs };
  new ConfigStore(file).commit({ text: NEW, by: 'eva', minutes: 1 }, OLD, then);
}

async function start(): Promise<Supervised> {
  const loaded = await loadConfig(file);
  lock ??= lockStateFolder(loaded.config.stateDir);
  supervised = new Supervised({
    ...loaded,
    lock,
    events: new EventLog({ wallMs: () => Date.now(), monoMs: () => performance.now() }),
    command: process.execPath,
    args: [repoPath('dist/test/board/fake-board.js'), file],
    stdio: 'ignore',
  });
  supervised.start();
  return supervised;
}

async function connected(): Promise<ControlClient> {
  const endMs = performance.now() + SOON_MS;
  for (;;) {
    try {
      return await ControlClient.open(join(folder, 'state/control.sock'));
    } catch (error) {
      if (performance.now() > endMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

test(
  'nobody confirms: the file returns at its time, and the board starts anew with it',
  async () => {
    onTrial(4_000);
    const board = await start();
    const client = await connected();
    const events: BoardEvent[] = [];
    let status: Status | null = null;
    client.onTold = (told) => {
      if (told.event !== undefined) events.push(told.event);
      if (told.status !== undefined) status = told.status;
    };
    await client.ask({ do: 'subscribe', after: 0, statusEveryMs: 50 });
    await until(
      'the status tells of the trial',
      () => status?.config?.trial?.by === 'eva',
      SOON_MS,
    );
    assert.is((status as Status | null)?.config?.running.hash, hashOf(NEW));
    assert.is((await board.ended).kind, 'restart');
    const codes = events.map(({ code }) => code as string);
    for (const code of ['CONFIG-TRIAL', 'CONFIG-RETURNED', 'RESTART-ASKED'])
      assert.ok(codes.includes(code), `${code}: ${codes.join(' ')}`);
    assert.is(readFileSync(file, 'utf8'), OLD, 'byte for byte');
    client.close();
    board.close();
    const again = await start();
    const next = await connected();
    assert.is((await next.status()).board.name, 'alone');
    next.close();
    await again.stop();
  },
  LONG,
);

test('a board starts anew only where the guest does not stop by it', () => {
  const healthy = healthyStatus();
  const may = (change: Partial<Status>) => mayRestart({ ...healthy, ...change });
  const no = { ok: false, why: '' };
  assert.ok(may({}), 'the primary of a redundant pair hands over');
  assert.not.ok(may({ pairState: 'RUN-Solo', role: 'solo', safeToRemove: no }));
  for (const pairState of ['RUN-Solo', 'SYNCUP', 'STOP', 'STARTUP'] as const)
    assert.not.ok(may({ pairState }), pairState);
  for (const role of ['source', 'granting', 'isolated', 'promoting', 'leaving'] as const)
    assert.not.ok(may({ role, safeToRemove: no }), role);
  assert.ok(may({ role: 'backup', safeToRemove: { ok: true, why: '' } }));
  const guest = { ...healthy.guest, state: 'none' } as const;
  assert.ok(may({ role: 'seeking', safeToRemove: no, guest }));
});

test('what the peer says of itself: whatever comes, it is read or it is none', () => {
  const random = seededRandom();
  const about = { ...healthyStatus().config!.running, name: 'press-7-b', firmware: '0.1.0' };
  const bytes = encodeAbout(about);
  assert.equal(decodeAbout(bytes), about);
  for (let n = 0; n < 2_000; n++) {
    const changed = bytes.slice(0, random.chance(0.5) ? random.int(bytes.length) : bytes.length);
    if (changed.length > 0) changed[random.int(changed.length)]! ^= 1 + random.int(255);
    const read = decodeAbout(random.chance(0.3) ? random.bytes(random.int(200)) : changed);
    assert.ok(read === null || /^[ -~]*$/.test(read.name + read.firmware + read.hash));
  }
  assert.is(decodeAbout(encodeAbout({ ...about, name: '\x1b[2J' })), null);
  assert.is(decodeAbout(encodeAbout({ ...about, changedMs: 9e15 })), null);
});

test(
  'confirmed in time: it stays; a board starts anew when asked',
  async () => {
    onTrial(3_000);
    const board = await start();
    assert.ok(new ConfigStore(file).confirm());
    const client = await connected();
    const answer = await client.ask({ do: 'restart' });
    assert.ok(answer.ok && answer.taken! > 0);
    assert.is((await board.ended).kind, 'restart');
    assert.is(readFileSync(file, 'utf8'), NEW);
    assert.is(new ConfigStore(file).settle().returned, null);
    client.close();
  },
  LONG,
);

test(
  'a board does not end for a configuration it could not start with again',
  async () => {
    await start();
    const client = await connected();
    writeFileSync(file, `${OLD}frobnicate = 1\n`);
    const answer = await client.ask({ do: 'restart' });
    assert.match(
      answer.ok ? '' : answer.why,
      /^its configuration is wrong: .*board\.toml:\d+: unknown key "frobnicate"/,
    );
    const events = await client.ask({ do: 'events' });
    const codes = events.ok ? (events.events ?? []).map(({ code }) => code) : [];
    assert.ok(codes.includes('REQUEST-REFUSED') && !codes.includes('RESTART-ASKED'));
    writeFileSync(file, NEW);
    assert.ok((await client.ask({ do: 'restart' })).ok);
    await client.ended;
  },
  LONG,
);

test(
  'the machine was off meanwhile: the board returns to the one before ere it reads it',
  async () => {
    const clock = now();
    // Another start of the machine: the wall clock counts. And one with which no board could start.
    const then = { wallMs: clock.wallMs - 61_000, bootId: 'before', bootMs: 1e9 };
    const broken = NEW.replace('kernel = "kernel"', 'kernel = "gone"');
    new ConfigStore(file).commit({ text: broken, by: 'eva', minutes: 1 }, OLD, then);
    const cli = repoPath('dist/firmware/cli/twinstep.js');
    const child = spawn(process.execPath, [cli, 'board', '--config', file], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let out = '';
    child.stdout.on('data', (bytes) => {
      out += bytes;
    });
    await until('it tells of it', () => out.includes('CONFIG-RETURNED'), SOON_MS);
    assert.is(readFileSync(file, 'utf8'), OLD);
    const exit = once(child, 'exit');
    child.kill('SIGTERM');
    await exit;
  },
  LONG,
);

test.run();
