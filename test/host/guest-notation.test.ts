// What people write of a guest means the same in a configuration and on a command line, and what is wrong with it is
// told in the same words.
import { parseConfig } from '../../firmware/board/config/parse.ts';
import { parseGuestOptions } from '../../firmware/cli/guest-options.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('host/guest-notation');

/** Of [guest] alone; the rest is missing. */
function configured(lines: string): { values: unknown; wrong: string[] } {
  const { config, problems } = parseConfig(`[guest]\nkernel = "/k"\n${lines}\n`, '/');
  const { nics, disks, com2, memoryBytes, append } = config.guest;
  const wrong = problems.filter(({ text }) => text.startsWith('[guest]')).map(({ text }) => text);
  return {
    values: { macs: nics.map(({ mac }) => String(mac)), disks, com2, memoryBytes, append },
    wrong,
  };
}

function typed(...args: string[]): { values: unknown; wrong: string[] } {
  try {
    const { nets, disks, serial, memoryMib, commandLine } = parseGuestOptions(
      ['--kernel', '/k', ...args],
      'host',
    );
    const macs = nets.map(({ mac }) => String(mac));
    const memoryBytes = memoryMib << 20;
    const { com2 } = serial;
    return { values: { macs, disks, com2, memoryBytes, append: commandLine }, wrong: [] };
  } catch (error) {
    return { values: undefined, wrong: [(error as Error).message] };
  }
}

const GOOD: readonly [line: string, args: readonly string[]][] = [
  ['', []],
  ['memory-mib = 64', ['--memory', '64']],
  ['append = ""', ['--append', '']],
  [
    'disks = ["/a", "/b,ro", "/c,raw", "/d,ro,raw", "/e,raw,ro"]',
    ['/a', '/b,ro', '/c,raw', '/d,ro,raw', '/e,raw,ro'].map((text) => `--disk=${text}`),
  ],
  ['disks = "/a,b,ro"', ['--disk', '/a,b,ro']],
  ['tap = "t"\nmac = "02:00:00:00:00:fE"', ['--net', 'tap=t', '--mac', '02:00:00:00:00:fE']],
  ['com2 = "pty"', ['--com2', 'pty']],
  ['com2 = "none"', ['--com2', 'none']],
  ['com2 = "socket=/run/x=y"', ['--com2', 'socket=/run/x=y']],
  ['com2 = "pty,rs485"', ['--com2', 'pty,rs485']],
  ['com2 = "socket=/run/x,rs485"', ['--com2', 'socket=/run/x,rs485']],
];

test('the same text means the same', () => {
  for (const [line, args] of GOOD) {
    const [one, other] = [configured(line), typed(...args)];
    assert.equal(one.wrong, [], line);
    assert.equal(one, other, line);
  }
});

const BAD: readonly [line: string, args: readonly string[], words: string][] = [
  ['disks = ",ro"', ['--disk', ',ro'], 'names no file'],
  [
    'tap = "t"\nmac = "02:00:00:00:00"',
    ['--net=tap=t', '--mac', '02:00:00:00:00'],
    'must be six bytes, as 52:54:00:12:34:56',
  ],
  [
    'tap = "t"\nmac = "02-00-00-00-00-01"',
    ['--net=tap=t', '--mac', '02-00-00-00-00-01'],
    'must be six bytes, as 52:54:00:12:34:56',
  ],
  [
    'tap = "t"\nmac = "03:00:00:00:00:01"',
    ['--net=tap=t', '--mac', '03:00:00:00:00:01'],
    'is a group address',
  ],
  ['com2 = "tty"', ['--com2', 'tty'], 'socket=PATH or tty=PATH'],
  ['com2 = "socket="', ['--com2', 'socket='], 'socket=PATH or tty=PATH'],
];

test('the same mistake is told in the same words', () => {
  for (const [line, args, words] of BAD) {
    for (const { wrong } of [configured(line), typed(...args)]) {
      assert.is(wrong.length, 1, `${line}: ${wrong.join('; ')}`);
      assert.ok(wrong[0]!.endsWith(words), wrong[0]);
    }
  }
  assert.match(
    configured('com2 = "stdio"').wrong[0]!,
    'must be none, pty, socket=PATH or tty=PATH',
  );
  assert.equal(typed('--com2', 'stdio', '--serial', 'none').wrong, [], 'a terminal has one');
});

test.run();
