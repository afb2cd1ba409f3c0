// Command lines of a guest: what they mean, and one clear line for each way to get them wrong.
import { type GuestOptions, parseGuestOptions } from '../../firmware/cli/guest-options.ts';
import { exitCodeOfGuest, UsageError } from '../../firmware/cli/usage.ts';
import { COMMAND_LINE_DEFAULT } from '../../firmware/host/guest-notation.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('cli/guest-options');

const parse = (...args: string[]): GuestOptions =>
  parseGuestOptions(['--kernel', 'k', ...args], 'host');
const mac = (...bytes: number[]) => Uint8Array.from(bytes);

test('a kernel alone is enough', () => {
  assert.equal(parse(), {
    kernelPath: 'k',
    initrdPath: undefined,
    commandLine: COMMAND_LINE_DEFAULT,
    memoryMib: 256,
    disks: [],
    nets: [],
    serial: { com1: { kind: 'stdio' }, com2: { kind: 'none' }, console: { kind: 'none' } },
    rebootsOnReset: true,
    engine: 'auto',
  });
});

test('everything at once', () => {
  const options = parse(
    ...['--initrd', 'i', '--append', '', '--memory', '1024', '--no-reboot'],
    ...['--engine', 'vtx-exits'],
    ...['--disk', 'a.img', '--disk=b,c.img,ro'],
    ...['--net', 'tap=tap0', '--net', 'socket=/run/x', '--mac', '02:00:00:00:00:FE'],
    ...['--serial', 'none', '--com2', 'socket=/run/com2', '--console', 'stdio'],
  );
  const { nets, ...rest } = options;
  assert.equal(rest, {
    kernelPath: 'k',
    initrdPath: 'i',
    commandLine: '',
    memoryMib: 1024,
    disks: [
      { path: 'a.img', isReadOnly: false },
      { path: 'b,c.img', isReadOnly: true },
    ],
    serial: {
      com1: { kind: 'none' },
      com2: { kind: 'socket', path: '/run/com2' },
      console: { kind: 'stdio' },
    },
    rebootsOnReset: false,
    engine: 'vtx-exits',
  });
  assert.equal(nets[0], { kind: 'tap', name: 'tap0', mac: mac(2, 0, 0, 0, 0, 0xfe) });
  assert.equal({ ...nets[1], mac: 0 }, { kind: 'socket', path: '/run/x', mac: 0 });
});

test('an address is made up when none is given: the same every time, another for another cable', () => {
  const macOf = (host: string, cable: string) =>
    String(parseGuestOptions(['--kernel', 'k', '--net', cable], host).nets[0]?.mac);
  const first = macOf('a', 'tap=t0');
  assert.is(macOf('a', 'tap=t0'), first);
  assert.is.not(macOf('b', 'tap=t0'), first);
  assert.is.not(macOf('a', 'tap=t1'), first);
  assert.match(first, /^82,/); // 52: locally administered, no group
  assert.is(parse('--net', 'tap=t', '--net', 'tap=u').nets.length, 2);
});

test('no network card', () => {
  assert.equal(parse('--net', 'none').nets, []);
});

const WRONG: [args: string[], words: RegExp][] = [
  [['--disks', 'x'], /^unknown option '--disks'; did you mean "--disk"\?$/],
  [['extra'], /^unexpected argument 'extra'/],
  [['--initrd'], /^option '--initrd.*argument missing$/],
  [['--no-reboot=1'], /^option '--no-reboot' does not take an argument$/],
  [['--kernel', 'again'], /^--kernel is given 2 times$/],
  [['--initrd', ''], /^--initrd is empty$/],
  [['--append', 'a', '--append', 'b'], /^--append is given 2 times$/],
  [['--engine', 'fast'], /^--engine fast: must be one of auto, soft, vtx/],
  [['--memory', '3'], /^--memory 3: must be a whole number of MiB, 4 to 65536$/],
  [['--memory', '65537'], /^--memory 65537: /],
  [['--memory', '1G'], /^--memory 1G: /],
  [['--memory', '1e2'], /^--memory 1e2: /],
  [['--memory', ''], /^--memory is empty$/],
  [['--disk', ''], /^--disk : names no file$/],
  [['--disk', ',ro'], /^--disk ,ro: names no file$/],
  [Array.from({ length: 17 }, () => '--disk=x'), /^--disk: at most 16 disks$/],
  [['--net', 'tap'], /^--net tap: must be tap=NAME, socket=PATH or none$/],
  [['--net', 'tap='], /^--net tap=: must be/],
  [['--net', 'user'], /^--net user: must be/],
  [['--net', 'none', '--net', 'tap=x'], /^--net none and other network cards exclude each other$/],
  [Array.from({ length: 5 }, (_, at) => `--net=tap=${at}`), /^--net: at most 4 network cards$/],
  [['--mac', '02:00:00:00:00:01'], /^--mac: 1 addresses for 0 network cards$/],
  [['--net=tap=x', '--mac', '02:00:00:00:01'], /^--mac 02:00:00:00:01: must be six bytes/],
  [['--net=tap=x', '--mac', '03:00:00:00:00:01'], /: is a group address$/],
  [
    ['--net=tap=x', '--net=tap=y', '--mac=02:00:00:00:00:01', '--mac=02:00:00:00:00:01'],
    /^--mac: two network cards have the same address$/,
  ],
  [['--serial', 'tty'], /^--serial tty: must be stdio, pty, none, socket=PATH or tty=PATH$/],
  [['--com2', 'socket='], /^--com2 socket=: must be/],
  [['--com2', 'stdio'], /^only one of --serial \(default\), --com2 and --console can have stdio/],
];
for (const [args, words] of WRONG) {
  test(`wrong: ${args.slice(0, 4).join(' ')}`, () => {
    assert.throws(
      () => parse(...args),
      (error: Error) => {
        assert.instance(error, UsageError);
        assert.match(error.message, words);
        assert.not.match(error.message, /\n/);
        return true;
      },
    );
  });
}

test('a kernel must be given', () => {
  assert.throws(() => parseGuestOptions([], 'host'), /^--kernel FILE is missing$/);
  assert.throws(() => parseGuestOptions(['--kernel', ''], 'host'), /^--kernel is empty$/);
});

test('exit codes of guests stay clear of ours', () => {
  assert.equal([0, 1, 2, 63, 64, 255].map(exitCodeOfGuest), [0, 33, 34, 95, 95, 95]);
});

test.run();
