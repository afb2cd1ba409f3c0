// Pseudo-terminals and terminal settings at the edge of the addon.
import { spawnSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { makeRawTerminal, openPty, restoreTerminal } from '../../native/index.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('native/pty');

const settings = (fd: number) =>
  spawnSync('stty', ['-a'], { stdio: [fd, 'pipe', 'inherit'], encoding: 'utf8' }).stdout;

test('both ends are a terminal; the path is the slave', () => {
  const { master, slave, path } = openPty(false);
  assert.ok(isatty(master) && isatty(slave));
  assert.match(path, /^\/dev\/pts\/\d+$/);
  const again = openSync(path, 'r+');
  assert.is(fstatSync(again).rdev, fstatSync(slave).rdev);
  for (const fd of [again, slave, master]) closeSync(fd);
});

test('raw passes every byte as it is, otherwise line ends are translated', () => {
  for (const [isRaw, wanted] of [[true, 'a\nb'] as const, [false, 'a\r\nb'] as const]) {
    const { master, slave } = openPty(isRaw);
    writeSync(slave, 'a\nb');
    const bytes = Buffer.alloc(16);
    const count = readSync(master, bytes);
    assert.is(bytes.toString('latin1', 0, count), wanted);
    for (const fd of [slave, master]) closeSync(fd);
  }
});

test('settings come back exactly', () => {
  const { master, slave } = openPty(false);
  const before = settings(slave);
  assert.match(before, / icanon /);
  const saved = makeRawTerminal(slave);
  assert.match(settings(slave), /-icanon/);
  assert.match(settings(slave), /-opost/);
  restoreTerminal(slave, saved);
  assert.is(settings(slave), before);
  for (const fd of [slave, master]) closeSync(fd);
});

test('wrong arguments and descriptors throw', () => {
  const wrong = (call: unknown, ...args: unknown[]) =>
    (call as (...of: unknown[]) => void)(...args);
  assert.throws(() => wrong(openPty), /isRaw must be boolean/);
  for (const fd of [undefined, -1, 1.5, 'x', 2 ** 31]) {
    assert.throws(() => wrong(makeRawTerminal, fd), /fd must be a whole number/);
  }
  const file = openSync('/dev/null', 'r');
  assert.throws(() => makeRawTerminal(file), /ENOTTY/);
  assert.throws(() => restoreTerminal(file, new Uint8Array(3)), /what makeRawTerminal answered/);
  assert.throws(() => wrong(restoreTerminal, file), /what makeRawTerminal answered/);
  closeSync(file);
});

test.run();
