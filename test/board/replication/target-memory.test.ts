// The digest that follows behind is that of the memory, however pages come, and whatever it begins with.
import { TargetMemory } from '../../../firmware/board/replication/target-memory.ts';
import { GuestMemory, MemoryDigest } from '../../../native/index.ts';
import { assert, seededRandom, suite } from '../../harness/index.ts';

const test = suite('board/replication/target-memory');
const PAGE_BYTES = 4096;
const PAGES = 8192;
const BYTES = PAGES * PAGE_BYTES;
const ALL = new Uint8Array(PAGES / 8).fill(0xff);
const NONE = new Uint8Array(PAGES / 8);

/** What the digest is, and what it should be. */
function digests({ memory, digest }: TargetMemory): [bigint, bigint] {
  const anew = new MemoryDigest(memory);
  const both: [bigint, bigint] = [digest.update(NONE), anew.update(ALL)];
  anew.close();
  return both;
}

function room(target: TargetMemory): Promise<void> {
  return new Promise((resolve) => {
    target.onRoom = resolve;
  });
}

function same([is, should]: [bigint, bigint]): void {
  assert.is(is, should);
}

test('pages, zeros and pages again, while jobs are under way and between them', async () => {
  const random = seededRandom('target-memory');
  const target = TargetMemory.fresh(BYTES);
  const expected = Buffer.alloc(BYTES);
  for (let round = 0; round < 12; round++) {
    for (let n = 0; n < 200; n++) {
      const count = 1 + random.int(16);
      const first = random.int(PAGES - count + 1);
      const bytes = random.int(4) === 0 ? undefined : random.bytes(count * PAGE_BYTES);
      while (!target.hasRoom) await room(target);
      target.put(first, count, bytes);
      expected.fill(0, first * PAGE_BYTES, (first + count) * PAGE_BYTES);
      if (bytes !== undefined) expected.set(bytes, first * PAGE_BYTES);
      if (n % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await (round % 2 === 0 ? target.settled() : target.quiet());
    same(digests(target));
    const found = Buffer.alloc(BYTES);
    target.memory.read(0, found);
    assert.ok(found.equals(expected), `round ${round}`);
  }
  target.close();
});

test('who goes on without room is told by a broken invariant; a page of zeros is no memory', async () => {
  const target = TargetMemory.fresh(BYTES);
  const piece = new Uint8Array(128 * PAGE_BYTES);
  let puts = 0;
  assert.throws(() => {
    for (; ; puts++) target.put(0, 128, piece);
  }, /beyond the room/);
  assert.ok(puts > 4 && !target.hasRoom);
  await room(target);
  assert.ok(target.hasRoom);
  await target.quiet();
  target.put(0, 128, undefined);
  await target.settled();
  assert.is(target.memory.realPages(0).first, PAGES);
  same(digests(target));
  target.close();
});

test('a digest that is there goes on; without one all of the memory is looked at', async () => {
  const memory = new GuestMemory({ bytes: BYTES });
  memory.write(5 * PAGE_BYTES, new Uint8Array(PAGE_BYTES).fill(5));
  const digest = new MemoryDigest(memory);
  digest.update(ALL);
  const known = new TargetMemory(memory, digest);
  known.put(6, 1, new Uint8Array(PAGE_BYTES).fill(6));
  await known.settled();
  same(digests(known));
  const unknown = new TargetMemory(memory);
  await unknown.settled();
  same(digests(unknown));
  known.close();
});

test('a job that fails leaves nothing taken for known', async () => {
  const memory = new GuestMemory({ bytes: BYTES });
  const broken = new MemoryDigest(memory);
  const target = new TargetMemory(memory, broken);
  target.put(1, 1, new Uint8Array(PAGE_BYTES).fill(1));
  broken.close();
  for (let times = 0; times < 2; times++) {
    const error = await target.settled().then(
      () => undefined,
      (why) => why,
    );
    assert.match((error as Error).message, /closed/);
  }
  target.close();
  target.close();
});

test.run();
