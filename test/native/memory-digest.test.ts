// The memory digest: incremental equals from-scratch, every change shows, and it costs little.
import { MemoryBanks } from '../../firmware/machine/memory-banks.ts';
import { GuestMemory, MemoryDigest } from '../../native/index.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('native/memory-digest');
const PAGES = 256;
const PAGE_BYTES = 4096;

function bitmapOf(pages: Iterable<number>): Uint8Array {
  const bitmap = new Uint8Array(PAGES / 8);
  for (const page of pages) bitmap[page >> 3] = (bitmap[page >> 3] as number) | (1 << (page & 7));
  return bitmap;
}

const ALL = bitmapOf(Array.from({ length: PAGES }, (_, page) => page));

test('incremental equals from scratch, over random writes', () => {
  const random = seededRandom('digest');
  const memory = new GuestMemory({ bytes: PAGES * PAGE_BYTES });
  const bytes = new Uint8Array(memory.buffer);
  const incremental = new MemoryDigest(memory);
  for (let round = 0; round < 50; round++) {
    const dirty = Array.from({ length: random.int(20) }, () => random.int(PAGES));
    for (const page of dirty) {
      bytes[page * PAGE_BYTES + random.int(PAGE_BYTES)] = random.pick([0, random.int(256)]);
    }
    const expected = new MemoryDigest(memory).update(ALL);
    assert.is(incremental.update(bitmapOf(dirty)), expected);
  }
  memory.close();
});

for (const gib of [1, 9]) {
  test(`${gib} GiB: memory nobody touched is not touched by its digest, and what was given back counts as zeros`, () =>
    onlyTouched(gib));
}

function onlyTouched(gib: number): void {
  const pages = gib << 18;
  const memory = new GuestMemory({ bytes: pages * PAGE_BYTES });
  const banks = MemoryBanks.of(memory);
  const all = new Uint8Array(pages / 8).fill(0xff);
  const digest = new MemoryDigest(memory);
  const before = process.memoryUsage.rss();
  assert.is(digest.update(all), 0n);
  for (const page of [0, 63, 64, 5000, pages - 1]) banks.setU8(page * PAGE_BYTES, 1);
  assert.is.not(digest.update(all), 0n);
  assert.is(digest.update(all), new MemoryDigest(memory).update(all));
  memory.clearPages(0, pages);
  assert.is(digest.update(all), 0n);
  assert.ok(process.memoryUsage.rss() - before < 100 << 20, 'nothing became real');
  memory.close();
}

test('any single flipped bit shows', () => {
  const random = seededRandom('flip');
  const memory = new GuestMemory({ bytes: PAGES * PAGE_BYTES });
  const bytes = new Uint8Array(memory.buffer);
  for (let at = 0; at < bytes.length; at += 7) bytes[at] = random.int(256);
  const before = new MemoryDigest(memory).update(ALL);
  for (let round = 0; round < 500; round++) {
    const at = random.int(bytes.length);
    const bit = 1 << random.int(8);
    bytes[at] = (bytes[at] as number) ^ bit;
    assert.is.not(new MemoryDigest(memory).update(ALL), before, `bit ${bit} at ${at}`);
    bytes[at] = (bytes[at] as number) ^ bit;
  }
  assert.is(new MemoryDigest(memory).update(ALL), before);
  memory.close();
});

test('pages that change places show, zero pages count nothing', () => {
  const memory = new GuestMemory({ bytes: PAGES * PAGE_BYTES });
  const bytes = new Uint8Array(memory.buffer);
  assert.is(new MemoryDigest(memory).update(ALL), 0n);
  bytes[0] = 1;
  bytes[PAGE_BYTES] = 2;
  const one = new MemoryDigest(memory).update(ALL);
  bytes[0] = 2;
  bytes[PAGE_BYTES] = 1;
  const digest = new MemoryDigest(memory);
  assert.is.not(digest.update(ALL), one);
  assert.is.not(digest.page(0), 0n);
  assert.is(digest.page(2), 0n);
  memory.close();
});

test('wrong arguments are refused, a closed memory is refused, an open digest survives', () => {
  const memory = new GuestMemory({ bytes: PAGES * PAGE_BYTES });
  const digest = new MemoryDigest(memory);
  assert.throws(() => digest.update(new Uint8Array(8)), /one bit a page/);
  assert.throws(() => digest.update(new Uint8Array(33)), /one bit a page/);
  assert.throws(() => digest.page(PAGES), /no such page/);
  memory.close();
  assert.is(digest.update(ALL), 0n);
  assert.throws(() => new MemoryDigest(memory), /closed/);
});

test('another object goes on with it by its token, until nobody has it', () => {
  const memory = new GuestMemory({ bytes: PAGES * PAGE_BYTES });
  const first = new MemoryDigest(memory);
  memory.write(3 * PAGE_BYTES, Uint8Array.of(1));
  const before = first.update(ALL);
  const second = new MemoryDigest(memory, first.token);
  assert.is(second.token, first.token);
  first.close();
  first.close();
  assert.throws(() => first.update(ALL), /closed/);
  assert.throws(() => first.page(0), /closed/);
  assert.is(second.update(new Uint8Array(ALL.length)), before);
  assert.ok(second.page(3) !== 0n);
  const small = new GuestMemory({ bytes: PAGE_BYTES });
  assert.throws(() => new MemoryDigest(small, second.token), /size/);
  second.close();
  assert.throws(() => new MemoryDigest(memory, second.token), /no digest has token/);
});

test.run();
