// A line that carries rubbish: noise, floods and random keys break no session and ask the board nothing.
import { assert, seededRandom, suite } from '../harness/index.ts';
import { Desk } from './desk.ts';

const test = suite('console/noise');
/** Ctrl-D and the two line ends. */
const MEANT = new Set([0x04, 0x0a, 0x0d]);

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

test.run();
