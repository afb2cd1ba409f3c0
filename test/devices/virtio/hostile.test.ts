// Guests that mean harm: rings and descriptor tables of every wrong kind. The demands are always
// the same: nothing throws, nothing outside guest memory is touched or even asked for, the answer
// is NEEDS_RESET with a counted reason, and a reset mends it.

import { type BrokenReason, readChain } from '../../../firmware/devices/virtio/chain.ts';
import { VirtioBlk } from '../../../firmware/devices/virtio-blk/blk.ts';
import { VirtioConsole } from '../../../firmware/devices/virtio-console/console.ts';
import { VirtioNet } from '../../../firmware/devices/virtio-net/net.ts';
import { VirtioRng } from '../../../firmware/devices/virtio-rng/rng.ts';
import { assert, type SeededRandom, seededRandom, suite } from '../../harness/index.ts';
import { type DriverQueue, INDIRECT, STATUS, VirtioDriver } from './driver.ts';
import { TestPc, type Wiring } from './pc.ts';
import { TestRam } from './ram.ts';

const test = suite('devices/virtio/hostile');
const MIB = 1 << 20;
const NEXT = 1;
const WRITE = 2;
const INDIRECT_FLAG = 4;

const seed = new Uint8Array(32);
const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
const disk = { disk: 0, sectors: 100, isReadOnly: false, serial: '' };
const BUILDS = {
  net: (wiring: Wiring) => new VirtioNet({ ...wiring, nic: 0, mac }),
  blk: (wiring: Wiring) => new VirtioBlk({ ...wiring, ...disk }),
  rng: (wiring: Wiring) => new VirtioRng({ ...wiring, seed }),
  console: (wiring: Wiring) => new VirtioConsole(wiring),
};

interface Descriptor {
  address: number | bigint;
  bytes: number;
  flags: number;
  next: number;
}

function writeDescriptor(ram: TestRam, at: number, descriptor: Descriptor): void {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(descriptor.address), true);
  view.setUint32(8, descriptor.bytes, true);
  view.setUint16(12, descriptor.flags, true);
  view.setUint16(14, descriptor.next, true);
  ram.write(at, bytes);
}

// ---- one crime at a time --------------------------------------------------------------------

const good = (flags = 0, next = 0): Descriptor => ({ address: 0x8000, bytes: 16, flags, next });
const table = (address: number | bigint, bytes: number, more = 0): Descriptor => ({
  address,
  bytes,
  flags: INDIRECT_FLAG | more,
  next: 1,
});

/** Descriptors from 0 on, and more in an indirect table at 0x9000; the chain starts at 0. */
const CRIMES: [BrokenReason, string, Descriptor[], Descriptor[]][] = [
  ['next-index', 'continues outside the table', [good(NEXT, 8)], []],
  ['next-index', 'continues far outside', [good(NEXT, 0xffff)], []],
  ['loop', 'points to itself', [good(NEXT, 0)], []],
  ['loop', 'goes round', [good(NEXT, 1), good(NEXT, 2), good(NEXT, 0)], []],
  ['buffer-address', 'in the hole', [{ ...good(), address: 2 * MIB }], []],
  ['buffer-address', 'across the end', [{ ...good(), address: MIB - 8 }], []],
  ['buffer-address', 'from below high memory', [{ ...good(), address: 2 ** 32 - 8 }], []],
  ['buffer-address', 'at the end of addresses', [{ ...good(), address: 2n ** 64n - 8n }], []],
  ['buffer-address', 'not a safe number', [{ ...good(), address: 2n ** 53n + 1n }], []],
  ['buffer-address', 'larger than memory', [{ ...good(), bytes: 0xffff_ffff }], []],
  ['buffer-order', 'reads after writes', [good(WRITE | NEXT, 1), good()], []],
  ['indirect-nested', 'a table in a table', [table(0x9000, 16)], [table(0x9000, 16)]],
  ['indirect-chained', 'a table that goes on', [table(0x9000, 16, NEXT), good()], []],
  ['indirect-table', 'empty', [table(0x9000, 0)], []],
  ['indirect-table', 'of an odd length', [table(0x9000, 24)], []],
  ['indirect-table', 'outside memory', [table(MIB - 16, 32)], []],
  ['next-index', 'leaves the indirect table', [table(0x9000, 32)], [good(NEXT, 2)]],
  ['loop', 'goes round in the indirect table', [table(0x9000, 16)], [good(NEXT, 0)]],
  [
    'chain-too-long',
    'an indirect table of 300',
    [table(0x9000, 4800)],
    Array.from({ length: 300 }, (_, i) => good(NEXT, i + 1)),
  ],
];

function setUp(kind: keyof typeof BUILDS = 'rng', features = [INDIRECT]) {
  const pc = new TestPc<ReturnType<(typeof BUILDS)[typeof kind]>>(BUILDS[kind], 1);
  const driver = new VirtioDriver(pc).start(features, 8);
  return { pc, driver, queue: driver.queues[0]! };
}

function demandBroken(reason: BrokenReason, { pc, driver, queue }: ReturnType<typeof setUp>) {
  assert.is(pc.device.pci.counters.broken[reason], 1, reason);
  assert.is(driver.status & STATUS.needsReset, STATUS.needsReset);
  assert.is(pc.interrupt, true);
  assert.is(driver.takeInterrupt(), 2);
  const before = pc.ram.clone();
  queue.kick();
  assert.ok(pc.ram.equals(before), 'nothing happens any more');
  driver.setStatus(driver.status);
  assert.is(driver.status & STATUS.needsReset, STATUS.needsReset, 'the driver cannot wish it away');
  assert.is(pc.ram.refused, 0);
  const again = driver.start().queues[0]!;
  again.add({ writable: [8] });
  again.kick();
  assert.is(again.collect().length, 1, 'mended by a reset');
}

test('each crime has its reason, its counter and its end', () => {
  for (const [reason, what, direct, indirect] of CRIMES) {
    const setup = setUp();
    const { ram } = setup.pc;
    for (const [i, descriptor] of direct.entries())
      writeDescriptor(ram, setup.queue.table + 16 * i, descriptor);
    for (const [i, descriptor] of indirect.entries())
      writeDescriptor(ram, 0x9000 + 16 * i, descriptor);
    setup.queue.publish(0);
    setup.queue.kick();
    try {
      demandBroken(reason, setup);
    } catch (error) {
      throw new Error(`${reason}, ${what}: ${error}`);
    }
  }
});

test('a head outside the table, an index ahead of the ring, a table not negotiated', () => {
  const head = setUp();
  head.queue.publish(8);
  head.queue.kick();
  demandBroken('head-index', head);

  const ahead = setUp();
  ahead.pc.ram.writeU16(ahead.queue.available + 2, 9);
  ahead.queue.kick();
  demandBroken('ring-index', ahead);

  const behind = setUp();
  behind.pc.ram.writeU16(behind.queue.available + 2, 0xffff);
  behind.queue.kick();
  demandBroken('ring-index', behind);

  const refused = setUp('rng', []);
  writeDescriptor(refused.pc.ram, refused.queue.table, table(0x9000, 16));
  refused.queue.publish(0);
  refused.queue.kick();
  demandBroken('indirect-refused', refused);
});

test('the write flag of an indirect table means nothing', () => {
  const { pc, queue } = setUp();
  writeDescriptor(pc.ram, queue.table, table(0x9000, 16, WRITE));
  writeDescriptor(pc.ram, 0x9000, { address: 0x8000, bytes: 16, flags: WRITE, next: 0 });
  queue.publish(0);
  queue.kick();
  assert.is(pc.ram.readU16(queue.used + 2), 1);
});

test('rings laid over each other end, whatever they turn into', () => {
  for (const shift of [0, 2, 4, 6, 8]) {
    const { pc, driver } = setUp();
    driver.negotiate([]);
    const queue = driver.setUpQueue(0, 8);
    driver.setStatus(0);
    driver.negotiate([]);
    driver.setCommon(0x16, 2, 0);
    driver.setCommon(0x18, 2, 8);
    for (const [at, address] of [
      [0x20, queue.table],
      [0x28, queue.table + 2 + shift],
      [0x30, queue.table + shift - (shift % 4)],
    ] as const) {
      driver.setCommon(at, 4, address % 2 ** 32);
      driver.setCommon(at + 4, 4, Math.floor(address / 2 ** 32));
    }
    driver.setCommon(0x1c, 2, 1);
    driver.setStatus(driver.status | STATUS.driverOk);
    for (let i = 0; i < 100; i++) {
      pc.ram.writeU16(queue.table + 4 + shift, i % 9);
      driver.notify(0);
    }
    assert.is(pc.ram.refused, 0);
  }
});

// ---- a second opinion on chains -------------------------------------------------------------

type Walked = { reason: BrokenReason } | { readable: string[]; writable: string[] };

/** The rules once more, slow and with a different shape: first list descriptors, then judge. */
function naiveWalk(
  ram: TestRam,
  at: number,
  entries: number,
  head: number,
  allowed: boolean,
): Walked {
  const view = (address: number) => {
    const bytes = ram.copy(address, 16)!;
    return new DataView(bytes.buffer);
  };
  const readable: string[] = [];
  const writable: string[] = [];
  let place = { table: at, entries, index: head, nested: false };
  let inTable = 0;
  for (let step = 0; ; step++) {
    if (place.index >= place.entries) return { reason: step === 0 ? 'head-index' : 'next-index' };
    if (inTable === place.entries) return { reason: 'loop' };
    if (step === 256) return { reason: 'chain-too-long' };
    inTable++;
    const descriptor = view(place.table + 16 * place.index);
    const address = descriptor.getBigUint64(0, true);
    const bytes = BigInt(descriptor.getUint32(8, true));
    const flags = descriptor.getUint16(12, true);
    const end = address + bytes;
    const isInside = end <= BigInt(MIB) || (address >= 2n ** 32n && end <= 2n ** 32n + BigInt(MIB));
    if (flags & INDIRECT_FLAG) {
      if (!allowed) return { reason: 'indirect-refused' };
      if (place.nested) return { reason: 'indirect-nested' };
      if (flags & NEXT) return { reason: 'indirect-chained' };
      if (bytes === 0n || bytes % 16n !== 0n || !isInside) return { reason: 'indirect-table' };
      place = { table: Number(address), entries: Number(bytes / 16n), index: 0, nested: true };
      inTable = 0;
      continue;
    }
    if (!(flags & WRITE) && writable.length > 0) return { reason: 'buffer-order' };
    if (bytes > 0n && !isInside) return { reason: 'buffer-address' };
    if (bytes > 0n) (flags & WRITE ? writable : readable).push(`${address}+${bytes}`);
    if (!(flags & NEXT)) return { readable, writable };
    place = { ...place, index: descriptor.getUint16(14, true) };
  }
}

function randomDescriptor(random: SeededRandom, entries: number): Descriptor {
  const isMean = random.chance(0.04);
  const base = random.chance(0.5) ? 0 : 2 ** 32;
  const address = isMean
    ? random.pick([random.bigint(64), random.bigint(33), BigInt(MIB - 8), 2n ** 32n - 1n])
    : base + random.int(MIB - 8192);
  return {
    address,
    bytes: isMean ? random.u32() : random.pick([0, 1, 16, 32, 160, random.int(8192)]),
    flags: random.chance(0.02)
      ? random.u32() & 0xffff
      : (random.chance(0.7) ? NEXT : 0) |
        (random.chance(0.3) ? WRITE : 0) |
        (random.chance(0.05) ? INDIRECT_FLAG : 0),
    next: random.chance(0.97) ? random.int(entries) : random.u32() & 0xffff,
  };
}

test('30,000 random tables: as the naive walker says', () => {
  const random = seededRandom('walk');
  const seen = new Map<string, number>();
  const ram = new TestRam({ base: 0, bytes: MIB }, { base: 2 ** 32, bytes: MIB });
  // Random memory, so that indirect tables lead somewhere.
  for (let at = 0; at < MIB; at += 16) {
    writeDescriptor(ram, at, randomDescriptor(random, 64));
    writeDescriptor(ram, 2 ** 32 + at, randomDescriptor(random, 64));
  }
  for (let round = 0; round < 30_000; round++) {
    const entries = 2 ** random.int(9);
    const at = random.int((MIB - 16 * entries) / 16) * 16;
    for (let i = 0; i < Math.min(entries, 16); i++)
      writeDescriptor(ram, at + 16 * i, randomDescriptor(random, Math.min(entries, 16)));
    const head = random.chance(0.99) ? random.int(Math.min(entries, 16)) : random.int(65536);
    const isIndirectAllowed = random.chance(0.8);
    const fast = readChain({ ram, table: at, tableEntries: entries, head, isIndirectAllowed });
    const slow = naiveWalk(ram, at, entries, head, isIndirectAllowed);
    const text = (segments: readonly { address: number; bytes: number }[]) =>
      segments.map(({ address, bytes }) => `${address}+${bytes}`);
    const seenFast = fast.ok
      ? { readable: text(fast.chain.readable), writable: text(fast.chain.writable) }
      : { reason: fast.reason };
    assert.equal(seenFast, slow);
    const verdict = 'reason' in slow ? slow.reason : 'good';
    seen.set(verdict, (seen.get(verdict) ?? 0) + 1);
  }
  assert.is(ram.refused, 0);
  const kinds = [...seen].sort().map(([verdict, count]) => `${verdict} ${count}`);
  console.log(kinds.join(', '));
  assert.ok(seen.size >= 10, `the tables are too tame: ${kinds}`);
  for (const verdict of ['good', 'loop', 'next-index', 'buffer-order', 'indirect-table'])
    assert.ok((seen.get(verdict) ?? 0) > 100, `${verdict}: ${kinds}`);
});

// ---- whole devices --------------------------------------------------------------------------

function poisonRings(random: SeededRandom, ram: TestRam, queue: DriverQueue): void {
  for (let i = 0; i < queue.size; i++) {
    const descriptor = randomDescriptor(random, queue.size);
    writeDescriptor(ram, queue.table + 16 * i, descriptor);
  }
  if (random.chance(0.05)) ram.writeU16(queue.available + 2, random.u32() & 0xffff);
  if (random.chance(0.05)) ram.write(queue.available, random.bytes(4 + 2 * queue.size));
  for (let i = random.int(4); i > 0; i--)
    queue.publish(random.chance(0.97) ? random.int(queue.size) : random.u32() & 0xffff);
}

function pester(kind: keyof typeof BUILDS, rounds: number): string {
  const random = seededRandom(`pester ${kind}`);
  const pc = new TestPc(BUILDS[kind] as (wiring: Wiring) => VirtioNet, 1);
  const driver = new VirtioDriver(pc).start([INDIRECT], 16);
  let served = 0;
  for (let round = 0; round < rounds; round++) {
    for (const queue of driver.queues) poisonRings(random, pc.ram, queue);
    if (kind === 'blk' && random.chance(0.7)) likelyRequest(random, pc.ram, driver.queues[0]!);
    for (const queue of driver.queues) if (random.chance(0.8)) queue.kick();
    inputs(random, pc.device);
    served += pc.takeOutputs().length;
    assert.is(pc.ram.refused, 0, `round ${round}: asked for memory that is not there`);
    if (round % 64 === 0) assert.ok(pc.ram.areGuardsWhole(), `round ${round}`);
    if (random.chance(0.02)) pc.reincarnate();
    const isBroken = (driver.status & STATUS.needsReset) !== 0;
    if (isBroken || random.chance(0.1)) driver.start([INDIRECT], 2 ** random.int(9));
  }
  assert.ok(pc.ram.areGuardsWhole());
  assert.ok(served > 0 || kind === 'rng', `${kind} never got to do anything`);
  const { broken } = pc.device.pci.counters;
  assert.ok(Object.values(broken).filter((count) => count > 0).length >= 5, `${kind} too tame`);
  return `${kind}: ${JSON.stringify({ served, ...broken })}`;
}

/** A block request in random memory is rarely one: header, data and status, mostly well made. */
function likelyRequest(random: SeededRandom, ram: TestRam, queue: DriverQueue): void {
  if (queue.size < 4) return;
  const header = new Uint8Array(16);
  header[0] = random.pick([0, 0, 1, 1, 4, 8, 11, 13]);
  header[8] = random.int(100);
  ram.write(0x9000, header);
  const bytes = random.chance(0.9) ? 512 * random.int(4) : random.int(2000);
  const dataFlags = NEXT | (header[0] === 0 ? WRITE : 0);
  const data = random.int(MIB - 4096);
  writeDescriptor(ram, queue.table, { address: 0x9000, bytes: 16, flags: NEXT, next: 1 });
  writeDescriptor(ram, queue.table + 16, { address: data, bytes, flags: dataFlags, next: 2 });
  writeDescriptor(ram, queue.table + 32, { address: 0x9100, bytes: 1, flags: WRITE, next: 0 });
  ram.writeU16(queue.available + 4 + 2 * random.int(queue.size), 0);
  queue.publish(0);
}

function inputs(random: SeededRandom, device: unknown): void {
  if (device instanceof VirtioNet || device instanceof VirtioConsole) {
    if (random.chance(0.5)) device.receive(random.bytes(random.int(1600)));
  } else if (device instanceof VirtioBlk) {
    for (const { id, bytes } of device.pendingRequests())
      if (random.chance(0.6)) device.complete(id, 'ok', new Uint8Array(bytes));
  }
}

for (const kind of Object.keys(BUILDS) as (keyof typeof BUILDS)[]) {
  test(`${kind}: 10,000 rounds of poisoned rings`, () => console.log(pester(kind, 10_000)), {
    timeoutMs: 60_000,
  });
}

test('random register accesses: any offset, width and value, in every device', () => {
  for (const kind of Object.keys(BUILDS) as (keyof typeof BUILDS)[]) {
    const random = seededRandom(`registers ${kind}`);
    const pc = new TestPc(BUILDS[kind] as (wiring: Wiring) => VirtioNet, 1);
    for (let i = 0; i < 20_000; i++) {
      const { pci } = pc.device;
      const bytes = random.pick([1, 2, 4]);
      const bar = random.int(2);
      const inBar = random.int(bar === 1 ? 8 : random.pick([0x40, 0x4000])) & ~(bytes - 1);
      const inConfig = random.int(256) & ~(bytes - 1);
      const mask = 2 ** (8 * bytes);
      const value = random.chance(0.6) ? random.int(16) : random.u32() % mask;
      const read = random.pick([
        () => pci.barRead(bar, inBar, bytes),
        () => pc.configRead(inConfig, bytes),
        () => pci.barWrite(bar, inBar, bytes, value),
        () => pci.barWrite(bar, inBar, bytes, value),
        () => pc.configWrite(inConfig, bytes, value),
      ])();
      assert.ok(read === undefined || (read >= 0 && read < mask), `${kind}: read ${read}`);
      if (random.chance(0.01)) inputs(random, pc.device);
      if (random.chance(0.002)) pc.reincarnate();
    }
    assert.is(pc.ram.refused, 0);
    assert.ok(pc.ram.areGuardsWhole());
  }
});

test.run();
