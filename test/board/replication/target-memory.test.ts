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

function same([is, should]: [bigint, bigint]): void {
  assert.is(is, should);
}

test('pages, zeros and pages again, while jobs are under way and between them', async () => {
  const random = seededRandom('target-memory');
  const target = TargetMemory.fresh(BYTES);
  for (let round = 0; round < 12; round++) {
    for (let n = 0; n < 200; n++) {
      const count = 1 + random.int(16);
      const first = random.int(PAGES - count + 1);
      const bytes = random.bytes(count * PAGE_BYTES);
      target.put(first, count, random.int(4) === 0 ? undefined : bytes);
      if (n % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await target.settled();
    same(digests(target));
  }
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
