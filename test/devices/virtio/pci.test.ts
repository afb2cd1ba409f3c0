// The transport as a driver meets it: structures, negotiation, queue set-up, interrupts, resets.
// The device behind it is an echo: it gives every chain back, its readable part written into its
// writable part.

import type { StateObject } from '../../../firmware/devices/contracts.ts';
import { gather, scatter } from '../../../firmware/devices/virtio/chain.ts';
import type { VirtioModel } from '../../../firmware/devices/virtio/model.ts';
import { VirtioPci } from '../../../firmware/devices/virtio/pci.ts';
import { assert, suite } from '../../harness/index.ts';
import { INDIRECT, PCI_CONFIG, STATUS, VERSION_1, VirtioDriver } from './driver.ts';
import { TestPc, type Wiring } from './pc.ts';

const test = suite('devices/virtio/pci');

class Echo implements VirtioModel {
  readonly name = 'echo';
  readonly deviceType = 42;
  readonly classCode = 0xff0000;
  readonly features = [3, 40];
  readonly queueSizes = [16, 64];
  readonly configSpace = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9);
  readonly pci: VirtioPci;
  served = 0;
  resets = 0;
  private readonly ram: Wiring['ram'];

  constructor({ ram, intx }: Wiring) {
    this.ram = ram;
    this.pci = new VirtioPci({ ram, intx, model: this });
  }
  serve(queue: number): void {
    this.served++;
    this.pci.drain(queue, (chain) => {
      const text = gather(this.ram, chain.readable, 0, 4096);
      const bytes = scatter(this.ram, chain.writable, 0, text);
      this.pci.give(queue, chain.head, bytes);
    });
  }
  deviceReset(): void {
    this.resets++;
  }
  powerReset(): void {}
  state(): StateObject {
    return { served: this.served };
  }
  restore(state: StateObject): void {
    this.served = (state as { served: number }).served;
  }
}

function setUp() {
  const pc = new TestPc((wiring) => new Echo(wiring));
  return { pc, driver: new VirtioDriver(pc) };
}

const text = (value: string) => new TextEncoder().encode(value);
const string = (value: Uint8Array) => new TextDecoder().decode(value);

test('configuration space says what it is and where the structures are', () => {
  const { pc, driver } = setUp();
  assert.is(pc.configRead(0, 4), 0x106a_1af4);
  assert.is(pc.configRead(8, 4), 0xff00_0001);
  assert.is(pc.configRead(0x3d, 1), 1, 'INTA#');
  const kinds = [...driver.places].map(([kind, places]) => [kind, places.length]);
  assert.equal(kinds, [
    [1, 1],
    [2, 2],
    [3, 2],
    [4, 1],
    [5, 1],
  ]);
  assert.is(driver.place(2).space, 'port', 'the faster notify comes first');
  assert.is(driver.place(3).space, 'port');
  assert.is(driver.place(4).length, 9);
  assert.is(driver.common(0x12, 2), 2);
  const sizes = [0, 1, 2].map((queue) => {
    driver.setCommon(0x16, 2, queue);
    return driver.common(0x18, 2);
  });
  assert.equal(sizes, [16, 64, 0], 'a queue that is not there has size 0');
});

test('features: offered, declined without VERSION_1, with too many, frozen afterwards', () => {
  const { driver } = setUp();
  const offered = Array.from({ length: 70 }, (_, bit) => bit).filter((bit) => driver.offers(bit));
  assert.equal(offered, [3, INDIRECT, VERSION_1, 40]);
  assert.is(driver.negotiate([3, 4]), false, 'never offered');
  assert.is(driver.negotiate([41]), false);
  driver.setStatus(0);
  driver.setStatus(STATUS.acknowledge | STATUS.driver);
  driver.setStatus(driver.status | STATUS.featuresOk);
  assert.is(driver.status & STATUS.featuresOk, 0, 'without VERSION_1');
  driver.setStatus(driver.status | STATUS.driverOk);
  assert.is(driver.status & STATUS.driverOk, 0, 'not before FEATURES_OK');
  assert.is(driver.negotiate([3, 40, INDIRECT]), true);
  driver.setCommon(0x08, 4, 0);
  driver.setCommon(0x0c, 4, 0);
  assert.is(driver.common(0x0c, 4), 8 + 2 ** INDIRECT, 'frozen');
});

test('an echo through every kind of chain', () => {
  const { pc, driver } = setUp();
  driver.start([INDIRECT]);
  const queue = driver.queues[1]!;
  queue.add({ readable: [text('one')], writable: [8] });
  queue.add({ readable: [text('t'), text(''), text('wo')], writable: [1, 0, 8] });
  queue.add({ readable: [text('thr'), text('ee')], writable: [2, 2, 2], indirect: true });
  queue.add({ readable: [text('no room')] });
  queue.add({ writable: [4] });
  assert.equal(queue.collect(), [], 'nothing before the notify');
  queue.kick();
  const used = queue.collect();
  assert.equal(
    used.map(({ token, bytesWritten, data }) => [token, string(data.subarray(0, bytesWritten))]),
    [
      [1, 'one'],
      [2, 'two'],
      [3, 'three'],
      [4, ''],
      [5, ''],
    ],
  );
  assert.is(used[0]!.data[3], 0xee, 'nothing is written beyond');
  assert.is(pc.ram.refused, 0);
});

test('rings wrap: three times round the indices of 16 bits', () => {
  const { driver } = setUp();
  driver.start();
  const queue = driver.queues[0]!;
  const { ram } = driver;
  const buffer = driver.allocate(16);
  queue.describe(queue.table, { address: buffer, bytes: 16, flags: 2 }, undefined);
  const lap = (times: number) => {
    for (let i = 0; i < times; i++) {
      queue.publish(0);
      queue.kick();
    }
  };
  lap(65530);
  assert.is(ram.readU16(queue.used + 2), 65530);
  lap(65536 * 2 + 12);
  assert.is(ram.readU16(queue.used + 2), 6);
  assert.is(driver.status & STATUS.needsReset, 0);
});

test('interrupts: raised by a used buffer, taken back by reading, suppressed on wish', () => {
  const { pc, driver } = setUp();
  driver.start();
  const queue = driver.queues[0]!;
  const round = () => {
    queue.add({ readable: [text('x')] });
    queue.kick();
  };
  for (const which of [0, 1]) {
    round();
    assert.is(pc.interrupt, true);
    assert.is(pc.configRead(6, 2) & 8, 8, 'status bit in configuration space');
    assert.is(driver.takeInterrupt(which), 1);
    assert.is(pc.interrupt, false);
    assert.is(driver.takeInterrupt(which), 0);
  }
  queue.suppressInterrupts(true);
  round();
  assert.is(pc.interrupt, false);
  assert.is(queue.collect().length, 3);
  queue.suppressInterrupts(false);
  pc.configWrite(4, 2, pc.configRead(4, 2) | 0x400);
  round();
  assert.is(pc.interrupt, false, 'INTx disabled in the command register');
  pc.configWrite(4, 2, pc.configRead(4, 2) & ~0x400);
  assert.is(pc.interrupt, true);
});

test('notify in memory names the queue by address, in I/O by value', () => {
  const { driver } = setUp();
  driver.start();
  for (const which of [0, 1]) {
    for (const queue of driver.queues) {
      queue.add({ readable: [text('x')] });
      driver.notify(queue.index, which);
      assert.is(queue.collect().length, 1);
    }
  }
});

test('buffers offered before DRIVER_OK or before bus mastering are served when it comes', () => {
  const { pc, driver } = setUp();
  driver.negotiate([]);
  const queue = driver.setUpQueue(0, 16);
  queue.add({ readable: [text('early')] });
  queue.kick();
  assert.equal(queue.collect(), []);
  assert.is(pc.device.pci.counters.badNotify, 1);
  driver.setStatus(driver.status | STATUS.driverOk);
  assert.is(queue.collect().length, 1);
  const command = pc.configRead(4, 2);
  pc.configWrite(4, 2, command & ~4);
  queue.add({ readable: [text('no DMA')] });
  queue.kick();
  assert.equal(queue.collect(), []);
  pc.configWrite(4, 2, command);
  assert.is(queue.collect().length, 1);
});

test('a queue is enabled once, and only over memory that is there', () => {
  const bad: [string, number, number][] = [
    ['queue-size', 0x18, 0],
    ['queue-size', 0x18, 12],
    ['queue-size', 0x18, 32],
    ['queue-address', 0x20, 0x10008],
    ['queue-address', 0x28, 0x10001],
    ['queue-address', 0x30, 0x10002],
    ['queue-address', 0x20, 0x1fff10],
    ['queue-address', 0x30, 0x1fffc0],
    ['queue-address', 0x24, 0xffff_ffff],
    ['queue-address', 0x34, 0x8000_0000],
  ];
  for (const [reason, at, value] of bad) {
    const { pc, driver } = setUp();
    driver.negotiate([]);
    driver.setCommon(0x16, 2, 0);
    for (const area of [0x20, 0x28, 0x30]) driver.setCommon(area, 4, 0x10000);
    driver.setCommon(at, at === 0x18 ? 2 : 4, value);
    driver.setCommon(0x1c, 2, 1);
    assert.is(driver.common(0x1c, 2), 0);
    assert.is(driver.status & STATUS.needsReset, STATUS.needsReset, `${at} ${value}`);
    assert.is(pc.device.pci.counters.broken[reason as 'queue-size'], 1, reason);
    assert.is(pc.interrupt, false, 'no interrupt before DRIVER_OK');
    driver.start();
    assert.is(driver.status & STATUS.needsReset, 0, 'mended by a reset');
  }
  const { driver } = setUp();
  driver.start();
  driver.setCommon(0x16, 2, 0);
  driver.setCommon(0x20, 4, 0x5000);
  driver.setCommon(0x1c, 2, 0);
  assert.is(driver.common(0x20, 4), driver.queues[0]!.table % 2 ** 32, 'frozen once enabled');
  assert.is(driver.common(0x1c, 2), 1);
});

test('a reset by the driver forgets rings, interrupt and features', () => {
  const { pc, driver } = setUp();
  driver.start([3]);
  driver.queues[0]!.add({ readable: [text('x')] });
  driver.queues[0]!.kick();
  assert.is(pc.interrupt, true);
  const { resets } = pc.device;
  driver.setStatus(0);
  assert.is(driver.status, 0);
  assert.is(pc.interrupt, false);
  assert.is(driver.takeInterrupt(), 0);
  assert.is(pc.device.resets, resets + 1);
  driver.setCommon(0x16, 2, 0);
  assert.equal(
    [0x18, 0x1c].map((at) => driver.common(at, 2)),
    [16, 0],
  );
  assert.is(driver.common(0x20, 4), 0);
  driver.start();
  driver.queues[0]!.add({ readable: [text('again')], writable: [8] });
  driver.queues[0]!.kick();
  assert.is(driver.queues[0]!.collect()[0]?.bytesWritten, 5);
});

test('power-on reset clears all of it, the counters too', () => {
  const { pc, driver } = setUp();
  const fresh = pc.state();
  driver.start([3]);
  driver.setCommon(0x50, 4, 1);
  pc.write('memory', driver.place(1).base + 0x60, 4, 1);
  assert.not.equal(pc.state(), fresh);
  pc.reset();
  const reset = pc.state() as { functions: Record<string, { device: StateObject }> };
  const before = fresh as { functions: Record<string, { device: StateObject }> };
  const { model: _, ...rest } = reset.functions['3']!.device;
  const { model: __, ...was } = before.functions['3']!.device;
  assert.equal(rest, was);
});

test('device configuration: read in any width, never written, bounded', () => {
  const { pc, driver } = setUp();
  assert.is(driver.deviceConfig(0, 4), 0x0403_0201);
  assert.is(driver.deviceConfig(7, 2), 0x0908);
  assert.is(driver.deviceConfig(8, 1), 9);
  assert.is(driver.deviceConfig(8, 2), 0);
  assert.is(pc.device.pci.counters.badAccess, 1);
  pc.write('memory', driver.place(4).base, 1, 0xff);
  assert.is(driver.deviceConfig(0, 1), 1);
  assert.is(pc.device.pci.counters.badAccess, 2);
});

test('the window in configuration space reaches every structure', () => {
  const { pc, driver } = setUp();
  const { capability } = driver.place(PCI_CONFIG);
  const aim = (bar: number, offset: number, bytes: number) => {
    pc.configWrite(capability + 4, 1, bar);
    pc.configWrite(capability + 8, 4, offset);
    pc.configWrite(capability + 12, 4, bytes);
  };
  pc.configWrite(4, 2, 4); // no decoding at all, as before BARs are mapped
  aim(0, 0x14, 1);
  pc.configWrite(capability + 16, 1, 3);
  assert.is(pc.configRead(capability + 16, 1), 3);
  aim(0, 0x2000, 4);
  assert.is(pc.configRead(capability + 16, 4), 0x0403_0201);
  aim(0, 0x2000, 2);
  assert.is(pc.configRead(capability + 16, 2), 0x0201);
  const bad: [number, number, number][] = [
    [0, 0x4000, 1],
    [0, 0x3ffe, 4],
    [0, 0x15, 2],
    [0, 0, 3],
    [0, 0, 0],
    [2, 0, 1],
    [1, 8, 1],
    [0, 0xffff_fffc, 4],
  ];
  for (const [index, where] of bad.entries()) {
    aim(...where);
    assert.is(pc.configRead(capability + 16, 4), 0);
    assert.is(pc.device.pci.counters.badAccess, index + 1);
  }
});

test('registers answer to their own width only', () => {
  const { pc, driver } = setUp();
  const base = driver.place(1).base;
  const wrong: [number, number][] = [
    [0x14, 4],
    [0x14, 2],
    [0x12, 1],
    [0x12, 4],
    [0x00, 2],
    [0x22, 2],
    [0x20, 1],
  ];
  for (const [at, bytes] of wrong) {
    assert.is(pc.read('memory', base + at, bytes), 0);
    pc.write('memory', base + at, bytes, 0xff);
  }
  assert.is(pc.device.pci.counters.badAccess, 2 * wrong.length);
  assert.is(driver.status, 0);
  assert.is(driver.common(0x10, 2), 0xffff, 'no MSI-X vector');
  driver.setCommon(0x10, 2, 3);
  assert.is(driver.common(0x10, 2), 0xffff);
});

test('a takeover before any single access of the set-up goes unnoticed', () => {
  const setUpWithTakeover = (takeoverBefore: number) => {
    const { pc } = setUp();
    let accesses = 0;
    pc.onAccess = () => {
      if (accesses++ === takeoverBefore) pc.reincarnate();
    };
    const driver = new VirtioDriver(pc);
    assert.ok(driver.offers(40) && !driver.offers(41));
    driver.start([3, INDIRECT]);
    driver.queues[1]!.add({ readable: [text('hello')], writable: [5], indirect: true });
    driver.queues[1]!.kick();
    assert.is(driver.takeInterrupt(), 1);
    assert.is(string(driver.queues[1]!.collect()[0]!.data), 'hello');
    return { accesses, state: pc.state() };
  };
  const straight = setUpWithTakeover(-1);
  assert.ok(straight.accesses > 60);
  for (let before = 0; before < straight.accesses; before++)
    assert.equal(setUpWithTakeover(before).state, straight.state, `before access ${before}`);
});

test.run();
