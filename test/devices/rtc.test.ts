// Driver sequences on the real-time clock, and its calendar against the host's.

import { dateTimeOf, dayOfWeek, epochSecondsOf } from '../../firmware/devices/rtc/calendar.ts';
import { Rtc } from '../../firmware/devices/rtc/rtc.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('devices/rtc');

const SECOND = 1_000_000_000n;
const EPOCH = Date.UTC(2024, 1, 28, 23, 59, 58) / 1000;

function setUp(options: { epoch?: number } = {}) {
  const irq = { isHigh: false, rises: 0 };
  const rtc = new Rtc({
    irq: {
      set: (level) => {
        if (level && !irq.isHigh) irq.rises++;
        irq.isHigh = level;
      },
    },
    epochSeconds: options.epoch ?? EPOCH,
    presets: [[0x15, 0x80]],
  });
  const read = (at: number) => {
    rtc.writePort(0x70, 1, at);
    return rtc.readPort(0x71);
  };
  const write = (at: number, value: number) => {
    rtc.writePort(0x70, 1, at);
    rtc.writePort(0x71, 1, value);
  };
  const runTo = (ns: bigint) => {
    for (;;) {
      const deadline = rtc.nextDeadlineNs();
      if (deadline === undefined || deadline > ns) break;
      rtc.advanceTo(deadline);
    }
    rtc.advanceTo(ns);
  };
  const time = () => [0x32, 9, 8, 7, 4, 2, 0].map((at) => read(at).toString(16).padStart(2, '0'));
  return { rtc, irq, read, write, runTo, time };
}

test('calendar agrees with the host for dates from 1601 to 2500', () => {
  const random = seededRandom('calendar');
  for (let i = 0; i < 20_000; i++) {
    const seconds = random.int(28_000_000_000) - 11_600_000_000;
    const host = new Date(seconds * 1000);
    const ours = dateTimeOf(seconds);
    assert.equal(ours, {
      year: host.getUTCFullYear(),
      month: host.getUTCMonth() + 1,
      day: host.getUTCDate(),
      hour: host.getUTCHours(),
      minute: host.getUTCMinutes(),
      second: host.getUTCSeconds(),
    });
    assert.is(epochSecondsOf(ours), seconds);
    assert.is(dayOfWeek(seconds), host.getUTCDay() + 1);
  }
});

test('reads as BCD and goes over the leap day', () => {
  const { time, rtc, read } = setUp();
  assert.equal(time(), ['20', '24', '02', '28', '23', '59', '58']);
  rtc.advanceTo(2n * SECOND);
  assert.equal(time(), ['20', '24', '02', '29', '00', '00', '00']);
  assert.is(read(6), 5, 'a Thursday');
  assert.is(read(0x0d), 0x80);
});

test('binary and twelve-hour formats', () => {
  const { rtc, read, write } = setUp();
  write(0x0b, 0x06);
  assert.is(read(0), 58);
  assert.is(read(4), 23);
  write(0x0b, 0x04);
  assert.is(read(4), 0x80 | 11);
  write(0x0b, 0x00);
  assert.is(read(4), 0x91);
  rtc.advanceTo(2n * SECOND);
  assert.is(read(4), 0x12, 'midnight is 12 without the PM bit');
});

test('setting the clock with SET; the second boundary stays', () => {
  const { rtc, read, write, time } = setUp();
  rtc.advanceTo(SECOND / 4n);
  write(0x0b, 0x82);
  for (const [at, value] of [
    [0, 0x30],
    [2, 0x15],
    [4, 0x08],
    [7, 0x01],
    [8, 0x06],
    [9, 0x30],
    [0x32, 0x20],
  ] as const)
    write(at, value);
  rtc.advanceTo(10n * SECOND);
  assert.is(read(0), 0x30, 'held');
  rtc.advanceTo(10n * SECOND + SECOND / 2n);
  write(0x0b, 0x02);
  assert.equal(time(), ['20', '30', '06', '01', '08', '15', '30']);
  rtc.advanceTo(11n * SECOND - 1n);
  assert.is(read(0), 0x30);
  rtc.advanceTo(11n * SECOND);
  assert.is(read(0), 0x31);
});

test('a single register may be written while the clock runs', () => {
  const { rtc, write, time } = setUp();
  write(2, 0x07);
  assert.equal(time(), ['20', '24', '02', '28', '23', '07', '58']);
  rtc.advanceTo(3n * SECOND);
  assert.equal(time(), ['20', '24', '02', '28', '23', '08', '01']);
});

test('a restarted divider updates after half a second', () => {
  const { rtc, read, write } = setUp();
  write(0x0a, 0x76);
  rtc.advanceTo(100n * SECOND);
  assert.is(read(0), 0x58);
  write(0x0a, 0x26);
  rtc.advanceTo(100n * SECOND + SECOND / 2n - 1n);
  assert.is(read(0), 0x58);
  rtc.advanceTo(100n * SECOND + SECOND / 2n);
  assert.is(read(0), 0x59);
});

test('update in progress is announced 244 microseconds ahead', () => {
  const { rtc, read } = setUp();
  rtc.advanceTo(SECOND - 244_001n);
  assert.is(read(0x0a) & 0x80, 0);
  rtc.advanceTo(SECOND - 244_000n);
  assert.is(read(0x0a) & 0x80, 0x80);
  rtc.advanceTo(SECOND);
  assert.is(read(0x0a) & 0x80, 0);
});

test('update interrupt each second, acknowledged by register C', () => {
  const { rtc, irq, read, write, runTo } = setUp();
  write(0x0b, 0x12);
  assert.is(rtc.nextDeadlineNs(), SECOND);
  runTo(SECOND);
  assert.is(irq.isHigh, true);
  assert.is(rtc.nextDeadlineNs(), undefined, 'nothing more until it is read');
  runTo(3n * SECOND + 5n);
  assert.is(read(0x0c) & 0x90, 0x90);
  assert.is(irq.isHigh, false);
  assert.is(read(0x0c), 0);
  assert.is(rtc.nextDeadlineNs(), 4n * SECOND);
  assert.is(irq.rises, 1);
});

test('periodic interrupt: 1024 Hz', () => {
  const { rtc, irq, read, write } = setUp();
  write(0x0b, 0x42);
  for (let i = 0; i < 1024; i++) {
    rtc.advanceTo(rtc.nextDeadlineNs()!);
    assert.is(irq.isHigh, true);
    assert.is(read(0x0c) & 0xc0, 0xc0);
  }
  assert.is(rtc.state().nowNs, SECOND);
  write(0x0a, 0x20);
  assert.is(rtc.nextDeadlineNs(), undefined, 'rate 0 is off');
});

test('alarm: exact, with wildcards, and never for impossible values', () => {
  const { rtc, irq, read, write } = setUp({ epoch: Date.UTC(2024, 0, 1, 12, 0, 0) / 1000 });
  write(0x05, 0x13);
  write(0x03, 0x01);
  write(0x01, 0x02);
  write(0x0b, 0x22);
  assert.is(rtc.nextDeadlineNs(), 3662n * SECOND);
  rtc.advanceTo(3662n * SECOND);
  assert.is(irq.isHigh, true);
  read(0x0c);
  assert.is(rtc.nextDeadlineNs(), (3662n + 86_400n) * SECOND, 'again tomorrow');
  write(0x05, 0xff);
  write(0x03, 0xc0);
  assert.is(rtc.nextDeadlineNs(), (3662n + 60n) * SECOND, 'each minute');
  write(0x01, 0x75);
  assert.is(rtc.nextDeadlineNs(), undefined);
});

test('an alarm inside a jump is not missed', () => {
  const { rtc, irq, write } = setUp({ epoch: Date.UTC(2024, 0, 1, 12, 0, 0) / 1000 });
  write(0x05, 0x13);
  write(0x03, 0x00);
  write(0x01, 0x00);
  write(0x0b, 0x22);
  rtc.advanceTo(7200n * SECOND);
  assert.is(irq.isHigh, true);
});

test('memory keeps its bytes, status registers refuse writes, the index wraps at 128', () => {
  const { rtc, read, write } = setUp();
  assert.is(read(0x15), 0x80);
  write(0x40, 0xa5);
  assert.is(read(0x40), 0xa5);
  assert.is(read(0xc0), 0xa5, 'bit 7 is the NMI mask');
  write(0x0d, 0);
  write(0x0c, 0xff);
  assert.is(read(0x0d), 0x80);
  assert.is(read(0x0c), 0);
  assert.is(rtc.readPort(0x70), 0xff);
});

test('reset keeps time and memory, ends interrupts', () => {
  const { rtc, irq, read, write, runTo } = setUp();
  write(0x40, 7);
  write(0x0b, 0x12);
  runTo(SECOND);
  rtc.reset();
  assert.is(irq.isHigh, false);
  assert.is(read(0x0b), 0x02);
  assert.is(read(0x40), 7);
  assert.is(read(0), 0x59);
});

test('it follows the time of day outside, second by second', () => {
  const { rtc, time } = setUp();
  rtc.advanceTo(SECOND / 2n);
  // The host's clock was set: twelve and a quarter seconds on.
  rtc.tellWallClock(BigInt(EPOCH + 12) * SECOND + (3n * SECOND) / 4n);
  assert.equal(time(), ['20', '24', '02', '29', '00', '00', '10']);
  rtc.advanceTo(SECOND / 2n + SECOND / 4n);
  assert.equal(time().at(-1), '11', 'its seconds are those outside');
  // And back.
  rtc.tellWallClock(BigInt(EPOCH - 1) * SECOND);
  assert.equal(time(), ['20', '24', '02', '28', '23', '59', '57']);
  rtc.advanceTo(2n * SECOND);
  assert.equal(time().at(-1), '58');
});

test('one that the guest set stays as far from it as it was set', () => {
  const { rtc, write, time } = setUp();
  // Local time, two hours on, as Linux sets it: with the divider held.
  rtc.advanceTo(SECOND / 4n);
  write(0x0b, 0x82);
  write(0x0a, 0x76);
  write(4, 0x01);
  write(7, 0x29);
  rtc.tellWallClock(BigInt(EPOCH + 100) * SECOND);
  assert.equal(time().slice(3, 5), ['29', '01'], 'not while it is being set');
  rtc.tellWallClock(BigInt(EPOCH) * SECOND + SECOND / 4n);
  write(0x0a, 0x26);
  write(0x0b, 0x02);
  assert.equal(time(), ['20', '24', '02', '29', '01', '59', '58']);
  rtc.advanceTo(SECOND / 4n + 10n * SECOND);
  // The host was corrected by 20 s meanwhile.
  rtc.tellWallClock(BigInt(EPOCH + 30) * SECOND + SECOND / 4n);
  assert.equal(time(), ['20', '24', '02', '29', '02', '00', '28']);
});

test('an alarm and an update that a correction passes over are not lost', () => {
  const { rtc, irq, read, write } = setUp();
  write(0x0b, 0x32);
  write(1, 0x05);
  write(3, 0x00);
  write(5, 0x00);
  rtc.tellWallClock(BigInt(EPOCH + 60) * SECOND);
  assert.ok(irq.isHigh);
  assert.is(read(0x0c), 0xb0);
});

test('what the world told is part of its state', () => {
  const { rtc } = setUp();
  rtc.advanceTo(SECOND);
  rtc.tellWallClock(BigInt(EPOCH + 7) * SECOND);
  const { rtc: other, time } = setUp({ epoch: 0 });
  other.restore(rtc.state());
  assert.equal(time().at(-1), '05');
  assert.equal(other.state(), rtc.state());
});

test.run();
