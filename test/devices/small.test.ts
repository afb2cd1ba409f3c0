// The devices of a few registers: PM timer, reset ports, debug ports.

import { PmTimer } from '../../firmware/devices/acpi-pm/acpi-pm.ts';
import { DebugPorts } from '../../firmware/devices/debug/debug.ts';
import { ResetPorts } from '../../firmware/devices/reset/reset.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('devices/small');

test('PM timer: 3.579545 MHz, 32 bits, parts of it readable', () => {
  const timer = new PmTimer();
  timer.advanceTo(1_000_000_000n);
  assert.is(timer.readPort(0x608, 4), 3_579_545);
  assert.is(timer.readPort(0x608, 1), 3_579_545 & 0xff);
  assert.is(timer.readPort(0x60a, 2), 3_579_545 >> 16);
  timer.advanceTo(1_200_000_000_000n);
  assert.is(timer.readPort(0x608, 4), (3_579_545 * 1200) % 2 ** 32);
});

function setUpReset() {
  const resets = { count: 0 };
  const ports = new ResetPorts({ onReset: () => resets.count++ });
  return { ports, resets };
}

test('keyboard controller: nobody there, reset pulse works', () => {
  const { ports, resets } = setUpReset();
  assert.is(ports.readPort(0x64) & 0x02, 0, 'never wait before a command');
  for (let i = 0; i < 40; i++) assert.is(ports.readPort(0x64) & 1, 1, 'never drained');
  ports.writePort(0x64, 1, 0x20);
  ports.writePort(0x64, 1, 0xff);
  assert.is(resets.count, 0);
  ports.writePort(0x64, 1, 0xfe);
  assert.is(resets.count, 1);
});

test('keyboard controller: reset through the output port', () => {
  const { ports, resets } = setUpReset();
  ports.writePort(0x60, 1, 0x00);
  assert.is(resets.count, 0);
  ports.writePort(0x64, 1, 0xd1);
  ports.writePort(0x60, 1, 0xdf);
  assert.is(resets.count, 0, 'bit 0 high is no reset');
  ports.writePort(0x64, 1, 0xd1);
  ports.writePort(0x60, 1, 0xde);
  assert.is(resets.count, 1);
});

test('port 0x92: fast reset on the rising bit, A20 stays open', () => {
  const { ports, resets } = setUpReset();
  assert.is(ports.readPort(0x92), 0x02);
  ports.writePort(0x92, 1, 0x00);
  assert.is(ports.readPort(0x92), 0x02);
  ports.writePort(0x92, 1, 0x01);
  ports.writePort(0x92, 1, 0x01);
  assert.is(resets.count, 1);
});

test('0xCF9: reset on the rising bit 2', () => {
  const { ports, resets } = setUpReset();
  ports.register.write(0x02);
  assert.is(resets.count, 0);
  assert.is(ports.register.read(), 0x02);
  ports.register.write(0x06);
  ports.register.write(0x0e);
  assert.is(resets.count, 1);
});

test('debug exit hands out its code, delay ports swallow', () => {
  const codes: number[] = [];
  const ports = new DebugPorts({ onExit: (code) => codes.push(code) });
  ports.writePort(0xf4, 1, 0x2a);
  ports.writePort(0x80, 1, 0x55);
  ports.writePort(0xed, 1, 0x55);
  assert.equal(codes, [0x2a]);
  assert.is(ports.readPort(0x80), 0x55);
  assert.is(ports.readPort(0xed), 0xff);
});

test.run();
