// The terminal by byte scripts: keys, lines, prefixes, pages, roles, requests, and whatever noise may come.
import type { ClockStatus } from '../../firmware/board/clock-watch.ts';
import { redundancyOf } from '../../firmware/board/redundancy.ts';
import type { ScadaStatus, ServerReport, TellerReport } from '../../firmware/board/scada-desk.ts';
import { COMMANDS } from '../../firmware/console/commands.ts';
import { complete, meaningOf, nextWords } from '../../firmware/console/grammar.ts';
import { Lockout } from '../../firmware/console/lockout.ts';
import type { TimeText } from '../../firmware/console/needs.ts';
import { statusLines } from '../../firmware/console/status-screen.ts';
import { isPassword, makeUser, parseUsers, userLine } from '../../firmware/console/users.ts';
import { healthyStatus } from '../board/alarms/statuses.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';
import { primary } from '../watchdog/arbiter-bench.ts';
import { Desk } from './desk.ts';
import { golden } from './screen.ts';

const test = suite('console/terminal');
/** Ctrl-D and the two line ends. */
const MEANT = new Set([0x04, 0x0a, 0x0d]);
const asked = (desk: Desk) =>
  desk.calls.flatMap((call) => (call.do === 'ask' ? [call.request.do] : []));

test('login: a wrong one, a right one, and the password is never shown', () => {
  const desk = new Desk();
  desk.type('eva\rwrong-one\reva\rsecret12\r');
  assert.match(desk.screen.all, 'Login incorrect.');
  assert.match(desk.raw, /press-7-a PRIMARY RUN-Redundant# $/);
  assert.not.match(desk.raw, /secret|wrong/);
  const third = new Desk().type('a\rb\rc\rd\re\rf\r');
  assert.ok(third.terminal.isEnded, 'three tries');
  const nobody = new Desk().type('show status\r');
  assert.equal(asked(nobody), [], 'nothing is asked before the login');
});

const ago = (ms: number, text: string) => ({ text, agoMs: ms });

function scadaStatus(change: Partial<ScadaStatus> = {}): ScadaStatus {
  const servers: ServerReport[] = [
    {
      url: 'mqtts://scada-one.plant.example:8883',
      state: 'lost',
      ...{ forMs: 192_000, connects: 1 },
      trouble: ago(
        12_000,
        'the broker’s certificate has expired, or the clock of this board is wrong',
      ),
    },
    {
      url: 'mqtts://10.0.0.9:8883',
      state: 'trying',
      ...{
        forMs: 191_000,
        connects: 0,
        trouble: ago(31_000, 'nobody listens there (ECONNREFUSED)'),
      },
    },
    {
      url: 'mqtts://10.0.0.10:8883',
      state: 'untried',
      ...{ forMs: 192_000, connects: 0, trouble: null },
    },
  ];
  const why = 'mqtts://scada-one.plant.example:8883: the broker’s certificate has expired';
  return {
    agent: 'speaks',
    ...{ saidMs: 400, isReached: false, unreachedMs: 182_000 },
    why: `Sparkplug: ${why}`,
    tellers: [
      {
        ...{ what: 'Sparkplug', clientId: 'press7ay69vpjo96pfm64l', isTold: false, why, at: 1 },
        ...{ servers, births: 2, sent: { what: 'NDATA', agoMs: 192_400 } },
        unsaved: '/data/twinstep/scada/mqtt.bdseq: no space is left on the disk',
      },
      {
        ...{
          what: 'status topic',
          clientId: 'press7a42zvmwuf5k581wc',
          isTold: true,
          why: null,
          at: 0,
        },
        servers: [{ ...servers[0]!, state: 'connected', forMs: 7_500_000, trouble: null }],
        ...{ births: 1, sent: { what: 'status', agoMs: 2_000 }, unsaved: null },
      },
    ],
    ...change,
  };
}

test('show scada: each server, since when, what went wrong, what was sent; and without an agent', () => {
  const desk = new Desk();
  const shows = (scada: ScadaStatus | null) => {
    desk.status = { ...healthyStatus(), scada };
    return desk.type('\x0cshow scada\r').screen.text;
  };
  desk.login();
  golden('scada-lost', shows(scadaStatus()));
  const none = { tellers: [], saidMs: null, isReached: false };
  const why = 'no agent (twinstep scada) has reported since the start of this board';
  assert.match(shows(scadaStatus({ ...none, agent: 'absent', why })), /agent +ABSENT/);
  assert.match(shows(scadaStatus({ agent: 'silent', saidMs: 61_000 })), 'SILENT for 1 min 1 s');
  assert.match(shows(null), 'no table [mqtt]');
  const [sparkplug, topic] = scadaStatus().tellers as [TellerReport, TellerReport];
  const reached = { isReached: true, unreachedMs: 0, why: null, tellers: [topic, topic] };
  assert.match(shows(scadaStatus(reached)), /SCADA +reached\n/);
  assert.ok(sparkplug.servers.length === 3 && desk.screen.widest <= 80);
  desk.status = { ...healthyStatus(), scada: scadaStatus() };
  desk.type('\x0cshow status\r');
  assert.match(desk.screen.text, /\nscada +NOT REACHED for 3 min 2 s: Sparkplug: mqtts:/);
  desk.status = { ...healthyStatus(), scada: scadaStatus(reached) };
  desk.type('\x0cshow status\r');
  assert.match(desk.screen.text, /\nscada +told at mqtts:\/\/scada-one.plant.example:8883\n/);
});

test('show time: who sets the clock, what was heard last, and what nobody says', () => {
  const desk = new Desk().login();
  const shows = (time: Partial<TimeText>, clock: ClockStatus | null = null) => {
    desk.time = { wallMs: Date.UTC(2026, 2, 1, 4, 5, 6), asked: null, ...NOTHING, ...time };
    desk.status = { ...healthyStatus(), clock };
    return desk.type('\x0cshow time\r').screen.text;
  };
  const NOTHING = { facts: { kernel: null, service: null } };
  const answer = { agoMs: 190_000, event: 'periodic', stratum: 3, offsetMs: -1.25, pollS: 512 };
  const service = { by: 'ntpd', servers: ['192.168.10.1', '192.168.10.4'], answer };
  const kernel = {
    ...{ isSynchronised: false, maxErrorMs: 16_000, estimatedErrorMs: 16_000, offsetMs: 0 },
  };
  golden('time-appliance', shows({ facts: { kernel, service } }));
  const lost = { ...service, answer: { ...answer, event: 'unsync', stratum: 16 } };
  const facts = { kernel, service: lost };
  const board = { ...facts, isSet: false, isExpected: true, unsetMs: 1_020_000 };
  const text = shows({ facts }, board);
  assert.match(text, /\nset +NOT by a time server, for 17 min 0 s\n/);
  assert.match(text, /\nlast word +3 min 10 s ago \(unsync\): NO SERVER ANSWERS\n/);
  const right = { ...kernel, isSynchronised: true, maxErrorMs: 23.4, estimatedErrorMs: 0.12 };
  const chrony = { by: 'chrony', servers: [], answer: null };
  const asked = { tool: 'chronyc', server: '10.0.0.1', stratum: 2, offsetMs: 0.031, agoMs: 64_000 };
  const server = shows({ facts: { kernel: right, service: chrony }, asked });
  assert.match(server, /\nset +by a time server\nby +chrony\nkernel +synchronised, right to 23 ms/);
  assert.match(
    server,
    /\nchronyc +follows 10.0.0.1, stratum 2, offset \+0.03 ms, heard 1 min 4 s ago/,
  );
  assert.match(shows({}), /\nset +by nobody\nby +nobody known/);
  desk.status = null;
  assert.match(desk.type('\x0cshow time\r').screen.text, /clock +2026-03-01 04:05:06 UTC/);
});

test('what is not survived is named, in step or not', () => {
  const desk = new Desk().login();
  const names = { here: 'press-7-a', there: 'press-7-b' };
  const { bench } = primary({ witness: 'none' });
  const redundancy = redundancyOf(bench.state, bench.nowMs, names);
  desk.status = { ...healthyStatus(), redundancy };
  const { text } = desk.type('\x0cshow status\r').screen;
  assert.match(
    text,
    /protection +REDUNDANT, for 2 h 5 min, but not survived: death of press-7-b \(no\s+witness/,
  );
  const all = desk.type('\x0cshow redundancy\r').screen.text;
  assert.match(
    all,
    /In step \(RUN-Redundant\); not survived: death of press-7-b \(no\s+witness\s+is/,
  );
  assert.match(all, /\nsurvived +death of press-7-a\n/);
  assert.match(all, /\nNOT +death of press-7-b: no witness is configured\n/);
  assert.match(all, /\nsurvived +loss of the log link\n/);
});

test('show status is one screen of 24 lines with its prompt, whatever is wrong', () => {
  const desk = new Desk().login();
  desk.type('\x0cshow status\r');
  golden('status-healthy', desk.screen.text);
  const status = healthyStatus();
  const sad = {
    ...status,
    role: 'solo',
    pairState: 'RUN-Solo',
    why: `the peer is silent on every path and ${'nobody knows why '.repeat(10)}`,
    safeToRemove: { ok: false, why: 'it serves alone: the guest would stop' },
    lagMs: null,
    disks: [{ path: '/dev/sda', trouble: 'EIO '.repeat(40) }],
    scada: scadaStatus(),
    alarms: Array.from({ length: 30 }, (_, n) => ({
      code: 'PATH-LOG',
      severity: 'error',
      text: `number ${n} ${'long '.repeat(30)}`,
      sinceMs: 0,
      count: 1,
      active: true,
      acked: null,
    })),
  } as const;
  const lines = statusLines(sad as unknown as typeof status);
  assert.ok(lines.length <= 23, `${lines.length} lines`);
  assert.ok(lines.every((line) => line.length <= 80 && /^[ -~]*$/.test(line)));
  assert.match(lines.at(-1)!, 'Do NOT switch off press-7-a: it serves alone');
  const sorry = new Desk();
  sorry.status = sad as unknown as typeof status;
  sorry.session.status = sorry.status;
  sorry.login().type('\x0csh st\r');
  golden('status-solo', sorry.screen.text);
});

test('each command is printed in ASCII, never wider than the screen', () => {
  for (const { words } of COMMANDS.filter(({ words }) => /^show|^help/.test(words))) {
    const desk = new Desk().login();
    desk.type(`terminal length 0\r${words.replace(/ [[<].*/, '')}\r`);
    assert.match(desk.screen.text, /RUN-Redundant# \n$|RUN-Redundant#\n$/);
  }
});

test('? without Enter keeps the line; Tab completes; prefixes must be unique', () => {
  const desk = new Desk().login();
  desk.type('sh');
  desk.type('\t');
  desk.type('?');
  golden('help-show', desk.screen.text);
  desk.type('al\t\r');
  assert.match(desk.screen.all, 'no alarms');
  assert.equal(meaningOf(COMMANDS, 'sh st').ok, true);
  assert.equal(meaningOf(COMMANDS, 'show l'), { ok: false, why: '"l" may be log, links' });
  assert.match((meaningOf(COMMANDS, 'frobnicate') as { why: string }).why, 'makes no sense');
  assert.match((meaningOf(COMMANDS, 'show') as { why: string }).why, 'say more: alarms');
  assert.equal(meaningOf(COMMANDS, 'show log 12').ok && true, true);
  assert.equal(complete(COMMANDS, 'req'), { add: 'uest ', choices: [] });
  assert.equal(complete(COMMANDS, 'show l').choices, ['links', 'log']);
  assert.ok(nextWords(COMMANDS, 'show log ').some(({ word }) => word === '<Enter>'));
});

test('line editing: arrows, Ctrl-A/E/U/W/K, both backspaces, history, long lines', () => {
  const ran = (keys: string) => {
    const desk = new Desk().login();
    desk.type(`${keys}\r`);
    return desk.screen.all;
  };
  for (const keys of [
    'how alarms\x01s',
    'show  alarmsx\x7f',
    'show alarmsx\b',
    'rubbish\x15show alarms',
    'show rubbish\x17alarms',
    'show alarms rubbish\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x0b',
    'shw alarms\x1b[H\x1b[C\x1b[Cho\x1b[C\x1b[3~'.replace('ho\x1b[C\x1b[3~', 'o'),
    'show alarm\x01\x05s',
    'show alarms\r\x1b[A',
    'xshow alarms\x1bOH\x1b[3~',
  ])
    assert.match(ran(keys), 'no alarms', JSON.stringify(keys));
  const desk = new Desk().login();
  desk.type(`${'a'.repeat(300)}\x01\x05`);
  assert.ok(desk.screen.widest <= 80);
  desk.type('\x03show alarms\r');
  assert.match(desk.screen.all, 'no alarms');
});

test('pages: space, enter, q; and none when they are switched off', () => {
  const desk = new Desk().login();
  desk.type('show tech-support\r');
  assert.match(desk.screen.text, /--More--[^\n]*\n$/);
  const before = desk.screen.all.split('\n').length;
  desk.type('\r');
  assert.is(desk.screen.all.split('\n').length, before + 1);
  desk.type('q');
  assert.match(desk.screen.text, /RUN-Redundant#\n$/);
  assert.not.match(desk.screen.text, '--More--');
  desk.type('terminal length 0\rshow tech-support\r');
  assert.match(desk.screen.text, /==== end =+\n.*RUN-Redundant#\n$/s);
  assert.match(desk.screen.all, 'password = "********"');
});

test('roles: who may not, does not even see it', () => {
  const desk = new Desk();
  desk.role = 'viewer';
  desk.login().type('?');
  golden('help-viewer', desk.screen.text);
  desk.type('request switch-over\rguest console\rshow config\r');
  assert.equal(asked(desk), []);
  assert.ok(desk.calls.every((call) => call.do !== 'open-guest' && call.do !== 'config'));
});

test('requests: asked first, refused early, waited for', () => {
  const desk = new Desk().login();
  desk.type('request switch-over\rno\r');
  assert.match(desk.screen.all, 'Nothing is done.');
  assert.equal(asked(desk), ['status']);
  desk.type('request switch-over\ryes\r');
  desk.later(300);
  assert.not.match(desk.screen.all, 'Done.');
  desk.outcome = 'REQUEST-DONE';
  desk.status = { ...healthyStatus(), role: 'backup' };
  desk.later(300);
  assert.match(desk.screen.all, 'Done.');
  desk.type('request test-failover\r');
  assert.match(desk.screen.all, 'Refused: only the primary');
  desk.answers = { ok: false, why: 'it is too late' };
  desk.type('request sync-up allow\r');
  assert.match(desk.screen.all, 'Refused: it is too late.');
});

test('a request that was taken and fails says why; one that is not done in time says so', () => {
  const desk = new Desk().login();
  desk.outcome = 'REQUEST-FAILED';
  desk.type('request switch-over\ryes\r');
  assert.match(desk.screen.all, 'Failed: the other board fell silent.');
  desk.outcome = null;
  desk.type('request maintenance on\ryes\r');
  for (let ms = 0; ms < 16_000; ms += 250) desk.later(250);
  assert.match(desk.screen.all, 'Begun, but not done yet');
  // This one ends with the board.
  desk.type('request test-failover\rpress-7-a\r');
  desk.later(300);
  assert.not.match(desk.screen.all, 'Done.');
  desk.status = null;
  desk.later(300);
  assert.match(desk.screen.all, 'Done.');
});

test('a power-off whose hand-over fails leaves the machine on', () => {
  const desk = new Desk().login();
  desk.answers = { ok: true, taken: 17, done: false };
  desk.outcome = 'REQUEST-FAILED';
  desk.stops = false;
  desk.type('request power-off\rpress-7-a\r');
  assert.match(desk.screen.all, 'The board has not stopped: the other board fell silent.');
  assert.ok(desk.calls.every((call) => call.do !== 'power'));
});

test('reboot: refused when the service would stop; the name of the board must be typed', () => {
  const desk = new Desk();
  desk.status = {
    ...healthyStatus(),
    role: 'solo',
    safeToRemove: { ok: false, why: 'it serves alone: the guest would stop' },
  };
  desk.login().type('request power-off\r');
  assert.match(desk.screen.all, 'Refused: it serves alone: the guest would stop.');
  desk.status = { ...healthyStatus(), role: 'backup', safeToRemove: { ok: true, why: 'fine' } };
  desk.type('request reboot\ryes\r');
  assert.ok(desk.calls.every((call) => call.do !== 'power'));
  desk.type('request reboot\rpress-7-a\r');
  desk.later(300);
  assert.ok(asked(desk).includes('stop'));
  assert.equal(desk.calls.at(-1), { do: 'power', what: 'reboot' });
});

test('no board: what is wrong, and the console goes on', () => {
  const desk = new Desk();
  desk.status = null;
  desk.session.status = null;
  desk.login().type('\x0cshow status\r');
  golden('no-board', desk.screen.text);
  desk.type('show log\rshow alarms\r');
  assert.match(desk.screen.text, /NO-BOARD#\n$/);
});

test('Ctrl-C stops what hangs; what was typed ahead runs; Ctrl-D logs out', () => {
  const desk = new Desk().login();
  desk.holds = 'ask';
  desk.type('show status\rshow alarms\r');
  desk.type('\x03');
  desk.holds = null;
  desk.type('show alarms\r');
  assert.match(desk.screen.all, 'no alarms');
  desk.type('abc\x04');
  assert.not.ok(desk.terminal.isEnded);
  desk.type('\x03\x04');
  assert.ok(desk.terminal.isEnded);
});

test('idle: logged out; a key in time keeps it', () => {
  const desk = new Desk().login();
  desk.later(500_000).type(' ').later(500_000);
  assert.not.ok(desk.terminal.isEnded);
  desk.later(100_001);
  assert.ok(desk.terminal.isEnded);
  assert.match(desk.screen.all, 'logged out');
});

test('guest console: byte for byte, Ctrl-] leaves', () => {
  const desk = new Desk().login();
  desk.type('guest console\r');
  assert.match(desk.screen.all, 'Ctrl-] leaves');
  desk.type('root\r\x03\x04\x1b[A');
  assert.equal(desk.guest, ['root\r\x03\x04\x1b[A']);
  desk.terminal.fromGuest(Uint8Array.of(0x1b, 0x63, 0xff, 0x41));
  assert.is(desk.terminal.takeOutput().bytes, '\x1bc\xffA');
  desk.type('ls\x1dshow alarms\r');
  assert.is(desk.guest.at(-1), 'ls');
  assert.is(desk.leaves, 1);
  assert.match(desk.screen.all, 'no alarms');
});

test('monitor: drawn once, then only what changed', () => {
  const desk = new Desk().login();
  desk.type('monitor status\r');
  golden('monitor', desk.screen.text);
  const before = desk.raw.length;
  desk.later(1_000);
  assert.is(desk.raw.length, before, 'nothing changed, nothing is sent');
  desk.status = { ...healthyStatus(), lagMs: 9.9 };
  desk.later(1_000);
  assert.ok(desk.raw.length - before < 100);
  assert.match(desk.screen.text, '9.9 ms');
  desk.type('q');
  assert.match(desk.screen.text, /RUN-Redundant#\n$/);
});

test('the first user of a bare board sets a password', () => {
  const bare = () => new Desk({ hasUsers: false });
  for (const wrong of ['short\r', 'long enough\rbut another\r', '\r']) {
    const desk = bare().type(wrong);
    assert.not.ok(desk.terminal.isEnded, 'asked again');
    desk.type('long enough\rlong enough\r');
    assert.is(desk.calls.at(-1)?.do, 'set-user', wrong);
  }
  const desk = bare().type('long enough\rlong enough\r');
  assert.equal(desk.calls.at(-1), {
    do: 'set-user',
    user: 'admin',
    role: 'admin',
    password: 'long enough',
  });
  assert.not.match(desk.raw, 'long enough');
  golden('first-user', desk.screen.text);
});

test(
  'noise, floods and endless lines change nothing but a counter',
  () => {
    const random = seededRandom();
    const desk = new Desk().login();
    const calls = desk.calls.length;
    for (let n = 0; n < 200; n++) {
      // Anything but Enter, line end and Ctrl-D: those mean something.
      const noise = random.bytes(500).map((byte) => (MEANT.has(byte) ? 0xee : byte));
      desk.terminal.input(noise);
      desk.terminal.takeOutput();
    }
    desk.terminal.input(Buffer.alloc(1 << 20, 0x61));
    const { bytes } = desk.terminal.takeOutput();
    assert.ok(bytes.length < 3 << 20);
    const { noise, refused } = desk.terminal.counters;
    assert.ok(noise > 10_000, `noise ${noise}`);
    assert.ok(refused > 1_000_000, `refused ${refused}`);
    assert.is(desk.calls.length, calls, 'the board was asked nothing');
    desk.terminal.input(Buffer.from('\x03'));
    desk.terminal.takeOutput();
    desk.type('show alarms\r');
    assert.match(desk.screen.all, 'no alarms');
    desk.holds = 'ask';
    desk.type(`show status\r${'x'.repeat(50_000)}`);
    assert.ok(desk.terminal.counters.dropped > 40_000);
  },
  { timeoutMs: 60_000 },
);

test('at the login: noise and endless lines change nothing, and ask the board nothing', () => {
  const random = seededRandom();
  const desk = new Desk();
  for (let n = 0; n < 100; n++) {
    desk.terminal.input(random.bytes(500).map((byte) => (MEANT.has(byte) ? 0xee : byte)));
    desk.terminal.takeOutput();
  }
  desk.terminal.input(Buffer.alloc(1 << 20, 0x61));
  desk.terminal.takeOutput();
  assert.ok(desk.terminal.counters.refused > 1_000_000);
  assert.equal(
    desk.calls.map((call) => call.do),
    ['begin'],
  );
  desk.type('\x03').login();
  assert.match(desk.screen.text, /RUN-Redundant#\n$/);
});

test(
  'random keys never break a session',
  () => {
    const random = seededRandom();
    for (let n = 0; n < 40; n++) {
      const desk = new Desk().login();
      for (let m = 0; m < 100 && !desk.terminal.isEnded; m++) {
        const words = [
          'show ',
          'status',
          'log',
          '\t',
          '?',
          '\r',
          '\x1b[A',
          '\x1b[D',
          '\x15',
          'q',
          '\x03',
          'request ',
          'yes\r',
          'monitor ',
          '\x1d',
        ];
        desk.type(
          random.chance(0.2) ? random.bytes(3).map((byte) => byte & 0x7f) : random.pick(words),
        );
        if (random.chance(0.1)) desk.later(100);
      }
    }
  },
  { timeoutMs: 60_000 },
);

test('users: scrypt, bounded cost, damaged lines are nobody', async () => {
  const eva = await makeUser('eva', 'operator', 'correct horse');
  const users = parseUsers(
    `${userLine(eva)}root:admin:x\nbig:admin:scrypt:999999:8:1:${'0'.repeat(32)}:${'0'.repeat(64)}\n`,
  );
  assert.equal([...users.keys()], ['eva']);
  assert.ok(await isPassword(users.get('eva'), 'correct horse'));
  assert.not.ok(await isPassword(users.get('eva'), 'correct horsf'));
  assert.not.ok(await isPassword(undefined, ''));
});

test('lockout: grows, is bounded, is of this line alone, survives the console', () => {
  let lockout = new Lockout();
  for (let n = 0; n < 4; n++) lockout.failed('eva', 'ttyS0', true, 0);
  assert.is(lockout.waitMs('eva', 'ttyS0', 0), 0);
  lockout.failed('eva', 'ttyS0', true, 0);
  assert.is(lockout.waitMs('eva', 'ttyS0', 0), 30_000);
  lockout = Lockout.fromJson(lockout.toJson());
  assert.is(lockout.waitMs('eva', 'ttyS0', 10_000), 20_000);
  assert.is(lockout.waitMs('eva', 'remote', 0), 0);
  assert.is(lockout.waitMs('bob', 'ttyS0', 0), 0);
  for (let n = 0; n < 100; n++) lockout.failed(`nobody${n}`, 'remote', false, 0);
  assert.is(lockout.waitMs('eva', 'remote', 0), 900_000, 'the line itself');
  assert.is(lockout.waitMs('eva', 'remote', -1e12), 900_000, 'a clock set back');
  lockout.succeeded('eva', 'ttyS0');
  assert.is(lockout.waitMs('eva', 'ttyS0', 0), 0);
  for (let n = 0; n < 1_000; n++) lockout.failed('eva', `line${n}`, true, 0);
  assert.ok(lockout.toJson().length < 20_000);
  for (const text of ['', '{', '[[1,2]]', '[null]', '{"a":1}']) Lockout.fromJson(text);
});

test.run();
