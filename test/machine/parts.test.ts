// The machine's small parts: clock, RAM, bus, entropy, schedule, CMOS sizes.

import { chachaBlock } from '../../firmware/devices/chacha.ts';
import type { Device, StateObject } from '../../firmware/devices/contracts.ts';
import { SharedLine } from '../../firmware/devices/wires.ts';
import { Bus } from '../../firmware/machine/bus.ts';
import { Clock, MULTIPLIER_ONE } from '../../firmware/machine/clock.ts';
import { cmosPresets } from '../../firmware/machine/cmos.ts';
import { Entropy } from '../../firmware/machine/entropy.ts';
import { MemoryBanks } from '../../firmware/machine/memory-banks.ts';
import { GIB, HIGH_RAM_BASE, MIB, memoryMap } from '../../firmware/machine/memory-map.ts';
import { Ram } from '../../firmware/machine/ram.ts';
import { Schedule } from '../../firmware/machine/schedule.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('machine/parts');

// ---- clock ----------------------------------------------------------------------------------

test('clock: positions and times are exact inverses', () => {
  const random = seededRandom('clock');
  for (let round = 0; round < 2000; round++) {
    const clock = new Clock(1n);
    const base = {
      baseNs: random.bigint(60),
      baseIcount: random.bigint(50),
      multiplier: 1n + random.bigint(random.pick([8, 32, 40, 51])),
    };
    clock.restore(base);
    const ns = base.baseNs + random.bigint(40);
    const position = clock.positionAt(ns);
    assert.ok(clock.nsAt(position) >= ns);
    if (position > base.baseIcount) assert.ok(clock.nsAt(position - 1n) < ns);
  }
});

test('clock: one nanosecond an instruction; steps go forward only', () => {
  const clock = new Clock(MULTIPLIER_ONE);
  assert.is(clock.nsAt(1000n), 1000n);
  clock.step(1000n, 5000n, MULTIPLIER_ONE * 3n);
  assert.is(clock.nsAt(1010n), 5030n);
  assert.throws(() => clock.step(1010n, 5029n, MULTIPLIER_ONE));
  assert.throws(() => clock.step(1010n, 6000n, 0n));
  assert.is(clock.nsAt(1010n), 5030n, 'a refused step changes nothing');
});

// ---- RAM ------------------------------------------------------------------------------------

function setUpRam(bytes: number) {
  const written: string[] = [];
  const memory = new Uint8Array(bytes);
  const ram = new Ram({
    memory: new MemoryBanks([memory]),
    onWrite: (address, count) => written.push(`${address.toString(16)}+${count}`),
  });
  return { ram, memory, written };
}

test('RAM: little-endian, told to the engine', () => {
  const { ram, memory, written } = setUpRam(MIB);
  assert.is(ram.writeU64(0x100, 0x123456789a), true);
  assert.equal([...memory.subarray(0x100, 0x108)], [0x9a, 0x78, 0x56, 0x34, 0x12, 0, 0, 0]);
  assert.is(ram.readU64(0x100), 0x123456789a);
  assert.is(ram.readU32(0x101), 0x12345678);
  assert.is(ram.readU16(0x100), 0x789a);
  assert.is(ram.readU8(0x104), 0x12);
  ram.write(0x200, Uint8Array.of(1, 2, 3));
  ram.fill(0x300, 16, 0xff);
  assert.equal(ram.copy(0x1ff, 5), Uint8Array.of(0, 1, 2, 3, 0));
  const into = new Uint8Array(2);
  assert.is(ram.read(0x201, into), true);
  assert.equal(into, Uint8Array.of(2, 3));
  assert.equal(written, ['100+8', '200+3', '300+16']);
});

test('RAM: whatever is not wholly inside is refused and counted, whatever the numbers', () => {
  const { ram, memory, written } = setUpRam(MIB);
  const hostile = [-1, MIB, MIB - 1, 2 ** 32, 2 ** 53, 2 ** 64, NaN, Infinity, -Infinity, 0.5];
  for (const address of hostile) {
    assert.is(ram.readU16(address), undefined);
    assert.is(ram.readU32(address), undefined);
    assert.is(ram.readU64(address), undefined);
    assert.is(ram.writeU32(address, 1), false);
    assert.is(ram.write(address, new Uint8Array(2)), false);
    assert.is(ram.read(address, new Uint8Array(2)), false);
    assert.is(ram.fill(address, 2, 1), false);
    assert.is(ram.copy(address, 2), undefined);
    assert.is(ram.has(address, 2), false);
  }
  for (const bytes of [-1, MIB + 1, 2 ** 40, 2 ** 64, NaN]) {
    assert.is(ram.copy(0, bytes), undefined);
    assert.is(ram.fill(16, bytes, 1), false);
  }
  assert.is(ram.refused, hostile.length * 8 + 10);
  assert.is(
    memory.every((byte) => byte === 0),
    true,
  );
  assert.equal(written, []);
});

test('RAM: the last byte is inside, the one behind is not', () => {
  const { ram } = setUpRam(MIB);
  assert.is(ram.writeU8(MIB - 1, 7), true);
  assert.is(ram.writeU8(MIB, 7), false);
  assert.is(ram.has(MIB, 0), true, 'nothing at the very end is still inside');
});

test('RAM: above 3 GiB it goes on at 4 GiB', () => {
  const { ram, memory } = setUpRam(3 * GIB + 8192);
  assert.is(ram.writeU32(3 * GIB - 4, 1), true);
  assert.is(ram.writeU32(3 * GIB - 2, 1), false, 'not across the gap');
  assert.is(ram.writeU32(3 * GIB, 1), false);
  assert.is(ram.writeU32(HIGH_RAM_BASE - 4, 1), false);
  assert.is(ram.writeU32(HIGH_RAM_BASE, 0x55), true);
  assert.is(memory[3 * GIB], 0x55);
  assert.is(ram.writeU32(HIGH_RAM_BASE + 8188, 1), true);
  assert.is(ram.writeU32(HIGH_RAM_BASE + 8189, 1), false);
  assert.is(memory.subarray(3 * GIB, 3 * GIB + 2).length, 2);
  assert.equal(memoryMap(memory.length).at(-1), { base: HIGH_RAM_BASE, count: 8192, kind: 'ram' });
});

// ---- bus ------------------------------------------------------------------------------------

class Recorder implements Device {
  readonly name: string;
  readonly ports;
  readonly portBytesMax: 1 | 2 | 4;
  readonly memory;
  readonly log: string[];
  deadline: bigint | undefined;
  asked = 0;
  nowNs = 0n;

  constructor(name: string, log: string[], base: number, bytesMax: 1 | 2 | 4) {
    this.name = name;
    this.log = log;
    this.ports = [{ base, count: 4 }];
    this.portBytesMax = bytesMax;
    this.memory = [{ base: base * 0x1000, count: 0x1000 }];
  }
  readPort(port: number, bytes: number): number {
    this.log.push(`${this.name} in ${port.toString(16)} ${bytes}`);
    return bytes === 1 ? port & 0xff : 0x12345678;
  }
  writePort(port: number, bytes: number, value: number): void {
    this.log.push(`${this.name} out ${port.toString(16)} ${bytes} ${value.toString(16)}`);
  }
  readMemory(address: number, bytes: number): number {
    this.log.push(`${this.name} load ${address.toString(16)} ${bytes}`);
    return 7;
  }
  writeMemory(address: number, bytes: number, value: number): void {
    this.log.push(`${this.name} store ${address.toString(16)} ${bytes} ${value.toString(16)}`);
  }
  nextDeadlineNs(): bigint | undefined {
    this.asked++;
    return this.deadline;
  }
  advanceTo(nowNs: bigint): void {
    this.nowNs = nowNs;
    if (this.deadline !== undefined && this.deadline <= nowNs) this.deadline = undefined;
  }
  state(): StateObject {
    return {};
  }
  restore(): void {}
  reset(): void {}
}

function setUpBus() {
  const log: string[] = [];
  const bus = new Bus({ beforeAccess: (device) => log.push(`before ${device.name}`) });
  bus.add(new Recorder('narrow', log, 0x100, 1));
  bus.add(new Recorder('wide', log, 0x104, 4));
  return { bus, log };
}

test('bus: wide accesses go whole to wide devices and in bytes to narrow ones', () => {
  const { bus, log } = setUpBus();
  assert.is(bus.readPort(0x104, 4), 0x12345678);
  assert.is(bus.readPort(0x100, 4), 0x03020100);
  bus.writePort(0x102, 2, 0xbbaa);
  assert.equal(
    log.filter((line) => !line.startsWith('before')),
    [
      'wide in 104 4',
      'narrow in 103 1',
      'narrow in 102 1',
      'narrow in 101 1',
      'narrow in 100 1',
      'narrow out 102 1 aa',
      'narrow out 103 1 bb',
    ],
  );
  assert.is(log[0], 'before wide');
});

test('bus: accesses across devices and into nothing', () => {
  const { bus, log } = setUpBus();
  assert.is(bus.readPort(0x106, 4), 0xffff0706);
  assert.is(bus.readPort(0xffff, 2), 0xffff);
  bus.writePort(0x107, 2, 0x2211);
  assert.is(bus.openBusReads, 4);
  assert.is(bus.openBusWrites, 1);
  assert.is(log.at(-1), 'wide out 107 1 11');
});

test('bus: memory', () => {
  const { bus, log } = setUpBus();
  assert.is(bus.readMemory(0x100010, 4), 7);
  bus.writeMemory(0x104fff, 1, 0xee);
  assert.is(bus.readMemory(0x104ffe, 4), 0xffffffff, 'across the end');
  assert.is(bus.readMemory(0x900000, 2), 0xffff);
  bus.writeMemory(0x900000, 4, 1);
  assert.is(bus.openBusReads, 2);
  assert.is(bus.openBusWrites, 1);
  assert.equal(
    log.filter((line) => !line.startsWith('before')),
    ['narrow load 100010 4', 'wide store 104fff 1 ee'],
  );
});

test('bus: two devices cannot share a port', () => {
  const { bus } = setUpBus();
  assert.throws(() => bus.add(new Recorder('third', [], 0x103, 1)));
});

// ---- schedule -------------------------------------------------------------------------------

test('schedule: the earliest deadline, asked again only where something happened', () => {
  const devices = [1, 2, 3].map((n) => new Recorder(`${n}`, [], n * 16, 1));
  const [one, two, three] = devices as [Recorder, Recorder, Recorder];
  const schedule = new Schedule(devices);
  const clock = new Clock(MULTIPLIER_ONE * 2n);
  one.deadline = 500n;
  two.deadline = 300n;
  assert.is(schedule.nextNs(), 300n);
  assert.is(schedule.nextPosition(clock), 150n);
  schedule.nextPosition(clock);
  assert.equal(
    devices.map(({ asked }) => asked),
    [1, 1, 1],
  );
  schedule.access(three, 100n);
  three.deadline = 200n;
  assert.is(schedule.nextPosition(clock), 100n);
  assert.equal(
    devices.map(({ asked }) => asked),
    [1, 1, 2],
  );
  schedule.advanceDue(199n);
  assert.is(one.nowNs, 0n, 'nothing was due');
  schedule.advanceDue(400n);
  assert.is(one.nowNs, 400n);
  assert.is(schedule.nextNs(), 500n);
  clock.step(200n, 450n, MULTIPLIER_ONE);
  schedule.clockChanged();
  assert.is(schedule.nextPosition(clock), 250n);
  schedule.advanceDue(600n);
  assert.is(schedule.nextNs(), undefined);
  assert.is(schedule.nextPosition(clock), undefined);
});

// ---- the rest -------------------------------------------------------------------------------

test('ChaCha20 block of RFC 8439, A.1 (zero key, counters 0 and 1)', () => {
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
  const block = (counter: number) => {
    const into = new Uint8Array(64);
    chachaBlock(new Uint8Array(32), counter, new Uint32Array(3), into, 0);
    return hex(into);
  };
  assert.is(
    block(0),
    '76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7' +
      'da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586',
  );
  assert.is(block(1).slice(0, 32), '9f07e7be5551387a98ba977c732d080d');
});

test('entropy: same seed same bytes, draws differ, state carries on', () => {
  const seed = Uint8Array.from({ length: 32 }, (_, i) => i);
  const [a, b] = [new Entropy(seed), new Entropy(seed)];
  const draw = (from: Entropy, bytes: number) => {
    const into = new Uint8Array(bytes);
    from.fill(into);
    return into;
  };
  assert.equal(draw(a, 100), draw(b, 100));
  assert.not.equal(draw(a, 32), draw(a, 32));
  b.restore(a.state());
  assert.equal(draw(a, 7), draw(b, 7));
  assert.throws(() => new Entropy(new Uint8Array(31)));
});

test('CMOS sizes', () => {
  const at = (ram: number) => new Map(cmosPresets(ram));
  const word = (map: Map<number, number>, offset: number) =>
    map.get(offset)! | (map.get(offset + 1)! << 8);
  assert.is(word(at(64 * MIB), 0x15), 640);
  assert.is(word(at(32 * MIB), 0x17), 31 * 1024);
  assert.is(word(at(GIB), 0x17), 0xffff);
  assert.is(word(at(GIB), 0x34), (GIB - 16 * MIB) / 65_536);
  assert.is(word(at(8 * MIB), 0x34), 0);
});

test('shared line: high while anyone holds it', () => {
  const levels: boolean[] = [];
  const shared = new SharedLine({ set: (level) => levels.push(level) });
  const [one, two] = [shared.source(), shared.source()];
  one.set(true);
  one.set(true);
  two.set(true);
  one.set(false);
  assert.is(levels.at(-1), true);
  two.set(false);
  assert.is(levels.at(-1), false);
});

test.run();
