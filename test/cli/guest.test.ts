// `twinstep guest` as a process: exit codes, one clear line for what is wrong, signals, and consoles on
// pipes and terminals. Guests of a few bytes; Linux is in test/guest.
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startOnTerminal, startPiped, twinstep } from '../guest/twinstep.ts';
import { assert, suite } from '../harness/index.ts';
import { tinyGuest } from '../host/tiny-guests.ts';
import { linuxImage } from '../machine/boot/images.ts';

const test = suite('cli/guest');
const SLOW = { timeoutMs: 60_000 };
const folder = mkdtempSync(join(tmpdir(), 'twinstep-cli-'));
test.after(() => rmSync(folder, { recursive: true }));

function file(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

const kernel = file('kernel', tinyGuest.exits(0, 'hello\n'));
const guest = (path: string, ...args: string[]) => ['guest', '--kernel', path, ...args];

test('the table of commands', () => {
  assert.match(twinstep().stdout, /guest +run one guest/);
  assert.match(twinstep('guest', '--help').stdout, '--kernel FILE');
  assert.match(twinstep('--version').stdout, /^\d+\.\d+\.\d+\n$/);
  const unknown = twinstep('gest');
  assert.is(unknown.code, 2);
  assert.is(unknown.stderr, 'twinstep: unknown command "gest"; did you mean "guest"?\n');
});

test(
  'how a guest ends is the exit code',
  () => {
    const run = (image: Uint8Array, ...args: string[]) =>
      twinstep(...guest(file('image', image), ...args));
    const ended = run(tinyGuest.exits(0, 'hello\n'));
    assert.equal(ended, { code: 0, stdout: 'hello\n', stderr: '' });
    const failed = run(tinyGuest.exits(3));
    assert.is(failed.code, 35);
    assert.match(failed.stderr, 'the guest ended itself with code 3');
    const fault = run(tinyGuest.tripleFaults());
    assert.is(fault.code, 3);
    assert.match(fault.stderr, 'the guest ended in a triple fault');
    assert.equal(run(tinyGuest.resets('r'), '--no-reboot'), { code: 0, stdout: 'r', stderr: '' });
  },
  SLOW,
);

test(
  'what is wrong with what was given, in one line, and exit code 1',
  () => {
    const directory = join(folder, 'directory');
    mkdirSync(directory);
    const disk = file('disk', '');
    truncateSync(disk, 1000);
    const wrong: [args: string[], words: string][] = [
      [guest('/missing'), 'kernel /missing: no such file or directory'],
      [guest(directory), `kernel ${directory}: is a directory`],
      [guest(file('empty', '')), 'the kernel file is empty'],
      [
        guest(file('script', '#!/bin/sh')),
        `kernel ${join(folder, 'script')}: not a kernel that can be booted: a script`,
      ],
      [
        guest(file('cut', linuxImage().subarray(0, 0x1000))),
        `kernel ${join(folder, 'cut')}: a Linux kernel cut off`,
      ],
      [
        guest(file('linux', linuxImage({ initBytes: 64 << 20 })), '--memory', '4'),
        'too little memory: at least',
      ],
      [guest(kernel, '--initrd', '/missing'), 'initrd /missing: no such file or directory'],
      [guest(kernel, '--disk', '/missing'), 'disk /missing: no such file'],
      [guest(kernel, '--disk', disk), 'no multiple of 512'],
      [guest(kernel, '--serial', 'socket=/missing/line'), 'socket /missing/line: no such file or'],
      [guest(kernel, '--net', `socket=${disk}`), 'is a file, not a socket'],
    ];
    for (const [args, words] of wrong) {
      const { code, stderr } = twinstep(...args);
      assert.is(code, 1, args.join(' '));
      assert.match(stderr, /^twinstep guest: [^\n]+\n$/);
      assert.match(stderr, words);
    }
  },
  SLOW,
);

test('a command line that makes no sense: exit code 2', () => {
  const { code, stderr } = twinstep('guest', '--kernel', kernel, '--memory', 'much');
  assert.is(code, 2);
  assert.match(stderr, /^twinstep guest: --memory much: [^\n]+\n$/);
});

test('TAPs that cannot be had', () => {
  for (const [name, words] of [
    ['no-such-tap', /no-such-tap/],
    ['lo', /lo/],
    ['much-too-long-a-name', /much-too-long-a-name/],
  ] as const) {
    const { code, stderr } = twinstep(...guest(kernel, '--net', `tap=${name}`));
    assert.is(code, 1);
    assert.match(stderr, /^twinstep guest: [^\n]+\n$/);
    assert.match(stderr, words);
  }
});

test(
  'a disk belongs to one guest at a time',
  async () => {
    const disk = file('shared', new Uint8Array(4096));
    const first = startPiped(...guest(file('halts', tinyGuest.halts('h')), '--disk', disk));
    await first.console.waitFor(/h/);
    const { code, stderr } = twinstep(...guest(kernel, '--disk', disk));
    assert.is(code, 1);
    assert.match(stderr, 'is in use by another program');
    await first.kill();
    assert.is(twinstep(...guest(kernel, '--disk', disk)).code, 0);
  },
  SLOW,
);

test(
  'input from a pipe reaches the guest; its end ends nothing',
  async () => {
    const running = startPiped(...guest(file('echoes', tinyGuest.echoes())));
    running.type('HAL\x1d'); // Ctrl-] is nothing special on a pipe
    await running.console.waitFor(/IBM[^A-Z]/);
    running.type('q');
    assert.is(await running.ended(), 32 + 5);
  },
  SLOW,
);

test(
  'signals end it in order',
  async () => {
    const spins = file('spins', tinyGuest.spins('s'));
    for (const [signal, code] of [['SIGTERM', 143] as const, ['SIGINT', 130] as const]) {
      const running = startPiped(...guest(spins));
      await running.console.waitFor(/s/);
      await running.kill(signal);
      assert.is(await running.ended(), code);
    }
  },
  SLOW,
);

test(
  'a terminal is raw while the guest runs and as before on every way out',
  async () => {
    const spins = file('spins', tinyGuest.spins('s'));
    const ways: [(type: (text: string) => void, kill: () => void) => void, number][] = [
      [(type) => type('\x1d'), 0],
      [(_type, kill) => kill(), 143],
    ];
    for (const [leave, code] of ways) {
      const terminal = startOnTerminal(...guest(spins));
      const { running } = terminal;
      const before = terminal.settings();
      await running.console.waitFor(/s/);
      assert.match(terminal.settings(), '-icanon');
      leave(
        (text) => running.type(text),
        () => process.kill(running.pid, 'SIGTERM'),
      );
      assert.is(await running.ended(), code);
      assert.is(terminal.settings(), before);
      terminal.close();
    }
  },
  SLOW,
);

test(
  'lines on a socket and on a pseudo-terminal say where they are',
  async () => {
    const path = join(folder, 'com1.sock');
    const echoes = file('echoes', tinyGuest.echoes());
    const running = startPiped(...guest(echoes, '--serial', `socket=${path}`, '--com2', 'pty'));
    await running.stderr.waitFor(/com1 is .*com1\.sock/);
    await running.stderr.waitFor(/com2 is \/dev\/pts\/\d+/);
    const socket = connect(path);
    socket.write('HAL');
    const [bytes] = await once(socket, 'data');
    assert.match('IBM', String(bytes));
    socket.write('q');
    assert.is(await running.ended(), 37);
    socket.destroy();
  },
  SLOW,
);

test.run();
