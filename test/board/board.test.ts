// A board as a process under its supervisor: it starts again after a kill and the peer is told, its
// watchdog ends a hang, the operator stops it, the command line shows it.
import { spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../firmware/board/config/load.ts';
import { ControlClient } from '../../firmware/board/control/client.ts';
import { isMain } from '../../firmware/board/event-codes.ts';
import { type BoardEvent, EventLog } from '../../firmware/board/events.ts';
import { lockStateFolder } from '../../firmware/board/state-folder.ts';
import type { Status } from '../../firmware/board/status.ts';
import { Supervised } from '../../firmware/board/supervise.ts';
import type { Statement } from '../../watchdog/arbiter-types.ts';
import { FrameReader, pathKeys } from '../../watchdog/path-frame.ts';
import { RoleRecordStore } from '../../watchdog/role-record-store.ts';
import { assert, repoPath, suite } from '../harness/index.ts';
import { until } from '../watchdog/pty.ts';
import { loneConfig, STAND_IN } from './lone-config.ts';

const test = suite('board/board');
const KEY = new Uint8Array(32).fill(3);
const CLI = repoPath('dist/firmware/cli/twinstep.js');
let folder = '';
let file = '';
let peer: Socket;
const heard: Statement[] = [];
let supervised: Supervised | null = null;
let lock: number | undefined;
const told: BoardEvent[] = [];

test.before.each(async () => {
  folder = mkdtempSync(join(tmpdir(), 'twinstep-board-'));
  file = join(folder, 'board.toml');
  writeFileSync(join(folder, 'key'), KEY, { mode: 0o600 });
  writeFileSync(join(folder, 'kernel'), '');
  heard.length = 0;
  told.length = 0;
  peer = createSocket('udp4');
  const reader = new FrameReader(pathKeys(KEY, 'b'));
  peer.on('message', (bytes) => {
    const read = reader.read(bytes);
    if (read.ok && read.kind === 'statement') heard.push(read.statement);
  });
  const port = 40_000 + (process.pid % 20_000);
  await new Promise<void>((resolve) => peer.bind(port, '127.0.0.22', resolve));
  writeFileSync(file, config(port));
  new RoleRecordStore(join(folder, 'state')).load(1_000);
  new RoleRecordStore(join(folder, 'state')).restore({ generation: 4, standing: 'sole' });
});
test.after.each(async () => {
  await supervised?.stop();
  supervised?.close();
  supervised = null;
  if (lock !== undefined) closeSync(lock);
  lock = undefined;
  peer.close();
  rmSync(folder, { recursive: true, force: true });
});

const LIMITS = ['[limits]', 'seek-ms = 1000', 'watchdog-timeout-ms = 1000', 'pet-ms = 200'];
const config = (port: number): string =>
  loneConfig({
    ...{ host: 21, port, board: ['events-file = "events.jsonl"'] },
    ...{ more: STAND_IN, guest: LIMITS },
  });

async function start(): Promise<Supervised> {
  const events = new EventLog({ wallMs: () => Date.now(), monoMs: () => performance.now() });
  events.listen((event) => told.push(event));
  const loaded = await loadConfig(file);
  lock ??= lockStateFolder(loaded.config.stateDir);
  supervised = new Supervised({
    ...loaded,
    lock,
    events,
    command: process.execPath,
    args: [repoPath('dist/test/board/fake-board.js'), file],
    stdio: 'ignore',
  });
  supervised.start();
  await until('the socket is there', () => existsSync(join(folder, 'state/control.sock')), 10_000);
  return supervised;
}

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

async function run(args: readonly string[]): Promise<Ran> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout?.on('data', (bytes) => {
    out += bytes;
  });
  child.stderr?.on('data', (bytes) => {
    err += bytes;
  });
  const [code] = await once(child, 'close');
  return { code, out, err };
}

const twinstep = (...args: string[]): Promise<Ran> => run([CLI, ...args]);

async function statusWhen(what: string, holds: (status: Status) => boolean): Promise<Status> {
  const socket = join(folder, 'state/control.sock');
  let client: ControlClient | null = null;
  // A socket of the start before may still lie there.
  await until('the board answers', () => {
    if (client === null)
      void ControlClient.open(socket).then(
        (opened) => (client = opened),
        () => {},
      );
    return client !== null;
  });
  try {
    for (const endMs = performance.now() + 8_000; performance.now() < endMs; ) {
      const status = await client!.status();
      if (holds(status)) return status;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`not in time: ${what}`);
  } finally {
    client!.close();
  }
}

const eventsInFile = (name = 'events.jsonl'): BoardEvent[] =>
  readFileSync(join(folder, name), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

test(
  'from start to ordered stop, by the command line',
  async () => {
    const board = await start();
    const { role } = await statusWhen('solo', (status) => status.role === 'solo');
    assert.is(role, 'solo');
    const shown = await twinstep('status', '--config', file);
    assert.is(shown.code, 0);
    const lines = shown.out.trimEnd().split('\n');
    assert.ok(lines.length <= 24 && lines.every((line) => line.length <= 80), shown.out);
    assert.match(lines[0]!, /^Board alone \(A\) {3}PRIMARY \(solo\) {3}RUN-Solo {3}generation 5$/);
    assert.match(lines.at(-1)!, /^Do NOT switch off alone: it serves alone/);
    const parsed: Status = JSON.parse((await twinstep('status', '--config', file, '--json')).out);
    assert.is(parsed.board.boot, 1001);
    assert.is(parsed.watchdog.armed, true);
    const refused = await twinstep('stop', '--config', file);
    assert.is(refused.code, 5);
    assert.match(refused.err, /refused: this board serves and nobody can take over/);
    assert.is((await twinstep('switch-over', '--config', file, '--json')).code, 5);
    assert.match((await twinstep('maintenance', '--config', file)).err, /say "maintenance on" or/);
    const alarms = JSON.parse((await twinstep('alarms', '--config', file, '--json')).out);
    assert.ok(Array.isArray(alarms.alarms) && Array.isArray(alarms.history));
    assert.match(
      (await twinstep('alarms', '--history', '5', '--config', file)).out,
      /History|alarms/,
    );
    assert.is((await twinstep('ack', 'NO-SUCH', '--config', file)).code, 2);
    assert.match((await twinstep('ack', 'all', '--config', file)).out, /^(acknowledged|nothing)/);
    const acked = await twinstep('ack', 'watchdog-bit', '--json', '--config', file);
    assert.equal(JSON.parse(acked.out), { ok: true, acked: 0 });
    const readSocket = join(folder, 'state/control-read.sock');
    assert.is((await twinstep('status', '--socket', readSocket)).code, 0);
    assert.match(
      (await twinstep('stop', '--force', '--socket', readSocket)).err,
      /refused: "stop" changes something, and this socket only reads/,
    );
    const listed = await twinstep('events', '--config', file);
    assert.match(listed.out, /WARNING ROLE-SOLO: solo: /);
    const stopped = await twinstep('stop', '--config', file, '--force');
    assert.is(stopped.code, 0);
    assert.match(stopped.out, /stop: done in \d+ ms/);
    assert.equal(await board.ended, { kind: 'ordered' });
    assert.equal(new RoleRecordStore(join(folder, 'state')).peek().record, {
      generation: 5,
      standing: 'sole',
    });
    assert.match((await twinstep('status', '--config', file)).err, /no board runs there/);
    assert.is((await twinstep('status', '--config', file)).code, 1);
    const codes = eventsInFile().map(({ code }) => code);
    assert.is(codes.at(0), 'BOARD-STARTED');
    assert.is(codes.at(-1), 'BOARD-STOPPED');
    const main = eventsInFile('state/events-main.jsonl').map(({ code }) => code);
    assert.equal(main, codes.filter(isMain));
    assert.ok(main.length < codes.length && main.includes('ROLE-SOLO'), main.join());
    assert.equal(told, []);
  },
  { timeoutMs: 60_000 },
);

test(
  'force-lead: done when it leads, refused with the reason where it could not',
  async () => {
    rmSync(join(folder, 'state'), { recursive: true });
    const whole = readFileSync(file, 'utf8');
    writeFileSync(
      file,
      whole.replace('kind = "stand-in"', 'kind = "device"\ndevice = "none-here"'),
    );
    let board = await start();
    await statusWhen('waits', (status) => status.role === 'seeking');
    const refused = await twinstep('force-lead', '--config', file);
    assert.is(refused.code, 5);
    assert.match(
      refused.err,
      /refused: no watchdog is armed, and the configuration forbids to lead/,
    );
    assert.match(refused.err, /none-here/);
    assert.is((await twinstep('stop', '--config', file)).code, 0);
    await board.ended;
    board.close();

    writeFileSync(file, whole);
    board = await start();
    await statusWhen('waits', (status) => status.role === 'seeking');
    const done = await twinstep('force-lead', '--config', file);
    assert.equal([done.code, done.err], [0, '']);
    assert.match(done.out, /^force-lead: done in \d+ ms$/m);
    await statusWhen('leads', (status) => status.role === 'solo');
    const again = await twinstep('force-lead', '--config', file, '--json');
    assert.equal(
      [again.code, JSON.parse(again.out)],
      [5, { ok: false, why: 'only a board that waits can be made to lead' }],
    );
  },
  { timeoutMs: 60_000 },
);

test(
  'killed: the peer is told within milliseconds, and the board starts again',
  async () => {
    const board = await start();
    await statusWhen('solo', (status) => status.role === 'solo');
    const killedMs = performance.now();
    process.kill(board.boardPid!, 'SIGKILL');
    await until('the last word', () => heard.some(({ role }) => role === 'dead'));
    assert.ok(performance.now() - killedMs < 500);
    const last = heard.find(({ role }) => role === 'dead')!;
    assert.equal([last.boot, last.generation, last.standing], [1001, 5, 'sole']);
    await until('told', () => told.some(({ code }) => code === 'BOARD-DIED'));
    await until('starts again', () => heard.some(({ boot }) => boot === 1002), 8_000);
    const { generation } = await statusWhen('solo', (status) => status.role === 'solo');
    assert.is(generation, 6);
  },
  { timeoutMs: 60_000 },
);

test(
  'hangs: the watchdog ends it, and the next start says so',
  async () => {
    const board = await start();
    await statusWhen('solo', (status) => status.role === 'solo');
    process.kill(board.boardPid!, 'SIGSTOP');
    await until('ended', () => told.some(({ code }) => code === 'BOARD-DIED'), 8_000);
    assert.is(told.find(({ code }) => code === 'BOARD-DIED')!.data.signal, 'SIGKILL');
    await until('starts again', () => heard.some(({ boot }) => boot === 1002), 8_000);
    const { watchdog } = await statusWhen('armed', (status) => status.watchdog.armed);
    assert.is(watchdog.causedLastReset, true);
  },
  { timeoutMs: 60_000 },
);

test(
  'SIGTERM ends it in order, even when it serves alone',
  async () => {
    const board = await start();
    await statusWhen('solo', (status) => status.role === 'solo');
    await board.stop();
    const codes = eventsInFile().map(({ code }) => code);
    assert.ok(codes.includes('ROLE-STOPPED') && codes.at(-1) === 'BOARD-STOPPED');
    assert.ok(!existsSync(join(folder, 'state/control.sock')));
  },
  { timeoutMs: 30_000 },
);

test(
  'a second board in the same folder is refused',
  async () => {
    await start();
    const second = await run([repoPath('dist/test/board/fake-board.js'), file]);
    assert.match(second.err, /another board uses it/);
    assert.is(second.code, 1);
  },
  { timeoutMs: 30_000 },
);

test('a configuration that cannot survive every single fault is told so when it is checked', async () => {
  const { code, out } = await twinstep('board', '--config', file, '--check');
  assert.is(code, 0);
  assert.match(
    out,
    /all is well; a pair with it is redundant, but not survived: death of the backup \(no witness/,
  );
});

test('configuration mistakes are told at once by the command, exit code 1', async () => {
  writeFileSync(file, '[board]\nnam = "x"\n');
  const found = await twinstep('board', '--config', file);
  assert.is(found.code, 1);
  assert.match(found.err, /board\.toml:2: unknown key "nam" in \[board\]; did you mean "name"\?/);
  assert.match(found.err, /\[guest\] kernel is missing/);
  assert.is((await twinstep('board')).code, 2);
});

test.run();
