// Driver sequences on the timer's ports.

import { Pit } from '../../../firmware/devices/pit/pit.ts';
import { assert, suite } from '../../harness/index.ts';

const test = suite('devices/pit');
const HZ = 1_193_182n;

function setUp() {
  const edges: string[] = [];
  const pit = new Pit({ irq: { set: (level) => edges.push(level ? 'rise' : 'fall') } });
  edges.length = 0;
  const out = (port: number, value: number) => pit.writePort(port, 1, value);
  const at = (tick: bigint) => pit.advanceTo((tick * 1_000_000_000n + HZ - 1n) / HZ);
  // Runs like the machine: stops at each deadline on the way.
  const runTo = (ns: bigint) => {
    for (;;) {
      const deadline = pit.nextDeadlineNs();
      if (deadline === undefined || deadline > ns) break;
      pit.advanceTo(deadline);
    }
    pit.advanceTo(ns);
  };
  return { pit, edges, out, at, runTo };
}

test('a reset leaves channel 0 counting, as firmware does: who waits for a loaded count gets one', () => {
  const { pit, edges, out, at, runTo } = setUp();
  at(10n);
  // As Linux's boot stub draws a number where there is no TSC: read back status and count of channel 0.
  out(0x43, 0xc2);
  assert.is(pit.readPort(0x40) & 0x40, 0, 'the count is loaded');
  assert.is(pit.readPort(0x40) | (pit.readPort(0x40) << 8), 0x10000 - 20);
  runTo(1_000_000_000n);
  assert.is(edges.filter((edge) => edge === 'rise').length, 18);
});

test('rate generator: 250 Hz gives 250 rising edges in a second', () => {
  const { pit, edges, out, runTo } = setUp();
  out(0x43, 0x34);
  out(0x40, 4772 & 0xff);
  out(0x40, 4772 >> 8);
  runTo(1_000_000_000n);
  assert.is(edges.filter((edge) => edge === 'rise').length, 250);
  assert.is(edges.at(-1), 'rise');
  const before = pit.nextDeadlineNs()!;
  runTo(before);
  const period = pit.nextDeadlineNs()! - before;
  assert.ok(period >= 3_999_389n && period <= 3_999_391n, `${period}`);
});

test('a jump over many edges makes one', () => {
  const { pit, edges, out } = setUp();
  out(0x43, 0x34);
  out(0x40, 100);
  out(0x40, 0);
  edges.length = 0;
  pit.advanceTo(1_000_000_000n);
  assert.equal(edges, ['fall', 'rise']);
  assert.ok(pit.nextDeadlineNs()! > 1_000_000_000n);
});

test('one-shot by mode 4 fires once', () => {
  const { pit, edges, out, runTo } = setUp();
  out(0x43, 0x38);
  out(0x40, 0x10);
  out(0x40, 0x27); // 10000 ticks
  edges.length = 0;
  runTo(8_380_000n);
  assert.equal(edges, []);
  runTo(8_390_000n);
  assert.equal(edges, ['fall', 'rise']);
  assert.is(pit.nextDeadlineNs(), undefined);
  runTo(100_000_000n);
  assert.is(edges.length, 2);
});

test('mode 0 is a level: low until the count ends', () => {
  const { edges, out, runTo, pit } = setUp();
  out(0x43, 0x30);
  assert.equal(edges, ['fall']);
  out(0x40, 100);
  out(0x40, 0);
  runTo(80_000n);
  assert.equal(edges, ['fall']);
  runTo(90_000n);
  assert.equal(edges, ['fall', 'rise']);
  assert.is(pit.nextDeadlineNs(), undefined);
});

test('latch holds both bytes while time goes on', () => {
  const { pit, out, at } = setUp();
  out(0x43, 0x34);
  out(0x40, 0);
  out(0x40, 0x80);
  at(1001n); // loaded at tick 1
  out(0x43, 0x00);
  at(5000n);
  assert.is(pit.readPort(0x40) | (pit.readPort(0x40) << 8), 0x8000 - 1000);
  assert.is(pit.readPort(0x40), (0x8000 - 4999) & 0xff, 'unlatched: low byte now');
  at(5256n);
  assert.is(pit.readPort(0x40), (0x8000 - 5255) >> 8, 'then the high byte of that moment');
});

test('read-back: status first, then count; several channels at once', () => {
  const { pit, out, at } = setUp();
  out(0x43, 0x34);
  out(0x43, 0xb6);
  out(0x43, 0xca); // latch count and status of channels 0 and 2
  assert.is(pit.readPort(0x40), 0xf4, 'out high, null count, word access, mode 2');
  out(0x40, 100);
  out(0x40, 0);
  at(51n);
  pit.readPort(0x40);
  pit.readPort(0x40); // the count latched before
  out(0x43, 0xc2);
  at(60n);
  assert.is(pit.readPort(0x40), 0xb4, 'counting now');
  assert.is(pit.readPort(0x40) | (pit.readPort(0x40) << 8), 50);
  assert.is(pit.readPort(0x42), 0xf6, 'channel 2, latched long ago');
});

test('BCD counts in decimal', () => {
  const { pit, out, at } = setUp();
  out(0x43, 0x35);
  out(0x40, 0x00);
  out(0x40, 0x10); // 1000
  at(2n);
  out(0x43, 0x00);
  assert.is(pit.readPort(0x40) | (pit.readPort(0x40) << 8), 0x0999);
  out(0x43, 0x31);
  out(0x40, 0x05);
  out(0x40, 0x00);
  at(9n + 3n);
  out(0x43, 0x00);
  assert.is(pit.readPort(0x40) | (pit.readPort(0x40) << 8), 0x9996, 'wraps to 9999');
});

test('calibration by channel 2: gate, output bit, then the count runs out', () => {
  const { pit, out, at } = setUp();
  out(0x61, 0x01); // gate on, speaker off
  out(0x43, 0xb0);
  out(0x42, 0xff);
  out(0x42, 0xff);
  assert.is(pit.readPort(0x61) & 0x21, 0x01);
  at(0x8000n);
  assert.is(pit.readPort(0x61) & 0x20, 0);
  at(0x10000n - 1n);
  assert.is(pit.readPort(0x61) & 0x20, 0);
  at(0x10000n);
  assert.is(pit.readPort(0x61) & 0x20, 0x20);
  out(0x61, 0x0e);
  assert.is(pit.readPort(0x61) & 0x0f, 0x0e);
});

test('refresh bit toggles about every 15 microseconds', () => {
  const { pit } = setUp();
  let toggles = 0;
  let last = pit.readPort(0x61) & 0x10;
  for (let ns = 0n; ns < 1_000_000n; ns += 1_000n) {
    pit.advanceTo(ns);
    const bit = pit.readPort(0x61) & 0x10;
    if (bit !== last) toggles++;
    last = bit;
  }
  assert.is(toggles, 66);
});

test('the control word cannot be read; count 1 never storms', () => {
  const { pit, out } = setUp();
  assert.is(pit.readPort(0x43), 0xff);
  out(0x43, 0x34);
  out(0x40, 1);
  out(0x40, 0);
  assert.is(pit.nextDeadlineNs(), undefined);
});

test.run();
