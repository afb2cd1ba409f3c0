// Configuration space, BAR windows and INTA# as a guest's PCI core uses them.

import type { StateObject } from '../../firmware/devices/contracts.ts';
import { type BarSpec, PciConfig } from '../../firmware/devices/pci/config.ts';
import type { PciFunction } from '../../firmware/devices/pci/function.ts';
import { irqOfSlot, PciHost } from '../../firmware/devices/pci/host.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('devices/pci');

// Registers that remember what was written and where.
class Scratch implements PciFunction {
  readonly name: string;
  readonly config: PciConfig;
  readonly log: string[] = [];
  private value = 0;

  constructor(name: string, host: PciHost, slot: number, bars: readonly BarSpec[]) {
    this.name = name;
    this.config = new PciConfig({
      identity: {
        vendorId: 0x1af4,
        deviceId: 0x1041,
        classCode: 0x020000,
        revision: 1,
        subsystemVendorId: 0x1af4,
        subsystemId: 0x40,
      },
      bars,
      capabilities: [Uint8Array.of(9, 0, 8, 1, 2, 3, 4, 5), Uint8Array.of(9, 0xff, 5, 1, 7)],
      intx: host.intx(slot),
    });
  }
  barRead(bar: number, offset: number, bytes: number): number {
    this.log.push(`read ${bar} ${offset} ${bytes}`);
    return this.value;
  }
  barWrite(bar: number, offset: number, bytes: number, value: number): void {
    this.log.push(`write ${bar} ${offset} ${bytes}`);
    this.value = value;
  }
  state(): StateObject {
    return { value: this.value };
  }
  restore(state: StateObject): void {
    this.value = state.value as number;
  }
  reset(): void {
    this.value = 0;
  }
}

const BARS: readonly BarSpec[] = [
  { index: 0, kind: 'io', bytes: 64 },
  { index: 1, kind: 'memory32', bytes: 4096 },
  { index: 4, kind: 'memory64', bytes: 16_384, prefetchable: true },
];

function setUp() {
  const irqs = new Map<number, boolean>();
  const resets: number[] = [];
  const host = new PciHost({
    irqLine: (irq) => ({ set: (level) => irqs.set(irq, level) }),
    resetRegister: { read: () => 0x42, write: (value) => resets.push(value) },
  });
  const one = new Scratch('one', host, 1, BARS);
  const four = new Scratch('four', host, 4, [{ index: 0, kind: 'memory32', bytes: 4096 }]);
  host.add(1, one);
  host.add(4, four);
  const select = (slot: number, offset: number) =>
    host.writePort(0xcf8, 4, 0x80000000 + slot * 0x800 + (offset & 0xfc));
  const read = (slot: number, offset: number, bytes = 4) => {
    select(slot, offset);
    return host.readPort(0xcfc + (offset & 3), bytes);
  };
  const write = (slot: number, offset: number, bytes: number, value: number) => {
    select(slot, offset);
    host.writePort(0xcfc + (offset & 3), bytes, value);
  };
  return { host, one, four, irqs, resets, read, write };
}

test('mechanism 1 is found the way guests look for it', () => {
  const { host } = setUp();
  host.writePort(0xcfb, 1, 0x01);
  assert.is(host.readPort(0xcf8, 4), 0, 'byte writes do not reach the address register');
  host.writePort(0xcf8, 4, 0x80000000);
  assert.is(host.readPort(0xcf8, 4), 0x80000000);
  assert.is(host.readPort(0xcfc, 4), 0x12378086);
  assert.is(host.readPort(0xcfe, 2), 0x1237);
});

test('empty slots, other buses and other functions read as ones', () => {
  const { host, read } = setUp();
  assert.is(read(2, 0), 0xffffffff);
  for (const address of [0x80010800, 0x80000900, 0x00000800]) {
    host.writePort(0xcf8, 4, address);
    assert.is(host.readPort(0xcfc, 4), 0xffffffff);
    host.writePort(0xcfc, 4, 0);
  }
  assert.is(read(2, 1, 1), 0xff);
});

test('identity, class, capability chain, interrupt pin and line', () => {
  const { read } = setUp();
  assert.is(read(1, 0), 0x10411af4);
  assert.is(read(1, 8), 0x02000001);
  assert.is(read(1, 0x2c), 0x00401af4);
  assert.is(read(1, 6, 2) & 0x10, 0x10);
  const first = read(1, 0x34, 1);
  assert.is(first, 0x40);
  assert.is(read(1, first, 1), 9);
  const second = read(1, first + 1, 1);
  assert.is(second, 0x48);
  assert.is(read(1, second + 1, 1), 0, 'the end of the chain');
  assert.is(read(1, 0x3c, 2), 0x100 | irqOfSlot(1));
  assert.is(read(0, 0x3d, 1), 0, 'the bridge has no interrupt');
});

test('identity is read-only, the interrupt line register is not', () => {
  const { read, write } = setUp();
  write(1, 0, 4, 0);
  write(1, 0x40, 4, 0);
  write(1, 0x3c, 1, 5);
  assert.is(read(1, 0), 0x10411af4);
  assert.is(read(1, 0x40, 1), 9);
  assert.is(read(1, 0x3c, 1), 5);
});

test('BAR sizing by writing ones', () => {
  const { read, write } = setUp();
  for (const at of [0x10, 0x14, 0x18, 0x20, 0x24]) write(1, at, 4, 0xffffffff);
  assert.is(read(1, 0x10), 0xffffffc1);
  assert.is(read(1, 0x14), 0xfffff000);
  assert.is(read(1, 0x18), 0);
  assert.is(read(1, 0x20), 0xffffc00c);
  assert.is(read(1, 0x24), 0xffffffff);
});

test('the BARs were placed, aligned and without overlap, and answer', () => {
  const { host, one, four } = setUp();
  const [io, memory, large] = [0, 1, 4].map((index) => one.config.barBase(index));
  assert.equal(one.config.decoded().length, 3);
  assert.is(large! % 16_384, 0);
  host.writePort(io! + 4, 2, 0x1234);
  assert.is(host.readPort(io! + 60, 4), 0x1234);
  host.writeMemory(memory! + 0xffc, 4, 7);
  host.readMemory(large! + 1, 1);
  host.readMemory(four.config.barBase(0), 4);
  assert.equal(one.log, ['write 0 4 2', 'read 0 60 4', 'write 1 4092 4', 'read 4 1 1']);
  assert.equal(four.log, ['read 0 0 4']);
});

test('outside of every BAR is open bus, counted', () => {
  const { host, one } = setUp();
  assert.is(host.readMemory(0xefff_0000, 4), 0xffffffff);
  host.writeMemory(0xefff_0000, 4, 1);
  assert.is(host.readMemory(one.config.barBase(1) + 0xffe, 4), 0xffffffff, 'across the end');
  assert.is(host.readPort(0xcfff, 1), 0xff);
  assert.is(host.unclaimed, 4);
  assert.equal(one.log, []);
});

test('command bits switch decoding; a moved BAR moves', () => {
  const { host, one, read, write } = setUp();
  const base = one.config.barBase(1);
  write(1, 4, 2, 0x0001);
  assert.is(host.readMemory(base, 4), 0xffffffff);
  write(1, 4, 2, 0x0003);
  write(1, 0x14, 4, 0xe800_0123);
  assert.is(read(1, 0x14), 0xe800_0000);
  host.readMemory(0xe800_0000, 4);
  assert.is(host.readMemory(base, 4), 0xffffffff);
  assert.equal(one.log, ['read 1 0 4']);
  assert.is(one.config.isBusMaster, false);
  write(1, 4, 2, 0x0007);
  assert.is(one.config.isBusMaster, true);
});

test('INTA#: shared wire, status bit, disable bit', () => {
  const { one, four, irqs, read, write } = setUp();
  assert.is(irqOfSlot(1), irqOfSlot(4));
  const irq = irqOfSlot(1);
  one.config.setInterrupt(true);
  four.config.setInterrupt(true);
  one.config.setInterrupt(false);
  assert.is(irqs.get(irq), true, 'the other still holds it');
  assert.is(read(4, 6, 2) & 8, 8);
  write(4, 4, 2, 0x0400);
  assert.is(irqs.get(irq), false);
  assert.is(read(4, 6, 2) & 8, 8, 'the condition is still there');
  write(4, 4, 2, 0);
  assert.is(irqs.get(irq), true);
  four.config.setInterrupt(false);
  assert.is(irqs.get(irq), false);
});

test('0xCF9 by byte is the reset register', () => {
  const { host, resets } = setUp();
  host.writePort(0xcf9, 1, 6);
  assert.equal(resets, [6]);
  assert.is(host.readPort(0xcf9, 1), 0x42);
  assert.is(host.readPort(0xcf9, 2), 0xffff);
});

test('state goes into a fresh host, and only into one with the same functions', () => {
  const { host, one, write } = setUp();
  write(1, 4, 2, 0x0406);
  write(1, 0x14, 4, 0xe900_0000);
  one.barWrite(0, 0, 1, 99);
  one.config.setInterrupt(true);
  const fresh = setUp();
  fresh.host.restore(host.state());
  assert.equal(fresh.host.state(), host.state());
  assert.is(fresh.host.readMemory(0xe900_0000, 4), 99);
  fresh.write(1, 4, 2, 0);
  assert.is(fresh.irqs.get(irqOfSlot(1)), true, 'the saved interrupt condition drives the wire');
  const other = setUp();
  other.host.add(5, new Scratch('five', other.host, 5, []));
  assert.throws(() => other.host.restore(host.state()));
});

test('reset puts everything back as at power-on', () => {
  const { host, one, write } = setUp();
  const before = host.state();
  write(1, 0x14, 4, 0xe900_0000);
  write(1, 4, 2, 0);
  one.barWrite(0, 0, 1, 5);
  host.writePort(0xcf8, 4, 0x80000000);
  host.reset();
  assert.equal(host.state(), before);
});

test('mistakes of ours throw', () => {
  const { host } = setUp();
  assert.throws(() => host.add(1, new Scratch('again', host, 1, [])));
  assert.throws(() => host.add(32, new Scratch('far', host, 1, [])));
  assert.throws(() => new Scratch('odd', host, 6, [{ index: 0, kind: 'io', bytes: 48 }]));
});

test.run();
