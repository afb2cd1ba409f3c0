// The block device by driver sequences, and against a model disk: whatever order completions come
// in, the guest must read what a disk working strictly in order would have given.

import type { DiskRequest, Output } from '../../firmware/devices/contracts.ts';
import { VirtioBlk } from '../../firmware/devices/virtio-blk/blk.ts';
import {
  BlkFeature,
  PENDING_BYTES_MAX,
  PENDING_MAX,
} from '../../firmware/devices/virtio-blk/layout.ts';
import { assert, type SeededRandom, seededRandom, suite } from '../harness/index.ts';
import { type Buffers, INDIRECT, STATUS, type Used, VirtioDriver } from './virtio/driver.ts';
import { TestPc, type Wiring } from './virtio/pc.ts';
import { demandEqualAfterTakeover, type World } from './virtio/script.ts';

const test = suite('devices/virtio-blk');

const SECTORS = 64;
const READ = 0;
const WRITE = 1;
const FLUSH = 4;
const IDENTIFY = 8;
const DISCARD = 11;
const WRITE_ZEROES = 13;

const build =
  (isReadOnly = false, sectors = SECTORS) =>
  ({ ram, intx, output }: Wiring) =>
    new VirtioBlk({ ram, intx, output, disk: 2, sectors, isReadOnly, serial: 'SN-123' });

function setUp(isReadOnly = false, sectors = SECTORS, megabytes = 2) {
  const pc = new TestPc(build(isReadOnly, sectors), megabytes);
  const driver = new VirtioDriver(pc).start([INDIRECT]);
  return { pc, driver, queue: driver.queues[0]! };
}

function header(type: number, sector: number | bigint = 0): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setBigUint64(8, BigInt(sector), true);
  return bytes;
}

function range(sector: number | bigint, sectors: number, flags = 0): Uint8Array {
  const bytes = header(0, 0);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(sector), true);
  view.setUint32(8, sectors, true);
  view.setUint32(12, flags, true);
  return bytes;
}

const sectorsOf = (count: number, fill: number) => new Uint8Array(512 * count).fill(fill);
const reading = (sector: number | bigint, count: number): Buffers => ({
  readable: [header(READ, sector)],
  writable: [512 * count, 1],
});
const writing = (sector: number | bigint, data: Uint8Array): Buffers => ({
  readable: [header(WRITE, sector), data],
  writable: [1],
});
const requests = (outputs: Output[]) =>
  outputs.map((output) => {
    assert.is(output.kind, 'disk-request');
    return output as DiskRequest;
  });
const statusOf = ({ data }: Used) => data.at(-1);

test('says its size, limits and abilities', () => {
  const { pc, driver } = setUp();
  assert.is(pc.configRead(2, 2), 0x1042);
  assert.equal(
    [0, 4, 8, 12, 20].map((at) => driver.deviceConfig(at, 4)),
    [SECTORS, 0, 32768, 126, 512],
  );
  const has = (d: VirtioDriver) => Object.values(BlkFeature).filter((bit) => d.offers(bit));
  assert.equal(has(driver), [1, 2, 6, 9, 13, 14]);
  assert.equal(has(setUp(true).driver), [1, 2, 5, 6, 9]);
});

test('a read leaves as a request, and memory changes only when it is completed', () => {
  const { pc, queue } = setUp();
  queue.add(reading(3, 2));
  queue.kick();
  assert.equal(pc.takeOutputs(), [
    {
      kind: 'disk-request',
      disk: 2,
      id: 1,
      operation: 'read',
      offset: 3 * 512,
      bytes: 1024,
      data: undefined,
    },
  ]);
  const before = pc.ram.clone();
  assert.equal(queue.collect(), []);
  assert.is(pc.interrupt, false);
  assert.ok(pc.ram.equals(before));
  assert.is(pc.device.complete(1, 'ok', sectorsOf(2, 0x77)), true);
  assert.is(pc.interrupt, true);
  const [used] = queue.collect();
  assert.is(used?.bytesWritten, 1025);
  assert.equal(used?.data.subarray(0, 1024), sectorsOf(2, 0x77));
  assert.is(statusOf(used!), 0);
});

test('a write carries a copy from the moment of the notify', () => {
  const { pc, driver, queue } = setUp();
  queue.add(writing(0, sectorsOf(1, 1)));
  queue.kick();
  driver.ram.fill(0x12000, 0x10000, 9);
  driver.ram.fill(2 ** 32, 0x10000, 9);
  const [request] = requests(pc.takeOutputs());
  assert.equal(request?.data, sectorsOf(1, 1));
});

test('data cut in any way, header and status included', () => {
  const { pc, queue } = setUp();
  const whole = new Uint8Array(Buffer.concat([header(WRITE, 5), sectorsOf(1, 3)]));
  queue.add({
    readable: [whole.subarray(0, 7), whole.subarray(7, 20), whole.subarray(20)],
    writable: [1],
  });
  queue.add({ readable: [header(READ, 8)], writable: [100, 413], indirect: true });
  queue.kick();
  const [write, read] = requests(pc.takeOutputs());
  assert.equal([write?.offset, write?.data], [5 * 512, sectorsOf(1, 3)]);
  assert.equal([read?.offset, read?.bytes], [8 * 512, 512]);
  pc.device.complete(read!.id, 'ok', sectorsOf(1, 4));
  pc.device.complete(write!.id, 'ok', undefined);
  const used = queue.collect();
  assert.equal(
    used.map(({ token }) => token),
    [2, 1],
  );
  assert.equal(used[0]!.data, new Uint8Array([...sectorsOf(1, 4), 0]));
});

test('flush, identify, discard and write-zeroes', () => {
  const { pc, queue } = setUp();
  queue.add({ readable: [header(FLUSH)], writable: [1] });
  queue.add({ readable: [header(IDENTIFY)], writable: [20, 1] });
  queue.add({ readable: [header(IDENTIFY)], writable: [3, 1] });
  queue.add({ readable: [header(DISCARD), range(8, 16)], writable: [1] });
  queue.add({ readable: [header(WRITE_ZEROES), range(32, 8, 1)], writable: [1] });
  queue.kick();
  assert.equal(
    requests(pc.takeOutputs()).map(({ operation, offset, bytes }) => [operation, offset, bytes]),
    [
      ['flush', 0, 0],
      ['discard', 8 * 512, 16 * 512],
      ['write-zeroes', 32 * 512, 8 * 512],
    ],
  );
  const [long, short] = queue.collect();
  assert.is(String.fromCharCode(...long!.data), `SN-123${'\0'.repeat(15)}`);
  assert.is(String.fromCharCode(...short!.data), 'SN-\0');
  for (const id of [1, 2, 3]) pc.device.complete(id, id === 2 ? 'unsupported' : 'ok', undefined);
  assert.equal(queue.collect().map(statusOf), [0, 2, 0]);
});

test('requests the disk cannot mean are answered at once, with an error', () => {
  const refusing = (isReadOnly: boolean, list: [Buffers, number][]) => {
    const { pc, queue } = setUp(isReadOnly);
    for (const [buffers, status] of list) {
      queue.add(buffers);
      queue.kick();
      assert.equal(queue.collect().map(statusOf), [status], JSON.stringify(buffers));
    }
    assert.equal(pc.outputs, []);
    assert.is(pc.device.counters.refused, list.filter(([, status]) => status !== 0).length);
  };
  const zeroes = (data: Uint8Array): Buffers => ({
    readable: [header(WRITE_ZEROES), data],
    writable: [1],
  });
  refusing(false, [
    [reading(SECTORS, 1), 1],
    [reading(SECTORS - 1, 2), 1],
    [reading(2n ** 64n - 1n, 1), 1],
    [reading(2n ** 63n, 1), 1],
    [writing(SECTORS, sectorsOf(1, 0)), 1],
    [{ readable: [header(READ)], writable: [511, 1] }, 1],
    [writing(0, new Uint8Array(513)), 1],
    [{ readable: [header(READ)], writable: [1] }, 0],
    [{ readable: [header(2)], writable: [1] }, 2],
    [{ readable: [header(0xffff_ffff)], writable: [512, 1] }, 2],
    [zeroes(range(SECTORS, 1)), 1],
    [zeroes(range(0, 0xffff_ffff)), 1],
    [zeroes(range(0, 0)), 0],
    [zeroes(range(0, 1, 2)), 2],
    [zeroes(range(0, 1).subarray(0, 15)), 1],
    [{ readable: [header(DISCARD), range(0, 1, 1)], writable: [1] }, 2],
    [{ readable: [header(DISCARD), range(0, 1), range(1, 1)], writable: [1] }, 1],
  ]);
  refusing(true, [
    [writing(0, sectorsOf(1, 0)), 1],
    [zeroes(range(0, 1)), 1],
  ]);
});

test('buffers that can hold no request break the device', () => {
  for (const buffers of [
    { readable: [header(READ).subarray(0, 15)], writable: [512, 1] },
    { readable: [header(FLUSH)] },
    { writable: [100] },
  ]) {
    const { pc, driver, queue } = setUp();
    queue.add(buffers);
    queue.kick();
    assert.is(driver.status & STATUS.needsReset, STATUS.needsReset);
    assert.is(pc.device.pci.counters.broken['request-shape'], 1);
    assert.is(driver.takeInterrupt(), 2, 'configuration interrupt');
  }
});

test('what the disk says is what the guest gets', () => {
  const { pc, queue } = setUp();
  const ask = () => {
    queue.add(reading(0, 1));
    queue.kick();
    return requests(pc.takeOutputs())[0]!.id;
  };
  pc.device.complete(ask(), 'io-error', undefined);
  pc.device.complete(ask(), 'unsupported', undefined);
  pc.device.complete(ask(), 'ok', sectorsOf(2, 1));
  pc.device.complete(ask(), 'ok', undefined);
  const used = queue.collect();
  assert.equal(used.map(statusOf), [1, 2, 1, 1]);
  for (const { data, bytesWritten } of used) {
    assert.is(bytesWritten, 513);
    assert.ok(data.subarray(0, 512).every((byte) => byte === 0));
  }
  assert.is(pc.device.counters.badCompletion, 2);
  assert.is(pc.device.counters.ioErrors, 4);
});

test('completions nobody waits for are counted', () => {
  const { pc, queue } = setUp();
  assert.is(pc.device.complete(1, 'ok', undefined), false);
  queue.add(writing(0, sectorsOf(1, 0)));
  queue.add(writing(0, sectorsOf(1, 0)));
  queue.kick();
  assert.is(pc.device.complete(2, 'ok', undefined), false, 'held, not issued');
  assert.is(pc.device.complete(1, 'ok', undefined), true);
  assert.is(pc.device.complete(1, 'ok', undefined), false, 'once is enough');
  assert.is(pc.device.counters.unknownCompletion, 3);
});

test('overlapping requests wait for each other, in order; reads do not disturb reads', () => {
  const { pc, queue } = setUp();
  const issued = () => requests(pc.takeOutputs()).map(({ id }) => id);
  queue.add(reading(0, 4)); // 1
  queue.add(reading(2, 4)); // 2
  queue.add(writing(3, sectorsOf(2, 1))); // 3 after 1 and 2
  queue.add(reading(4, 1)); // 4 after 3
  queue.add(writing(8, sectorsOf(1, 1))); // 5
  queue.add({ readable: [header(WRITE_ZEROES), range(8, 1)], writable: [1] }); // 6 after 5
  queue.add({ readable: [header(FLUSH)], writable: [1] }); // 7
  queue.add(reading(5, 1)); // 8: beside 3, and beside read 2
  queue.kick();
  assert.equal(issued(), [1, 2, 5, 7, 8]);
  assert.is(pc.device.counters.held, 3);
  const done = (id: number, count = 0) => {
    pc.device.complete(id, 'ok', count === 0 ? undefined : sectorsOf(count, 0));
    return issued();
  };
  assert.equal(done(1, 4), []);
  assert.equal(done(2, 4), [3]);
  assert.equal(done(7), []);
  assert.equal(done(3), [4]);
  assert.equal(done(5), [6]);
  assert.equal(done(8, 1), []);
  assert.equal(
    pc.device.pendingRequests().map(({ id }) => id),
    [4, 6],
  );
});

test('in flight is bounded by number and by bytes; the rest waits in the ring', () => {
  const { pc, queue } = setUp(false, 1 << 20, 32);
  const chunk = 4 * 1024 * 1024 - 65536;
  const fits = Math.floor(PENDING_BYTES_MAX / chunk) - 1;
  for (let i = 0; i < fits + 2; i++) queue.add(writing(i * 8192, new Uint8Array(chunk)));
  queue.kick();
  const first = requests(pc.takeOutputs());
  assert.ok(first.length >= fits && first.length < fits + 2, `${first.length}`);
  queue.kick();
  assert.equal(pc.takeOutputs(), []);
  pc.device.complete(first[0]!.id, 'ok', undefined);
  assert.is(requests(pc.takeOutputs()).length, 1, 'room for one is used at once');

  const many = setUp();
  const { ram } = many.driver;
  many.queue.add({ readable: [header(FLUSH)], writable: [1] });
  const head = ram.readU16(many.queue.available + 4)!;
  for (let i = 0; i < 300; i++) {
    if (i > 0) many.queue.publish(head);
    many.queue.kick();
  }
  assert.is(many.pc.takeOutputs().length, PENDING_MAX);
});

test('a reset orphans what is out: it keeps its sectors, and memory is not touched', () => {
  const { pc, driver, queue } = setUp();
  queue.add(reading(0, 2));
  queue.add(writing(4, sectorsOf(1, 1)));
  queue.add(writing(4, sectorsOf(1, 2)));
  queue.kick();
  assert.equal(
    requests(pc.takeOutputs()).map(({ id }) => id),
    [1, 2],
  );
  driver.start();
  const again = driver.queues[0]!;
  again.add(writing(0, sectorsOf(1, 3)));
  again.kick();
  assert.equal(pc.takeOutputs(), [], 'sector 0 is still being read');
  const before = pc.ram.clone();
  assert.is(pc.device.complete(2, 'ok', undefined), true);
  assert.is(pc.device.complete(1, 'ok', sectorsOf(2, 7)), true);
  assert.ok(pc.ram.equals(before));
  assert.is(pc.device.counters.lostCompletion, 2);
  const [next] = requests(pc.takeOutputs());
  assert.equal([next?.id, next?.offset], [4, 0], 'ids go on');
  pc.reset();
  assert.equal(
    pc.device.pendingRequests().map(({ id }) => id),
    [4],
    'even power-on does not call back what is out',
  );
});

test('completions after the guest broke the device are lost, not written', () => {
  const { pc, driver, queue } = setUp();
  queue.add(reading(0, 1));
  queue.kick();
  queue.publish(999);
  queue.kick();
  assert.is(driver.status & STATUS.needsReset, STATUS.needsReset);
  const before = pc.ram.clone();
  assert.is(pc.device.complete(1, 'ok', sectorsOf(1, 1)), true);
  assert.ok(pc.ram.equals(before));
});

test('options that make no disk are refused', () => {
  const wiring = { ...new TestPc(build()), intx: { set() {} }, output() {} } as never as Wiring;
  assert.throws(() => build(false, -1)(wiring), /-1 sectors/);
  assert.throws(
    () =>
      new VirtioBlk({
        ...wiring,
        disk: 0,
        sectors: 1,
        isReadOnly: false,
        serial: 'x'.repeat(21),
      }),
    /20 ASCII/,
  );
});

// A disk that does what it is asked at once, whenever it gets round to it.
class ModelDisk {
  readonly bytes: Uint8Array;
  readonly waiting: DiskRequest[] = [];
  constructor(sectors: number) {
    this.bytes = new Uint8Array(sectors * 512);
  }
  execute({ operation, offset, bytes, data }: DiskRequest): Uint8Array | undefined {
    if (operation === 'read') return this.bytes.slice(offset, offset + bytes);
    if (operation === 'write') this.bytes.set(data!, offset);
    else this.bytes.fill(0, offset, offset + bytes);
    return undefined;
  }
}

/** A random request; what a disk working in order would read, or undefined for no read. */
function randomRequest(random: SeededRandom, strict: ModelDisk) {
  const count = 1 + random.int(4);
  const sector = random.int(SECTORS - count);
  const offset = sector * 512;
  const choice = random.int(10);
  const base = { kind: 'disk-request', disk: 2, id: 0, offset, bytes: count * 512 } as const;
  if (choice < 4) {
    const expected = strict.execute({ ...base, operation: 'read', data: undefined });
    return { buffers: reading(sector, count), expected };
  }
  if (choice < 8) {
    const data = random.bytes(count * 512);
    strict.execute({ ...base, operation: 'write', data });
    return { buffers: writing(sector, data), expected: undefined };
  }
  if (choice < 9) {
    strict.execute({ ...base, operation: 'write-zeroes', data: undefined });
    const zeroes = [header(WRITE_ZEROES), range(sector, count)];
    return { buffers: { readable: zeroes, writable: [1] }, expected: undefined };
  }
  return { buffers: { readable: [header(FLUSH)], writable: [1] }, expected: undefined };
}

test('in whatever order the disk works, it is as if it worked in order', () => {
  const random = seededRandom('blk order');
  for (let round = 0; round < 40; round++) {
    const { pc, queue } = setUp();
    const strict = new ModelDisk(SECTORS);
    const real = new ModelDisk(SECTORS);
    const expected = new Map<number, Uint8Array>();
    for (let step = 0; step < 100; step++) {
      if (random.chance(0.6) && queue.freeSlots > 4) {
        const { buffers, expected: bytes } = randomRequest(random, strict);
        const token = queue.add({ ...buffers, indirect: random.chance(0.5) });
        if (bytes !== undefined) expected.set(token, bytes);
        queue.kick();
      }
      real.waiting.push(...requests(pc.takeOutputs()));
      if (random.chance(0.5) && real.waiting.length > 0) {
        const [request] = real.waiting.splice(random.int(real.waiting.length), 1);
        pc.device.complete(request!.id, 'ok', real.execute(request!));
      }
      for (const used of queue.collect()) {
        assert.is(statusOf(used), 0);
        const bytes = expected.get(used.token);
        if (bytes !== undefined) assert.equal(used.data.subarray(0, -1), bytes);
      }
    }
    for (let request = real.waiting.pop(); request !== undefined; request = real.waiting.pop()) {
      pc.device.complete(request.id, 'ok', real.execute(request));
      real.waiting.push(...requests(pc.takeOutputs()));
    }
    assert.equal(pc.device.pendingRequests(), []);
    assert.equal(real.bytes, strict.bytes);
  }
});

test('a takeover in the middle changes nothing, what is in flight included', () => {
  const ignored = new ModelDisk(SECTORS);
  demandEqualAfterTakeover({
    label: 'blk',
    build: build(),
    scripts: 60,
    steps: 80,
    step: ({ pc, driver, random, log }: World) => {
      const queue = driver.queues[0]!;
      if (random.chance(0.6) && queue.freeSlots > 4)
        queue.add({ ...randomRequest(random, ignored).buffers, indirect: random.chance(0.5) });
      if (random.chance(0.6)) queue.kick();
      const pending: DiskRequest[] = pc.device.pendingRequests();
      log.push(pending);
      if (pending.length > 0 && random.chance(0.5)) {
        const { id, bytes, operation } = random.pick(pending);
        const data = operation === 'read' ? random.bytes(bytes) : undefined;
        log.push(pc.device.complete(id, random.pick(['ok', 'ok', 'io-error']), data));
      }
      if (random.chance(0.2)) log.push(queue.collect(), driver.takeInterrupt());
      if (random.chance(0.02)) driver.start([INDIRECT]);
    },
  });
});

test.run();
