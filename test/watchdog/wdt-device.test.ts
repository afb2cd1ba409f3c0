// The hardware watchdog behind a fake driver, and its real calls against files that are no watchdog.
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { watchdog } from '../../native/index.ts';
import { type WdtCalls, WdtDevice } from '../../watchdog/wdt-device.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('watchdog/wdt-device');
let folder = '';
test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'twinstep-dog-'));
});
test.after.each(() => rmSync(folder, { recursive: true, force: true }));

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

test.run();
