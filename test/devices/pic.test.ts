// Driver sequences on the interrupt controllers' ports.

import { Pic } from '../../firmware/devices/pic/pic.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('devices/pic');

const LEVEL_LINES = (1 << 9) | (1 << 10) | (1 << 11);

function setUp(options: { icw4?: number; initialise?: boolean } = {}) {
  const wire = { isHigh: false };
  const pic = new Pic({
    intr: { set: (level) => (wire.isHigh = level) },
    levelTriggered: LEVEL_LINES,
  });
  const out = (port: number, value: number) => pic.writePort(port, 1, value);
  const ocw3Read = (port: number, command: number) => {
    out(port, command);
    return pic.readPort(port);
  };
  const isr = (port: number) => ocw3Read(port, 0x0b);
  const irr = (port: number) => ocw3Read(port, 0x0a);
  if (options.initialise !== false) {
    for (const [port, base, icw3] of [
      [0x20, 0x20, 4],
      [0xa0, 0x28, 2],
    ] as const) {
      out(port, 0x11);
      out(port + 1, base);
      out(port + 1, icw3);
      out(port + 1, options.icw4 ?? 1);
    }
  }
  return { pic, wire, out, isr, irr };
}

test('power-on: everything masked, no output', () => {
  const { pic, wire } = setUp({ initialise: false });
  pic.line(0).set(true);
  pic.line(9).set(true);
  assert.is(wire.isHigh, false);
  assert.is(pic.readPort(0x21), 0xff);
});

test('an edge is delivered once, with vector and in-service bit', () => {
  const { pic, wire, out, isr, irr } = setUp();
  pic.line(4).set(true);
  assert.is(wire.isHigh, true);
  assert.is(irr(0x20), 0x10);
  assert.is(pic.acknowledge(), 0x24);
  assert.is(wire.isHigh, false);
  assert.is(isr(0x20), 0x10);
  assert.is(irr(0x20), 0);
  out(0x20, 0x20);
  assert.is(isr(0x20), 0);
  assert.is(wire.isHigh, false, 'the pin is still high, but there was no new edge');
  pic.line(4).set(false);
  pic.line(4).set(true);
  assert.is(wire.isHigh, true);
});

test('a pin that falls before the acknowledge takes its request back; late ack is spurious', () => {
  const { pic, wire, isr } = setUp();
  pic.line(3).set(true);
  pic.line(3).set(false);
  assert.is(wire.isHigh, false);
  assert.is(pic.acknowledge(), 0x27);
  assert.is(isr(0x20), 0, 'a spurious interrupt is not in service');
});

test('level-triggered lines ask again until the pin falls', () => {
  const { pic, wire, out } = setUp();
  pic.line(10).set(true);
  for (let i = 0; i < 3; i++) {
    assert.is(wire.isHigh, true);
    assert.is(pic.acknowledge(), 0x2a);
    assert.is(wire.isHigh, false);
    out(0xa0, 0x20);
    assert.is(wire.isHigh, false, 'the master still has the cascade in service');
    out(0x20, 0x20);
  }
  pic.line(10).set(false);
  assert.is(wire.isHigh, false);
});

test('fixed priority: higher interrupts lower, lower waits', () => {
  const { pic, wire, out } = setUp();
  pic.line(5).set(true);
  assert.is(pic.acknowledge(), 0x25);
  pic.line(6).set(true);
  assert.is(wire.isHigh, false);
  pic.line(1).set(true);
  assert.is(wire.isHigh, true);
  assert.is(pic.acknowledge(), 0x21);
  out(0x20, 0x20); // ends 1
  assert.is(wire.isHigh, false);
  out(0x20, 0x20); // ends 5
  assert.is(pic.acknowledge(), 0x26);
});

test('slave: lower request waits for both ends of interrupt, two pending come in order', () => {
  const { pic, wire, out } = setUp();
  pic.line(12).set(true);
  pic.line(8).set(true);
  assert.is(pic.acknowledge(), 0x28);
  assert.is(wire.isHigh, false);
  out(0xa0, 0x20);
  out(0x20, 0x20);
  assert.is(wire.isHigh, true);
  assert.is(pic.acknowledge(), 0x2c);
});

test('mask hides and keeps a request', () => {
  const { pic, wire, out } = setUp();
  out(0x21, 0x08);
  pic.line(3).set(true);
  assert.is(wire.isHigh, false);
  out(0x21, 0x00);
  assert.is(wire.isHigh, true);
  out(0x21, 0xff);
  assert.is(wire.isHigh, false);
  assert.is(pic.readPort(0x21), 0xff);
});

test('specific end of interrupt ends the named level only', () => {
  const { pic, out, isr } = setUp();
  pic.line(5).set(true);
  pic.acknowledge();
  pic.line(3).set(true);
  pic.acknowledge();
  assert.is(isr(0x20), 0x28);
  out(0x20, 0x65);
  assert.is(isr(0x20), 0x08);
  out(0x20, 0x65);
  assert.is(isr(0x20), 0x08);
});

test('auto end of interrupt leaves nothing in service', () => {
  const { pic, wire, isr } = setUp({ icw4: 3 });
  pic.line(5).set(true);
  pic.line(6).set(true);
  assert.is(pic.acknowledge(), 0x25);
  assert.is(isr(0x20), 0);
  assert.is(wire.isHigh, true);
  assert.is(pic.acknowledge(), 0x26);
});

test('auto end of interrupt on the slave still raises the next slave request', () => {
  const { pic, wire } = setUp({ icw4: 3 });
  pic.line(9).set(true);
  pic.line(14).set(true);
  assert.is(pic.acknowledge(), 0x29);
  pic.line(9).set(false);
  assert.is(wire.isHigh, true);
  assert.is(pic.acknowledge(), 0x2e);
  assert.is(wire.isHigh, false);
});

test('rotation: on end of interrupt, by command, in auto end of interrupt', () => {
  const { pic, out } = setUp();
  out(0x20, 0xc4); // level 4 is lowest: 5 is highest
  pic.line(3).set(true);
  pic.line(6).set(true);
  assert.is(pic.acknowledge(), 0x26);
  out(0x20, 0xa0); // rotate on non-specific: 6 becomes lowest
  assert.is(pic.acknowledge(), 0x23);
  out(0x20, 0xe3); // rotate on specific: 3 becomes lowest
  pic.line(3).set(false);
  pic.line(3).set(true);
  pic.line(4).set(true);
  assert.is(pic.acknowledge(), 0x24);

  const auto = setUp({ icw4: 3 });
  auto.out(0x20, 0x80);
  auto.pic.line(0).set(true);
  assert.is(auto.pic.acknowledge(), 0x20);
  auto.pic.line(0).set(false);
  auto.pic.line(0).set(true);
  auto.pic.line(7).set(true);
  assert.is(auto.pic.acknowledge(), 0x27, 'level 0 went to the end of the queue');
});

test('special mask mode lets lower levels in while a masked one is in service', () => {
  const { pic, wire, out, isr } = setUp();
  pic.line(2 + 1).set(true);
  pic.acknowledge();
  pic.line(6).set(true);
  assert.is(wire.isHigh, false);
  out(0x21, 0x08);
  assert.is(wire.isHigh, false);
  out(0x20, 0x68);
  assert.is(wire.isHigh, true);
  assert.is(pic.acknowledge(), 0x26);
  out(0x20, 0x20);
  assert.is(isr(0x20), 0x08, 'non-specific EOI does not see the masked level');
  out(0x20, 0x48);
  assert.is(wire.isHigh, false);
});

test('special fully nested mode lets a higher slave request through', () => {
  const { pic, wire } = setUp({ icw4: 0x11 });
  pic.line(12).set(true);
  assert.is(pic.acknowledge(), 0x2c);
  pic.line(9).set(true);
  assert.is(wire.isHigh, true);
  assert.is(pic.acknowledge(), 0x29);
});

test('poll acknowledges and names the level', () => {
  const { pic, out, isr, wire } = setUp();
  out(0x20, 0x0c);
  assert.is(pic.readPort(0x20), 7, 'nothing pending');
  pic.line(6).set(true);
  out(0x20, 0x0c);
  assert.is(pic.readPort(0x20), 0x86);
  assert.is(isr(0x20), 0x40);
  assert.is(wire.isHigh, false);
});

test('initialisation forgets edges, mask and service; single mode skips ICW3', () => {
  const { pic, out, isr, irr, wire } = setUp();
  out(0x21, 0x0f);
  pic.line(5).set(true);
  pic.acknowledge();
  pic.line(6).set(true);
  out(0x20, 0x12);
  assert.is(wire.isHigh, false);
  out(0x21, 0x40);
  out(0x21, 0xf0);
  assert.is(pic.readPort(0x21), 0xf0, 'single, no ICW4: the second byte is the mask');
  assert.is(isr(0x20), 0);
  assert.is(irr(0x20), 0);
  pic.line(1).set(true);
  assert.is(pic.acknowledge(), 0x41);
});

test('edge/level registers keep system lines edge-triggered', () => {
  const { pic, out } = setUp();
  assert.is(pic.readPort(0x4d0), 0);
  assert.is(pic.readPort(0x4d1), 0x0e);
  out(0x4d0, 0xff);
  out(0x4d1, 0xff);
  assert.is(pic.readPort(0x4d0), 0xf8);
  assert.is(pic.readPort(0x4d1), 0xde);
  pic.reset();
  assert.is(pic.readPort(0x4d1), 0x0e);
});

test('the cascade and lines beyond 15 do not exist', () => {
  const { pic } = setUp();
  assert.throws(() => pic.line(2));
  assert.throws(() => pic.line(16));
});

test.run();
