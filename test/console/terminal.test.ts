// The terminal by byte scripts: login, keys, lines, prefixes, pages, roles, the console of the guest.
import { COMMANDS } from '../../firmware/console/commands.ts';
import { complete, meaningOf, nextWords } from '../../firmware/console/grammar.ts';
import { healthyStatus } from '../board/alarms/statuses.ts';
import { assert, suite } from '../harness/index.ts';
import { Desk } from './desk.ts';
import { golden } from './screen.ts';

const test = suite('console/terminal');
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

test.run();
