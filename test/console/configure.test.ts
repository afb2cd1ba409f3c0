// `configure` by byte scripts: candidate, compare, commit, trial, rollback; and whatever may be typed there.
import { assert, seededRandom, suite } from '../harness/index.ts';
import { Desk } from './desk.ts';
import { GOOD } from './fake-file.ts';
import { golden } from './screen.ts';

const test = suite('console/configure');

const inMode = (): Desk => {
  const desk = new Desk().login();
  desk.type('terminal length 0\r\x0cconfigure\r');
  return desk;
};

const did = (desk: Desk, what: string): boolean =>
  desk.calls.map((call): string => call.do).includes(what);

test('a service example: change, look, check, commit on trial', () => {
  const desk = inMode();
  desk.type('set front.gateway 192.168.10.254\rset guest.memory-mib 512\rcompare\r');
  desk.type('commit confirmed 10\r');
  golden('configure', desk.screen.text);
  assert.is(desk.file.minutes, 10);
  assert.match(desk.file.text!, '#memory-mib = 256\nmemory-mib = 512\n');
  assert.match(desk.file.text!, 'interface = "log0" # the short cable');
  desk.type('exit\r');
  assert.match(desk.screen.text, /RUN-Redundant#\n$/);
  assert.ok(desk.calls.some((call) => call.do === 'config-close'));
});

test('what is wrong is refused, all of it at once, with lines', () => {
  const desk = inMode();
  desk.type('set front.gateway nonsense\rset board.side c\rset guest.memory-mib 1\rcommit\r');
  golden('configure-wrong', desk.screen.text);
  assert.is(desk.file.text, GOOD);
  desk.type('discard\rcommit\r');
  assert.match(desk.screen.text, 'Nothing has changed.');
});

test('rollback: the old bytes, after a look and a commit', () => {
  const desk = inMode();
  for (const name of ['press-8-a', 'press-9-a']) desk.type(`set board.name ${name}\rcommit\r`);
  desk.type('show history\rrollback 2\rcompare\rcompare 1\rcommit\r');
  assert.is(desk.file.text, GOOD);
  assert.match(desk.screen.all, '-name = "press-9-a"\n+name = "press-7-a"');
  assert.match(desk.screen.all, '  2  in force until 2026-03-01 10:00:00 UTC, replaced by eva');
  desk.type('rollback 99\rrollback x\r');
  assert.match(desk.screen.text, 'Which old version? 1 to 3');
});

test('keys by Tab and prefix; a value with blanks; lists; what is no value', () => {
  const desk = inMode();
  desk.type('set guest.app\tquiet  panic=1\r');
  desk.type('set guest.disks ["/data/a.img", "/data/b.img"]\r');
  desk.type('set guest.disks ["/data/a.img"\rset nowhere.at 1\rdelete serial\rcompare\r');
  assert.match(desk.screen.all, '+append = "quiet  panic=1"');
  assert.match(desk.screen.all, '+disks = ["/data/a.img", "/data/b.img"]');
  assert.match(desk.screen.all, 'That is no value');
  assert.match(desk.screen.all, '"nowhere.at" makes no sense here');
  assert.match(desk.screen.all, '-[serial]\n-port = "none"');
  desk.type('set board.?');
  golden('configure-help', desk.screen.text);
});

test('leaving with changes asks; Ctrl-C stays; secrets are starred', () => {
  const desk = inMode();
  desk.file.text = `${GOOD}[extra]\npassword = "hunter2"\n`;
  desk.type('discard\rset extra.password gunter3\rcompare\rshow\rexit\rno\r').type('\x03');
  assert.match(desk.screen.text, 'configure*#', desk.screen.text);
  assert.not.match(desk.raw.replace('set extra.password gunter3', ''), /hunter2|gunter3/);
  assert.match(desk.raw, 'another one');
  desk.type('exit\ryes\r');
  assert.match(desk.screen.text, /RUN-Redundant#\n$/);
  assert.match(desk.file.text, 'hunter2');
});

test('an operator prepares, only an admin commits; a viewer sees nothing of it', () => {
  const desk = new Desk();
  desk.role = 'operator';
  desk.login().type('configure\rset board.name x\rcommit\rcommit confirmed 5\rcompare\r');
  assert.is(desk.file.text, GOOD);
  assert.match(desk.screen.text, '"commit" makes no sense here');
  assert.match(desk.screen.text, '+name = "x"');
  desk.type('exit\ryes\rconfirm\rrequest factory-reset\r');
  const viewer = new Desk();
  viewer.role = 'viewer';
  viewer.login().type('configure\r');
  const kinds = new Set([...desk.calls, ...viewer.calls].map((call) => call.do));
  for (const kind of ['config-commit', 'config-confirm', 'factory-reset'] as const)
    assert.not.ok(kinds.has(kind), kind);
  assert.ok(viewer.calls.every((call) => call.do !== 'config-open'));
});

test('minutes: 1 to 1440; a first configuration is for good', () => {
  const desk = inMode();
  desk.type('set board.name x\r');
  for (const minutes of ['0', '1441', '-5', '5.5', 'x']) desk.type(`commit confirmed ${minutes}\r`);
  assert.is(desk.file.text, GOOD);
  const bare = new Desk();
  bare.file.text = null;
  bare.login().type('configure\rset board.name x\rcommit confirmed 5\rcommit\r');
  assert.match(bare.screen.all, 'nothing to return to');
  assert.match(bare.screen.all, 'THE CANDIDATE IS WRONG');
});

test('what makes it another board for its peer is asked for: state folder, side, key', () => {
  const desk = inMode();
  desk.type('set board.state-dir /elsewhere\rcommit\rno\r');
  assert.is(desk.file.text, GOOD);
  assert.match(desk.screen.all.replace(/\n\s*/g, ' '), 'the record of past reigns');
  desk.type('commit\ryes\r');
  assert.match(desk.file.text!, 'state-dir = "/elsewhere"');
  desk.type('set board.side b\rcommit\rno\r');
  assert.match(desk.file.text!, 'side = "a"');
});

test('factory reset: refused where it serves, asked for by name', () => {
  const desk = new Desk().login();
  desk.type('request factory-reset\r');
  assert.match(desk.screen.text, 'Refused: it serves: switch over first.');
  desk.status = { ...desk.status!, role: 'backup', safeToRemove: { ok: true, why: 'fine' } };
  desk.type('request factory-reset\ryes\r');
  assert.not.ok(did(desk, 'factory-reset'));
  desk.type('request factory-reset\rpress-7-a\r');
  assert.ok(did(desk, 'factory-reset'));
  assert.match(desk.screen.text, 'is bare');
});

test('a change says what makes it count, without stopping the guest', () => {
  const desk = inMode();
  desk.type('set board.name x\rcommit\r');
  assert.match(
    desk.screen.all.replace(/\n/g, ' '),
    'request switch-over" first, then "request restart"',
  );
});

test(
  'noise, floods and random lines in configure mode commit nothing',
  () => {
    const random = seededRandom();
    const desk = inMode();
    // Without the words that mean it: commit, exit (whole or as prefixes), Ctrl-D.
    const words = [
      'set board.name ',
      'set ',
      'delete ',
      'delete front.bind\r',
      'show\r',
      'compare\r',
    ];
    for (let n = 0; n < 300; n++) {
      const noise = random
        .bytes(200)
        .map((byte) => ([4, 10, 13, 0x63, 0x65].includes(byte) ? 0xee : byte));
      if (random.chance(0.5)) desk.terminal.input(noise);
      else desk.type(random.pick([...words, 'q', '\x03', '?', '\t', '\x1b[A']));
      desk.settle();
    }
    desk.terminal.input(Buffer.alloc(1 << 20, 0x61));
    desk.settle();
    desk.type('\x03\x03');
    assert.is(desk.file.text, GOOD);
    assert.ok(desk.calls.every((call) => call.do !== 'config-commit'));
    const { noise, refused } = desk.terminal.counters;
    assert.ok(noise > 1_000 && refused > 1_000_000, `${noise} ${refused}`);
    assert.ok(desk.screen.widest <= 80);
    desk.type('discard\rset board.name ok\rcommit\r');
    assert.match(desk.file.text!, 'name = "ok"');
  },
  { timeoutMs: 60_000 },
);

test.run();
