// The configuration file: the example loads, every mistake is found at once, with line and words.
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError, loadConfig } from '../../firmware/board/config/load.ts';
import { parseConfig, withMacs } from '../../firmware/board/config/parse.ts';
import { readToml } from '../../firmware/board/config/toml.ts';
import { COMMAND_LINE_DEFAULT } from '../../firmware/host/guest-notation.ts';
import { DEFAULT_LIMITS, tickMsOf } from '../../watchdog/limits.ts';
import { assert, repoPath, seededRandom, suite } from '../harness/index.ts';

const test = suite('board/config');

const SMALL = `
[board]
name = "press-7-a"
side = "a"
[log]
interface = "eth1"
[serial]
port = "/dev/ttyS0"
[front]
interface = "eth0"
bind = "192.168.10.2"
peer = "192.168.10.3"
gateway = "192.168.10.1"
[guest]
kernel = "bzImage"
`;

const problemsOf = (text: string): string[] =>
  parseConfig(text, '/etc/twinstep').problems.map((found) => `${found.line}: ${found.text}`);

test('the shortest file is enough', () => {
  const { config, problems } = parseConfig(SMALL, '/etc/twinstep');
  assert.equal(problems, []);
  assert.equal(config, {
    name: 'press-7-a',
    side: 'a',
    stateDir: '/var/lib/twinstep',
    controlGroup: null,
    readGroup: null,
    pairingKeyFile: '/etc/twinstep/pairing.key',
    eventsFile: null,
    syncAllowed: true,
    log: { interfaces: ['eth1'], overFront: { rateMbit: 20 } },
    serial: { port: '/dev/ttyS0', baud: 115200 },
    front: {
      interface: 'eth0',
      bind: '192.168.10.2',
      peer: '192.168.10.3',
      port: 47608,
      gateway: '192.168.10.1',
    },
    watchdog: { kind: 'device', device: '/dev/watchdog' },
    guest: {
      kernel: '/etc/twinstep/bzImage',
      initrd: undefined,
      append: COMMAND_LINE_DEFAULT,
      memoryBytes: 256 << 20,
      nics: [],
      storm: { groupFramesPerS: 500, framesPerS: 20_000 },
      disks: [],
      com1: { kind: 'none' },
      com2: { kind: 'none' },
      engine: 'soft',
      onPowerOff: 'stop',
    },
    sync: { rateMibS: 0, checkMibS: 2 },
    limits: DEFAULT_LIMITS,
    mqtt: null,
  });
});

test('the example loads, and shows every key with its default', () => {
  const text = readFileSync(repoPath('docs/board.example.toml'), 'utf8');
  const given = parseConfig(text, '/etc/twinstep');
  assert.equal(given.problems, []);
  // Every key stands there, those with a default as a comment that says the default.
  const full = parseConfig(text.replace(/^#(\[[a-z]+\]|[a-z0-9-]+ = )/gm, '$1'), '/etc/twinstep');
  assert.equal(full.problems, []);
  const { eventsFile, controlGroup, readGroup, guest, mqtt, ...rest } = full.config;
  const { eventsFile: _, controlGroup: own, guest: usual, mqtt: none, ...others } = given.config;
  const { readGroup: ownReaders, ...usually } = others;
  assert.is(own, null, 'as it is where nothing is said: the group is taken if there is one');
  assert.is(controlGroup, 'twinstep');
  assert.is(ownReaders, null);
  assert.is(readGroup, 'twinstep-read');
  assert.is(none, null);
  assert.is(mqtt?.keepaliveS, 5);
  assert.equal(rest, usually);
  assert.is(eventsFile, '/var/log/twinstep/events.jsonl');
  assert.is(guest.memoryBytes, usual.memoryBytes);
  for (const key of keysOf(full.document.values))
    assert.match(readFileSync(repoPath('docs/CONFIG.md'), 'utf8'), `\`${key}\``);
});

test('rates of storm control: none, or a share of all frames', () => {
  const rates = (words: string) => parseConfig(`${SMALL}${words}\n`, '/etc/twinstep');
  assert.equal(rates('broadcasts-per-s = 0\nframes-per-s = 0').config.guest.storm, {
    ...{ groupFramesPerS: 0, framesPerS: 0 },
  });
  const { problems } = rates('broadcasts-per-s = 600\nframes-per-s = 1000');
  assert.match(problems[0]!.text, 'broadcasts-per-s');
  assert.is(rates('frames-per-s = -1').problems.length, 1);
});

function keysOf(values: Readonly<Record<string, unknown>>): string[] {
  return Object.values(values).flatMap((table) => Object.keys(table as object));
}

test('every mistake at once, in the order of the file', () => {
  const text = SMALL.replace('"press-7-a"', '"press 7"')
    .replace('side = "a"', 'side = "left"\nstate_dir = "/x"\nbaud = 9600')
    .replace('"eth1"', '7')
    .replace('"192.168.10.3"', '"192.168.10.2"')
    .replace('192.168.10.1"', '192.168.10"')
    .replace('"bzImage"', '["a"]\nmemory-mib = 5.5\nmac = "52:54:00:12:34:5"\ncom1 = "stdio"');
  assert.equal(problemsOf(`${text}\n[gest]\n[limits]\npet-ms = 0`), [
    '3: [board] name "press 7" must be letters, digits, ".", "_", "-", at most 31',
    '4: [board] side "left" must be "a" or "b"',
    '5: unknown key "state_dir" in [board]; did you mean "state-dir"?',
    '6: unknown key "baud" in [board]; it belongs to [serial]',
    '8: [log] interface must be text in quotes, or a list of such',
    '14: [front] peer is the address of this board itself',
    '15: [front] gateway "192.168.10" must be an IPv4 address, as 192.168.10.2',
    '17: [guest] kernel must be text in quotes',
    '18: [guest] memory-mib must be a whole number, 4 to 65536',
    '19: [guest] mac has 1 addresses for 0 interfaces of "tap"',
    '20: [guest] com1 "stdio" must be none, pty, socket=PATH or tty=PATH',
    '22: unknown table "gest"; did you mean "guest"?',
    '24: [limits] pet-ms must be a whole number, 1 to 600000',
  ]);
});

test('the ways of the log: one card or two, and the front LAN unless it is not wanted', () => {
  const withLog = (lines: string) => SMALL.replace('interface = "eth1"', lines);
  const two = parseConfig(
    withLog('interface = ["eth1", "eth2"]\nover-front = false'),
    '/etc/twinstep',
  );
  assert.equal(two.problems, []);
  assert.equal(two.config.log, { interfaces: ['eth1', 'eth2'], overFront: null });
  const fast = parseConfig(withLog('interface = "eth1"\nfront-rate-mbit = 200'), '/etc/twinstep');
  assert.equal(fast.config.log.overFront, { rateMbit: 200 });
  const wrong: [string, string][] = [
    ['interface = ["eth1", "eth1"]', '[log] interface names an interface twice'],
    ['interface = ["eth1", "eth2", "eth3"]', '[log] interface names more than 2 interfaces'],
    ['interface = ["eth1", "eth0"]', '[log] and [front] must have an interface each'],
    ['interface = ["eth1", "a/b"]', '[log] interface "a/b" must be'],
    ['interface = []', '[log] interface is missing'],
    ['interface = "eth1"\nover-front = "yes"', '[log] over-front must be true or false'],
    ['interface = "eth1"\nfront-rate-mbit = 0', '[log] front-rate-mbit must be a whole number'],
  ];
  for (const [lines, words] of wrong) {
    const problems = problemsOf(withLog(lines));
    assert.is(problems.length, 1, lines);
    assert.match(problems[0] as string, words);
  }
  const last = SMALL.replace('gateway', 'port = 65535\ngateway');
  assert.match(problemsOf(last)[0] ?? '', 'must leave the next one to [log] over-front');
  assert.equal(problemsOf(last.replace('"eth1"', '"eth1"\nover-front = false')), []);
});

test('the line to the other board is no serial line of the guest', () => {
  const text = SMALL.replace('"bzImage"', '"bzImage"\ncom2 = "tty=/dev/ttyS1"');
  assert.equal(problemsOf(text), []);
  const [problem, ...others] = problemsOf(text.replace('tty=/dev/ttyS1', 'tty=/dev/ttyS0,rs485'));
  assert.match(problem!, 'com2 /dev/ttyS0 is the line to the other board: [serial] port');
  assert.equal(others, []);
});

test('what is missing is said where its table is', () => {
  assert.equal(problemsOf('[board]\nname = "x"\n\n[front]\npeer = "10.0.0.1"\n').slice(0, 4), [
    '0: [log] interface is missing',
    '0: [serial] port is missing',
    '0: [guest] kernel is missing',
    '1: [board] side is missing',
  ]);
});

test('broken lines are all told, and do not hide mistakes elsewhere', () => {
  const found = problemsOf(
    SMALL.replace('"a"', 'a"').replace('"eth0"', '"eth0').replace('"bzImage"', '"k"\nmemory-mib=1'),
  );
  assert.is(found.length, 3);
  assert.match(found[0]!, /^4: not TOML: /);
  assert.match(found[1]!, /^10: not TOML: /);
  assert.match(found[2]!, /^16: \[guest\] memory-mib must be/);
});

test('a broker in the clear is refused without the explicit word', () => {
  const mqtt = (lines: string) => problemsOf(`${SMALL}[mqtt]\n${lines}`);
  assert.equal(mqtt('servers = "mqtt://scada"'), [
    '17: [mqtt] servers "mqtt://scada" is not encrypted: mqtts://, or plaintext = "allowed"',
  ]);
  assert.equal(mqtt('servers = "mqtt://scada"\nplaintext = "allowed"'), []);
  assert.equal(mqtt('servers = ["mqtts://scada:70000", "scada"]\nkey = "k"\nusername = "u"'), [
    '17: [mqtt] servers "mqtts://scada:70000" must be mqtts://HOST or mqtts://HOST:PORT',
    '17: [mqtt] servers "scada" must be mqtts://HOST or mqtts://HOST:PORT',
    '18: [mqtt] key and cert belong together',
    '19: [mqtt] username and password-file belong together',
  ]);
  const plain = 'servers = "mqtt://scada"\nplaintext = "allowed"\nhome-assistant = "yes"';
  assert.equal(mqtt(plain), [
    '19: [mqtt] home-assistant "yes" needs a status-topic: that is where it looks',
  ]);
  assert.equal(mqtt(`${plain}\nstatus-topic = "plant/press-7-a"`), []);
});

test('a board ticks as often as the quickest of its limits demands', () => {
  const { witnessProbeMs } = DEFAULT_LIMITS;
  const slow = { log: 15, serial: 30, front: 20 };
  assert.is(tickMsOf(DEFAULT_LIMITS), DEFAULT_LIMITS.tickMs);
  assert.is(tickMsOf({ heartbeatMs: slow, witnessProbeMs: 45, stallMs: 80 }), 15);
  assert.is(tickMsOf({ heartbeatMs: slow, witnessProbeMs, stallMs: 80 }), witnessProbeMs);
  assert.is(tickMsOf({ heartbeatMs: slow, witnessProbeMs: 45, stallMs: 25 }), 12);
});

test('limits that contradict each other are refused in words', () => {
  assert.equal(problemsOf(`${SMALL}[limits]\nstall-ms = 100\n`), [
    '16: [limits] contradict each other: a stall the peer cannot have noticed (log)',
  ]);
  const fine = parseConfig(`${SMALL}[limits]\nseek-ms = 2000\nsilent-log-ms = 60\n`, '/');
  assert.equal(fine.problems, []);
  assert.is(fine.config.limits.seekMs, 2000);
  // A line that may be silent for longer than a sync-up outlives by itself.
  const slow =
    'silent-serial-ms = 3000\nseek-ms = 30000\nleave-ms = 7000\ndeath-ms = 4000\nisolated-ms = 9000';
  const patient = parseConfig(`${SMALL}[limits]\n${slow}\n`, '/');
  assert.equal(patient.problems, []);
  assert.is(patient.config.limits.syncSilenceMs, 3000);
  assert.is(fine.config.limits.silentMs.log, 60);
});

test('cards: lists, and addresses that both boards of a pair make alike', () => {
  const text = `${SMALL}tap = ["t0", "t1"]\nmac = "52:54:00:12:34:FE"\ndisks = ["a.img", "/b.img,ro"]`;
  const { config, problems } = parseConfig(text, '/data');
  assert.equal(problems, []);
  assert.equal(config.guest.disks, [
    { path: '/data/a.img', isReadOnly: false },
    { path: '/b.img', isReadOnly: true },
  ]);
  const [first, second] = withMacs(config, new Uint8Array(32).fill(1)).guest.nics;
  const [, otherPair] = withMacs(config, new Uint8Array(32).fill(2)).guest.nics;
  assert.equal([...first!.mac], [0x52, 0x54, 0, 0x12, 0x34, 0xfe]);
  assert.is(second!.mac[0], 0x52);
  assert.not.equal(second!.mac, otherPair!.mac);
  assert.equal(withMacs(config, new Uint8Array(32).fill(1)).guest.nics[1], second);
});

test('lines are found past strings, lists and comments that look like keys', () => {
  const { lineOf } = readToml(`# [x]
a = """
[no]
b = 1
"""
[one.two] # [three]
c = [
  "]",
  'd = 1', # e = 1
]
"f" = { g = 1 }
`);
  assert.equal(
    ['a', 'b', 'one.two.c', 'one.two.f.g', 'one.two', 'd'].map(lineOf),
    [2, 0, 7, 11, 6, 0],
  );
});

test('any bytes at all: answered, never thrown', () => {
  const random = seededRandom('config bytes');
  const words = ['[board]', '\n', 'name', '=', '"', "'", '[', ']', '{', '}', '\\', '"""', '#', '1'];
  for (let n = 0; n < 3000; n++) {
    const parts = Array.from({ length: random.int(30) }, () =>
      random.chance(0.9) ? random.pick(words) : String.fromCharCode(random.int(0x250)),
    );
    assert.ok(parseConfig(parts.join(''), '/').problems.length > 0);
  }
});

test('what the file names must be there', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-config-'));
  const file = join(folder, 'board.toml');
  writeFileSync(file, SMALL.replace('side = "a"', 'side = "a"\npairing-key-file = "key"'));
  const complain = async () => {
    const error = await loadConfig(file).then(
      () => null,
      (thrown) => thrown,
    );
    return error instanceof ConfigError ? error.message.replaceAll(`${folder}/`, '') : error;
  };
  assert.is(
    await complain(),
    'board.toml:5: [board] pairing-key-file key: no such file or directory\n' +
      'board.toml:16: [guest] kernel bzImage: no such file or directory',
  );
  const early = await loadConfig(file, { mayLack: true }).catch((error) => error);
  assert.match(early.message, /^[^\n]*pairing-key-file[^\n]*$/);
  writeFileSync(join(folder, 'key'), new Uint8Array(32), { mode: 0o600 });
  const { config } = await loadConfig(file, { mayLack: true });
  assert.is(config.guest.kernel, join(folder, 'bzImage'));
  rmSync(join(folder, 'key'));
  writeFileSync(join(folder, 'bzImage'), '');
  writeFileSync(join(folder, 'key'), new Uint8Array(31), { mode: 0o600 });
  assert.is(await complain(), 'board.toml:5: [board] pairing-key-file key: has 31 bytes, not 32');
  writeFileSync(join(folder, 'key'), new Uint8Array(32));
  chmodSync(join(folder, 'key'), 0o644);
  assert.match(await complain(), /can be read by others: chmod 600/);
  chmodSync(join(folder, 'key'), 0o600);
  assert.is((await loadConfig(file)).config.guest.kernel, join(folder, 'bzImage'));
  rmSync(folder, { recursive: true });
  assert.match(await complain(), /no such file/);
});

test.run();
