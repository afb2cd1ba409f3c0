// The decisions of the vCPU thread: clock, inputs, slices and sleep, without a thread.

import type { Input } from '../../../firmware/devices/contracts.ts';
import { SLICE_NS, VcpuLoop } from '../../../firmware/host/vcpu/loop.ts';
import { WallClock } from '../../../firmware/host/vcpu/wall-clock.ts';
import { Pacer } from '../../../firmware/lockstep/pacer.ts';
import { assert, seededRandom, suite } from '../../harness/index.ts';
import { FakeMachine } from './fake-machine.ts';

const test = suite('host/vcpu/loop');
const MS = 1_000_000n;

function setUp(digestIntervalNs?: bigint) {
  const machine = new FakeMachine();
  const realNs = () => machine.realNs;
  const { position } = machine;
  const pacer = new Pacer({ realNs: realNs(), virtualNs: 0n, position, multiplier: 10n << 32n });
  const loop = new VcpuLoop({ machine, recorder: machine, pacer, realNs, digestIntervalNs });
  return { machine, loop, start: machine.realNs };
}

const frame = (byte: number): Input => ({ kind: 'net-rx', nic: 0, frame: Uint8Array.of(byte) });
const serial = (bytes: Uint8Array, port: 'com1' | 'com2' = 'com1'): Input => ({
  kind: 'serial-rx',
  port,
  bytes,
});

test('slices of a busy guest grow or shrink to a few milliseconds on any host', () => {
  for (const costNs of [1n, 10n, 100n, 5_000n]) {
    const { machine, loop } = setUp();
    machine.costNs = costNs;
    for (let i = 0; i < 40; i++) assert.equal(loop.step(), { kind: 'run' });
    const sliceNs = machine.slices.at(-1)! * costNs;
    const shortest = 20_000n * costNs; // never shorter than that many instructions
    const wanted = shortest > SLICE_NS ? shortest : SLICE_NS;
    assert.ok(sliceNs > (wanted * 9n) / 10n && sliceNs < (wanted * 11n) / 10n, `${sliceNs}`);
  }
});

test('a busy guest gets a clock step about every slice and stays near real time', () => {
  const { machine, loop, start } = setUp();
  machine.costNs = 7n;
  while (machine.realNs - start < 1000n * MS) loop.step();
  const steps = machine.inputs.length;
  assert.ok(steps > 180 && steps < 260, `${steps} steps in a second`);
  const errorNs = machine.nowNs() - (machine.realNs - start);
  assert.ok(errorNs > -5n * MS && errorNs < 5n * MS, `${errorNs}`);
});

test('an idle guest sleeps until its timer, then wakes by one clock step', () => {
  const { machine, loop, start } = setUp();
  machine.script.push({ end: 'idle', instructions: 100n }, { end: 'idle', instructions: 50n });
  machine.deadlineNs = 20n * MS;
  assert.equal(loop.step(), { kind: 'run' });
  const untilRealNs = start + 20n * MS;
  assert.equal(loop.step(), { kind: 'sleep', untilRealNs });
  assert.equal(loop.step(), { kind: 'sleep', untilRealNs }, 'woken for nothing');
  assert.equal(machine.kinds(), []);
  assert.is(machine.slices.length, 1);

  machine.realNs = untilRealNs + 60_000n; // a host wakes a little late
  assert.equal(loop.step(), { kind: 'run' });
  assert.equal(machine.kinds(), ['clock-step']);
  assert.is(machine.slices.length, 2);
  assert.ok(machine.nowNs() >= 20n * MS + 60_000n);
});

test('after a pause of the host a step ends at the next timer, which has its turn before the next step', () => {
  const { machine, loop } = setUp();
  for (let i = 0; i < 40; i++) loop.step();
  machine.realNs += 40n * MS;
  const timerNs = machine.nowNs() + 4n * MS;
  machine.deadlineNs = timerNs;
  loop.step();
  const step = machine.inputs.at(-1);
  assert.ok(step?.kind === 'clock-step' && step.ns >= timerNs && step.ns < timerNs + MS);
  assert.is(machine.slices.at(-1), 10_000n);
  machine.deadlineNs = undefined;
  loop.step();
  const next = machine.inputs.at(-1);
  assert.ok(next?.kind === 'clock-step' && next.ns > timerNs + 30n * MS, 'the rest at once');
  assert.ok(machine.slices.at(-1)! > 100_000n);
});

test('a guest that is faster than its clock was set for runs no further than 6 ms of its time', () => {
  const { machine, loop } = setUp();
  for (let i = 0; i < 40; i++) loop.step();
  // Its clock passes ten times as fast as it should from now on.
  machine.inject({ kind: 'clock-step', ns: machine.nowNs(), multiplier: 100n << 32n });
  const before = machine.nowNs();
  loop.step();
  assert.ok(machine.nowNs() - before <= 7n * MS, `${machine.nowNs() - before}`);
});

test('the time of day is told before the guest runs, once', () => {
  const machine = new FakeMachine();
  const realNs = () => machine.realNs;
  const now = { realNs: realNs(), virtualNs: 0n, position: 0n };
  const pacer = new Pacer({ ...now, multiplier: 10n << 32n });
  const wallClock = new WallClock(() => 1_700_000_000_000n * MS + machine.realNs);
  const parts = { machine, recorder: machine, pacer, realNs, digestIntervalNs: undefined };
  const loop = new VcpuLoop({ ...parts, wallClock });
  for (let i = 0; i < 200; i++) loop.step();
  assert.is(machine.kinds()[0], 'wall-clock');
  assert.is(machine.kinds().filter((kind) => kind === 'wall-clock').length, 1);
});

test('without a timer it sleeps for ever; an input wakes it, after the clock', () => {
  const { machine, loop } = setUp();
  machine.script.push({ end: 'idle', instructions: 10n });
  loop.step();
  assert.equal(loop.step(), { kind: 'sleep', untilRealNs: undefined });
  machine.realNs += 3_000n * MS;
  loop.push(frame(1));
  loop.push(frame(2));
  loop.step();
  assert.equal(machine.kinds(), ['clock-step', 'net-rx', 'net-rx']);
  assert.is((machine.inputs[0] as { ns: bigint }).ns / MS, 3000n);
});

test('inputs of a busy guest go in at the next slice, in order, without an extra clock step', () => {
  const { machine, loop } = setUp();
  machine.script.push({ end: 'kick', instructions: 1_000n }, { end: 'kick', instructions: 1_000n });
  loop.step();
  for (let i = 0; i < 5; i++) loop.push(frame(i));
  loop.step();
  const bytes = machine.inputs.map((input) => (input as { frame: Uint8Array }).frame[0]);
  assert.equal(bytes, [0, 1, 2, 3, 4]);
  assert.is(machine.slices.length, 2);
});

test('kicked and idle slices do not change the length of the next', () => {
  const { machine, loop } = setUp();
  for (let i = 0; i < 30; i++) loop.step();
  const length = machine.slices.at(-1)!;
  machine.script.push({ end: 'kick', instructions: 1n }, { end: 'kick', instructions: 3n });
  for (let i = 0; i < 3; i++) loop.step();
  assert.is(machine.slices.at(-1), length);
});

test('serial bytes come as fast as the guest reads, whole and in order', () => {
  const { machine, loop } = setUp();
  const random = seededRandom('serial');
  const sent = random.bytes(50_000);
  loop.push(serial(sent.subarray(0, 30_000)));
  loop.push(serial(Uint8Array.of(1, 2, 3), 'com2'));
  loop.push(serial(sent.subarray(30_000)));
  assert.is(loop.heldBytes('com1'), 50_000);
  const received: number[] = [];
  for (let turn = 0; turn < 200; turn++) {
    machine.backlog = random.int(5000);
    const before = machine.inputs.length;
    loop.step();
    for (const input of machine.inputs.slice(before)) {
      if (input.kind !== 'serial-rx') continue;
      if (input.port === 'com1') received.push(...input.bytes);
    }
    assert.ok(machine.backlog <= 5000 + 3);
    assert.is(loop.heldBytes('com1'), 50_000 - received.length);
  }
  assert.is(Buffer.compare(Uint8Array.from(received), sent), 0);
  assert.is(loop.heldBytes('com2'), 0);
});

test('bytes an idle guest has no room for do not keep it awake', () => {
  const { machine, loop } = setUp();
  machine.backlog = 1 << 16;
  machine.script.push({ end: 'idle', instructions: 10n });
  loop.push(serial(new Uint8Array(10)));
  loop.step();
  assert.equal(loop.step(), { kind: 'sleep', untilRealNs: undefined });
  assert.is(loop.heldBytes('com1'), 10);
});

test('the reason of the end is told, whether the guest or an input made it', () => {
  const first = setUp();
  first.machine.script.push({ end: 'stopped' });
  assert.equal(first.loop.step(), { kind: 'stopped', reason: { kind: 'off' } });

  const second = setUp();
  second.loop.step();
  second.loop.push({ kind: 'control', action: 'reset' });
  const slices = second.machine.slices.length;
  assert.equal(second.loop.step(), { kind: 'stopped', reason: { kind: 'reset' } });
  assert.is(second.machine.slices.length, slices, 'nothing ran after it');
});

test('before a pause everything that came goes in, and the guest does not run on', () => {
  const { machine, loop } = setUp();
  machine.script.push({ end: 'idle', instructions: 10n });
  loop.step();
  loop.settle();
  assert.equal(machine.kinds(), [], 'nothing came: not even a clock step');
  machine.realNs += 50n * MS;
  loop.push(frame(1));
  loop.push(serial(new Uint8Array(10_000)));
  loop.settle();
  assert.equal(machine.kinds(), ['clock-step', 'net-rx', 'serial-rx']);
  assert.is(machine.slices.length, 1);
  assert.is(loop.heldBytes('com1'), 10_000 - 4096);
  assert.equal(loop.step(), { kind: 'run' }, 'what went in wakes an idle guest');
  assert.is(machine.slices.length, 2);
});

test('what the guest never got is given back', () => {
  const { machine, loop } = setUp();
  machine.backlog = 1 << 16;
  loop.push(serial(Uint8Array.of(1, 2)));
  loop.push(frame(3));
  assert.equal(
    loop.takeQueued().map(({ kind }) => kind),
    ['net-rx', 'serial-rx'],
  );
  assert.equal(loop.takeQueued(), []);
  loop.step();
  assert.equal(machine.kinds(), []);
});

test('a share of the slice makes it shorter', () => {
  const { machine, loop } = setUp();
  loop.sliceShare = 0.1;
  for (let i = 0; i < 40; i++) loop.step();
  const sliceNs = machine.slices.at(-1)! * machine.costNs;
  assert.ok(sliceNs < SLICE_NS / 9n && sliceNs > SLICE_NS / 11n, `${sliceNs}`);
});

test('digests come by virtual time', () => {
  const { machine, loop, start } = setUp(50n * MS);
  while (machine.realNs - start < 1000n * MS) loop.step();
  assert.ok(machine.digests >= 18 && machine.digests <= 20, `${machine.digests}`);
  const { machine: plain, loop: plainLoop } = setUp();
  for (let i = 0; i < 100; i++) plainLoop.step();
  assert.is(plain.digests, 0);
});

test.run();
