// Health verdict, the hardware watchdog behind a fake driver and against real files, the stand-in
// that really kills, and the supervisor with its last gasp.
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { watchdog } from '../../native/index.ts';
import { BenchWatchdog } from '../../watchdog/bench-watchdog.ts';
import { type BoardWord, BoardWordReader, encodeBoardWord } from '../../watchdog/board-word.ts';
import { DEFAULT_HEALTH_LIMITS, Health, healthLimitsFor } from '../../watchdog/health.ts';
import { DEFAULT_LIMITS } from '../../watchdog/limits.ts';
import { FrameReader, pathKeys } from '../../watchdog/path-frame.ts';
import { RoleRecordStore } from '../../watchdog/role-record-store.ts';
import {
  DEFAULT_RESTARTS,
  type Death,
  restartDelayMs,
  Supervisor,
} from '../../watchdog/supervisor.ts';
import { type WdtCalls, WdtDevice } from '../../watchdog/wdt-device.ts';
import { assert, repoPath, seededRandom, suite } from '../harness/index.ts';
import { until } from './pty.ts';

const test = suite('watchdog/watchdog');
let folder = '';
test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'twinstep-dog-'));
});
/** What a test started, ended whatever becomes of the test: an orphan would hold the runner's pipes. */
const started: Supervisor[] = [];
test.after.each(async () => {
  for (const supervisor of started.splice(0)) await supervisor.stop();
  rmSync(folder, { recursive: true, force: true });
});

// --- health --------------------------------------------------------------------------------------

test('health: what hangs is not alive; what is missing, or fails with an error, is unfit and alive', () => {
  const { loopLagMs, vcpuStuckMs, diskMs } = DEFAULT_HEALTH_LIMITS;
  const fails: readonly (readonly [boolean, (health: Health) => void])[] = [
    [true, (health) => health.resource('TAP tap0 was deleted')],
    [true, (health) => health.diskEnds('EIO')],
    [true, (health) => health.channel('no card')],
    [false, (health) => health.diskBegins(100_000 - diskMs - 1)],
    [false, (health) => health.loop(100_000 + loopLagMs + 10, 5)],
    [false, (health) => health.vcpu(1n, true, 100_000 - vcpuStuckMs - 1)],
  ];
  for (const [isAlive, fail] of fails) {
    const health = new Health(DEFAULT_HEALTH_LIMITS, 100_000);
    fail(health);
    if (String(fail).includes('vcpu')) health.vcpu(1n, true, 100_000);
    assert.not.ok(health.verdict(100_000).ok, String(fail));
    assert.is(health.isAlive(100_000), isAlive, String(fail));
  }
});

test('health: each probe fails by itself, says why in words, and recovers', () => {
  const { loopLagMs, vcpuStuckMs, diskMs } = DEFAULT_HEALTH_LIMITS;
  const health = new Health(DEFAULT_HEALTH_LIMITS, 0);
  const at = (nowMs: number) => health.verdict(nowMs);
  assert.equal(at(0), { ok: true, bits: 0, words: [] });
  health.loop(loopLagMs + 10, 5);
  assert.match(at(loopLagMs + 10).words.join(), /event loop/);
  health.loop(loopLagMs + 15, 5);
  assert.ok(at(loopLagMs + 15).ok);
  health.vcpu(5n, true, 2000);
  health.vcpu(5n, true, 2000 + vcpuStuckMs);
  assert.ok(at(2000 + vcpuStuckMs).ok);
  assert.is(at(2001 + vcpuStuckMs).bits, 0b0010);
  health.vcpu(5n, false, 5000);
  assert.ok(at(90_000).ok, 'a vCPU that waits is not stuck');
  health.vcpu(5n, true, 90_000);
  assert.ok(at(90_000 + vcpuStuckMs).ok, 'counted from when it runs again');
  health.vcpu(6n, false, 95_000);
  health.diskBegins(100_000);
  health.diskBegins(103_000);
  assert.ok(at(100_000 + diskMs).ok);
  assert.is(at(100_001 + diskMs).bits, 0b1000);
  health.diskEnds('EIO');
  assert.match(at(100_000).words.join(), /EIO/);
  health.diskEnds(null);
  health.channel('eth1 is gone');
  assert.is(at(100_000).bits, 0b0100);
  health.channel(null);
  assert.ok(at(100_000).ok);
});

// --- the device ----------------------------------------------------------------------------------

interface FakeDriver {
  options: number;
  takes: (seconds: number) => number;
  timeout: number;
  bootStatus: number | Error;
  openError: string | null;
}

function fakeDevice(change: Partial<FakeDriver>): { device: WdtDevice; calls: string[] } {
  const driver: FakeDriver = {
    options: 0x8180 | 0x20,
    takes: (seconds) => seconds,
    timeout: 60,
    bootStatus: 0,
    openError: null,
    ...change,
  };
  const calls: string[] = [];
  const fake: WdtCalls = {
    open: (path) => {
      if (driver.openError !== null) {
        throw Object.assign(new Error(driver.openError), { code: driver.openError });
      }
      calls.push(`open ${path}`);
      return 7;
    },
    write: (_fd, text) => void calls.push(`write ${text}`),
    close: () => void calls.push('close'),
    support: () => ({ options: driver.options, identity: 'i6300ESB timer' }),
    bootStatus: () => {
      if (driver.bootStatus instanceof Error) throw driver.bootStatus;
      return driver.bootStatus;
    },
    timeoutSeconds: () => driver.timeout,
    setTimeoutSeconds: (_fd, seconds) => {
      driver.timeout = driver.takes(seconds);
      calls.push(`timeout ${seconds}`);
      return driver.timeout;
    },
    keepAlive: () => calls.push('pet'),
  };
  const options = { path: '/dev/watchdog', timeoutMs: 10_000, petMs: 1_000, calls: fake };
  return { device: new WdtDevice(options), calls };
}

test('arming sets the timeout, reads it back, and says who caused the last reset', async () => {
  for (const [bootStatus, caused] of [
    [0, false],
    [0x20, true],
    [new Error('ENOTTY'), null],
  ] as const) {
    const { device, calls } = fakeDevice({ bootStatus });
    const armed = await device.arm();
    assert.ok(armed.ok);
    if (armed.ok) {
      assert.equal(armed.facts, {
        identity: 'i6300ESB timer',
        timeoutMs: 10_000,
        causedLastReset: caused,
        magicClose: true,
      });
    }
    device.pet();
    await device.close();
    device.pet();
    assert.equal(calls, ['open /dev/watchdog', 'timeout 10', 'pet', 'write V', 'close']);
  }
  const old = await fakeDevice({ options: 0x8180 }).device.arm();
  assert.is(old.ok && old.facts.causedLastReset, null, 'a driver that cannot say');
  const shy = await fakeDevice({ options: 0x80 | 0x100, bootStatus: 0x20 }).device.arm();
  assert.is(shy.ok && shy.facts.causedLastReset, true, 'a driver that says it unannounced');
});

test('a device that will not do is refused in words and closed in order', async () => {
  const refused = async (change: Partial<FakeDriver>): Promise<string> => {
    const { device, calls } = fakeDevice(change);
    const armed = await device.arm();
    if (change.openError === undefined) assert.equal(calls.slice(-2), ['write V', 'close']);
    return armed.ok ? 'armed' : armed.why;
  };
  assert.match(await refused({ openError: 'ENOENT' }), /does not exist/);
  assert.match(await refused({ openError: 'EBUSY' }), /held by another process/);
  assert.match(await refused({ openError: 'EACCES' }), /cannot be opened/);
  assert.match(await refused({ takes: () => 60 }), /insists on 60000 ms/);
  assert.match(await refused({ takes: () => 1 }), /too short/);
  assert.match(await refused({ options: 0x8580 }), /only alarms/);
  assert.match(
    await refused({ options: 0x8000 }),
    /insists on 60000 ms/,
    'cannot be set, too long',
  );
  assert.is(await refused({ options: 0x8000, timeout: 15 }).catch(() => 'armed'), 'armed');
});

test('the real calls: errno by name, on a file that is no watchdog and on none', async () => {
  const path = join(folder, 'plain');
  writeFileSync(path, '');
  const plain = await new WdtDevice({ path, timeoutMs: 10_000, petMs: 1_000 }).arm();
  assert.match(plain.ok ? '' : plain.why, /no watchdog: WDIOC_GETSUPPORT: Inappropriate ioctl/);
  assert.is(readFileSync(path, 'utf8'), 'V', 'closed in order even so');
  const none = await new WdtDevice({
    path: join(folder, 'none'),
    timeoutMs: 10_000,
    petMs: 1_000,
  }).arm();
  assert.match(none.ok ? '' : none.why, /does not exist/);
  const fd = openSync(path, 'r');
  for (const call of ['support', 'bootStatus', 'timeoutSeconds', 'keepAlive'] as const) {
    let code: unknown;
    try {
      watchdog[call](fd);
    } catch (error) {
      code = (error as NodeJS.ErrnoException).code;
    }
    assert.is(code, 'ENOTTY', call);
  }
  closeSync(fd);
  assert.throws(() => watchdog.support('x' as never), /must be a number/);
  assert.throws(() => watchdog.arpOpen('no-such-if'), /No such device/);
  assert.throws(() => watchdog.arpAnswers(0, Buffer.alloc(3), Buffer.alloc(6)), /4 bytes/);
  assert.throws(() => watchdog.arpAnswers(0, Buffer.alloc(4), Buffer.alloc(5)), /6 bytes/);
  const uptimeMs = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1000;
  assert.ok(Math.abs(watchdog.bootClockMs() - uptimeMs) < 1000, 'the clock of boot, in ms');
});

// --- the stand-in --------------------------------------------------------------------------------

const DOG_MS = 400;

/** Runs a bench board to its end in a process group of its own. */
async function board(mode: string, statusFile: string) {
  const script = repoPath('dist/test/watchdog/bench-board.js');
  const child = spawn(process.execPath, [script, mode, statusFile, String(DOG_MS)], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  let armedMs = 0;
  child.stdout.on('data', (bytes) => {
    if (out === '') armedMs = performance.now();
    out += bytes;
  });
  const signal = await new Promise<string | null>((resolve) =>
    child.once('close', (_code, by) => resolve(by)),
  );
  const [first = '{}', second = '{}'] = out.trim().split('\n');
  const lived = performance.now() - armedMs;
  return { signal, lived, ...JSON.parse(first), ...JSON.parse(second) } as {
    signal: string | null;
    lived: number;
    caused: boolean;
    dog: number;
    pets?: number;
  };
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test(
  'a healthy board is petted, lives, and an ordered stop disarms',
  async () => {
    const { signal, caused, dog, pets = 0 } = await board('healthy', join(folder, 'status'));
    assert.is(signal, null);
    assert.is(caused, false);
    assert.ok(pets > 10, `${pets} pets`);
    await until('the stand-in is gone', () => !alive(dog));
  },
  { timeoutMs: 20_000 },
);

for (const mode of ['stuck-vcpu', 'blocked-loop', 'dead-disk']) {
  test(
    `${mode}: no pet, a real kill, and the next start knows who did it`,
    async () => {
      const status = join(folder, 'status');
      const died = await board(mode, status);
      assert.is(died.signal, 'SIGKILL');
      assert.ok(died.lived > 300 && died.lived < 300 + 150 + DOG_MS + 500, `${died.lived} ms`);
      const next = await board('healthy', status);
      assert.is(next.caused, true);
    },
    { timeoutMs: 20_000 },
  );
}

test('the stand-in kills nobody but the group it was given', () => {
  for (const group of [0, 1, -5, 1.5, Number.NaN]) {
    assert.throws(
      () => new BenchWatchdog({ group, timeoutMs: 1000, statusFile: 'x' }),
      /not a group/,
    );
  }
});

// --- the supervisor ------------------------------------------------------------------------------

test('restarts come slower each time, and end', () => {
  const delays = Array.from({ length: 10 }, (_, n) => restartDelayMs(DEFAULT_RESTARTS, n + 1));
  assert.equal(delays, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, null, null]);
});

/** A board with a guest's memory, a record and a sentinel, that waits to be killed. */
function boardScript(store: string, guestMib: number): string[] {
  const url = (path: string) => JSON.stringify(pathToFileURL(repoPath(`dist/${path}`)).href);
  const script = `
    const { writeFileSync, writeSync } = await import('node:fs');
    const { encodeBoardWord } = await import(${url('watchdog/board-word.js')});
    const { RoleRecordStore } = await import(${url('watchdog/role-record-store.js')});
    const { GuestMemory, watchdog } = await import(${url('native/index.js')});
    const memory = new GuestMemory({ bytes: ${guestMib} * 2 ** 20 });
    new Uint8Array(memory.buffer).fill(1);
    watchdog.startSentinel(3);
    const store = new RoleRecordStore(${JSON.stringify(store)});
    const { boot } = store.load(1000);
    const record = { generation: 3, standing: 'shared' };
    store.write(record);
    writeSync(4, encodeBoardWord({ word: 'up' }) + encodeBoardWord({ word: 'record', boot, record }));
    writeFileSync(${JSON.stringify(`${store}/told`)}, String(boot));
    setInterval(() => memory.buffer, 1000);`;
  return ['--input-type=module', '-e', script];
}

/** The start that has said its words to the supervisor. */
function toldOf(folder: string): string {
  try {
    return readFileSync(join(folder, 'reign/told'), 'utf8');
  } catch {
    return '';
  }
}

test(
  'the board is killed: its supervisor says so within a millisecond or so, on every path, and restarts it',
  async () => {
    const store = new RoleRecordStore(join(folder, 'reign'));
    const key = new Uint8Array(32).fill(1);
    const peer = createSocket('udp4');
    await new Promise<void>((resolve) => peer.bind(0, '127.0.0.1', () => resolve()));
    const reader = new FrameReader(pathKeys(key, 'b'));
    const heard: { atMs: number; boot: number; standing: string; role: string }[] = [];
    peer.on('message', (bytes) => {
      const read = reader.read(bytes);
      if (!read.ok || read.kind !== 'statement') return;
      const { boot, standing, role } = read.statement;
      heard.push({ atMs: performance.now(), boot, standing, role });
    });
    const out = createSocket('udp4');
    let otherPath = 0;
    let bySentinels = 0;
    const supervisor = new Supervisor({
      stdio: 'ignore',
      command: process.execPath,
      args: boardScript(join(folder, 'reign'), 256),
      store,
      keys: pathKeys(key, 'a'),
      onDeath: ({ bySentinel }) => {
        if (bySentinel) bySentinels += 1;
      },
      ways: [
        (frame) => out.send(frame, peer.address().port, '127.0.0.1'),
        () => {
          throw new Error('this path is down');
        },
        () => {
          otherPath += 1;
        },
      ],
      plan: { ...DEFAULT_RESTARTS, firstMs: 10, quickDeathsMax: 50, mostMs: 10 },
    });
    started.push(supervisor);
    supervisor.start();
    const latencies: number[] = [];
    for (let round = 0; round < 12; round++) {
      const boot = 1000 + round;
      await until('the board is up', () => toldOf(folder) === String(boot), 10_000);
      const killedMs = performance.now();
      process.kill(supervisor.pid as number, 'SIGKILL');
      await until('the last word', () => heard.length === round + 1);
      const word = heard[round];
      assert.equal([word?.boot, word?.standing, word?.role], [boot, 'shared', 'dead']);
      latencies.push((word?.atMs ?? 0) - killedMs);
    }
    latencies.sort((one, two) => one - two);
    const p50 = latencies[Math.floor(latencies.length / 2)] ?? 0;
    console.log(
      `SIGKILL to the last word heard by the peer: best ${latencies[0]?.toFixed(2)} ms, p50 ${p50.toFixed(2)} ms, ` +
        `worst ${latencies.at(-1)?.toFixed(2)} ms of ${latencies.length}`,
    );
    // A loaded machine is slow to reap, and so is a sanitizer: the best one is the mechanism's.
    assert.ok((latencies[0] ?? 99) < 45, 'sooner than any silence');
    assert.ok(
      otherPath >= 12 && supervisor.untold >= 12,
      'a path that fails keeps none of the others',
    );
    await until('the last exit', () => store.peek().boot === 1012, 10_000);
    assert.ok(bySentinels >= 11, `${bySentinels} of 12 told by the sentinel, before the exit`);
    await supervisor.stop();
    await new Promise((resolve) => setTimeout(resolve, 40));
    peer.close();
    out.close();
  },
  { timeoutMs: 60_000 },
);

test('the last word is of the start that told of itself, never of what lies on the disk', async () => {
  const store = new RoleRecordStore(join(folder, 'reign'));
  store.load(1000);
  store.write({ generation: 7, standing: 'shared' });
  const disk = store.peek();
  const frames: Buffer[] = [];
  let deaths = 0;
  const script = (words: string) => `require('fs').writeSync(4, ${JSON.stringify(words)})`;
  const run = async (words: string) => {
    const supervisor = new Supervisor({
      stdio: 'ignore',
      command: process.execPath,
      args: ['-e', words === '' ? '' : script(words)],
      store,
      keys: pathKeys(new Uint8Array(32), 'a'),
      ways: [(frame) => void frames.push(frame)],
      onDeath: () => {
        deaths += 1;
      },
      plan: { firstMs: 60_000, mostMs: 60_000 },
    });
    started.push(supervisor);
    const before = deaths;
    supervisor.start();
    await until('it has died', () => deaths > before, 20_000);
  };
  // Refused because another board lives on this folder, say: it took no start of its own.
  await run('');
  await run('up\nrecord 0 1 sole\nrecord 5 1 king\n');
  assert.equal(frames, []);
  assert.equal(store.peek(), disk);
  // A start of its own, not that of the disk: said, and the disk is left as it is.
  await run('record 5 2 shared\n');
  const read = new FrameReader(pathKeys(new Uint8Array(32), 'b')).read(frames[0]!);
  assert.ok(read.ok && read.kind === 'statement');
  assert.equal([read.statement.boot, read.statement.generation], [5, 2]);
  assert.equal(store.peek(), disk);
  // Its own record, with a later write on the disk that was never told: the disk is held to the word.
  await run(`record ${disk.boot} 6 shared\n`);
  assert.equal(store.peek().record, { generation: 6, standing: 'shared' });
});

test('a board that gives no sign of life in time is ended and started again; one that does is left alone', async () => {
  const deaths: Death[] = [];
  let givenUp = '';
  const supervisor = new Supervisor({
    stdio: 'ignore',
    command: process.execPath,
    args: ['-e', 'setInterval(() => {}, 1000)'],
    store: new RoleRecordStore(join(folder, 'none')),
    keys: pathKeys(new Uint8Array(32), 'a'),
    ways: [],
    onDeath: (death) => void deaths.push(death),
    onGivenUp: (why) => {
      givenUp = why;
    },
    plan: { firstMs: 1, mostMs: 1, quickDeathsMax: 1, upWithinMs: 300 },
  });
  started.push(supervisor);
  supervisor.start();
  await until('it is left to the watchdog', () => givenUp !== '', 20_000);
  assert.is(supervisor.starts, 2);
  assert.ok(deaths.every(({ wasMute, signal }) => wasMute && signal === 'SIGKILL'));
  let told = false;
  const well = new Supervisor({
    stdio: 'ignore',
    command: process.execPath,
    args: ['-e', "require('fs').writeSync(4, 'up\\n'); setTimeout(() => process.exit(0), 1500)"],
    store: new RoleRecordStore(join(folder, 'none')),
    keys: pathKeys(new Uint8Array(32), 'a'),
    ways: [],
    isOrdered: (code) => code === 0,
    onOrdered: () => {
      told = true;
    },
    plan: { upWithinMs: 1_000 },
  });
  started.push(well);
  well.start();
  await until('it ended by itself', () => told, 20_000);
});

test('words of the board: whole lines in any pieces; what makes no sense is counted', () => {
  const record = { generation: 12, standing: 'behind' } as const;
  const words = [{ word: 'up' }, { word: 'record', boot: 4294967295, record }] as const;
  const text = words.map(encodeBoardWord).join('');
  const random = seededRandom('board words');
  for (let round = 0; round < 200; round++) {
    const reader = new BoardWordReader();
    const heard: BoardWord[] = [];
    for (let at = 0; at < text.length; ) {
      const end = at + 1 + random.int(9);
      heard.push(...reader.push(text.slice(at, end)));
      at = end;
    }
    assert.equal(heard, words);
  }
  const reader = new BoardWordReader();
  assert.equal(reader.push(`down\n${'x'.repeat(70_000)}`), []);
  assert.equal(reader.push('\nrecord 1 2\nrecord -1 2 sole\nup\n'), [{ word: 'up' }]);
  assert.is(reader.broken, 4);
});

test('a write that reached the disk after the last word is taken back', () => {
  const store = new RoleRecordStore(join(folder, 'reign'));
  store.load(1000);
  store.write({ generation: 3, standing: 'sole' });
  const { boot } = store.peek();
  store.restore({ generation: 3, standing: 'shared' });
  assert.equal(new RoleRecordStore(join(folder, 'reign')).peek().record, {
    generation: 3,
    standing: 'shared',
  });
  assert.is(store.peek().boot, boot);
});

test('without a record that can be believed it says nothing; after too many deaths it gives up', async () => {
  let words = 0;
  let deaths = 0;
  let givenUp = '';
  const supervisor = new Supervisor({
    stdio: 'ignore',
    command: process.execPath,
    args: ['-e', 'process.exit(3)'],
    store: new RoleRecordStore(join(folder, 'none')),
    keys: pathKeys(new Uint8Array(32), 'a'),
    ways: [
      () => {
        words += 1;
      },
    ],
    onDeath: ({ code }) => {
      assert.is(code, 3);
      deaths += 1;
    },
    onGivenUp: (why) => {
      givenUp = why;
    },
    plan: { firstMs: 1, mostMs: 1, quickDeathsMax: 2 },
  });
  supervisor.start();
  await until('it gives up', () => givenUp !== '', 9000);
  assert.is(deaths, 3);
  assert.is(words, 0);
  assert.match(givenUp, /hardware watchdog/);
  await supervisor.stop();
});

test('patience with stalls is patience of the health verdict, and never less than usual', () => {
  assert.equal(healthLimitsFor(DEFAULT_LIMITS.stallMs), DEFAULT_HEALTH_LIMITS);
  assert.equal(healthLimitsFor(3_000), { loopLagMs: 3_000, vcpuStuckMs: 12_000, diskMs: 12_000 });
});

test.run();
