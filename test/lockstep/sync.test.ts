// Rounds of sync-up that converge or not, what people are told meanwhile, and sets of blocks and pages.
import { BlockSet, countPages, pagesOf } from '../../firmware/lockstep/sync-blocks.ts';
import { SYNC_PLAN_LIMITS, SyncPlan } from '../../firmware/lockstep/sync-plan.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('lockstep/sync');
const MIB = 1 << 20;

/** A guest that writes at a share of the copying speed, less when it is held back. */
function rounds(share: number) {
  const plan = new SyncPlan();
  let dirty = 1024 * MIB;
  const throttles: number[] = [];
  for (;;) {
    const held = throttles.at(-1) ?? 0;
    dirty = Math.min(1024 * MIB, dirty * share * (1 - held));
    const verdict = plan.decide(dirty, 0);
    if (verdict.next === 'stop') return { ...verdict, rounds: plan.round, throttles, dirty };
    throttles.push(verdict.throttle);
  }
}

test('a quiet guest is stopped after the first round', () => {
  const { why, rounds: count } = rounds(0.001);
  assert.is(why, 'converged');
  assert.is(count, 0);
});

test('a busy one takes rounds, and is not held back if they shrink', () => {
  const { why, throttles } = rounds(0.15);
  assert.is(why, 'converged');
  assert.ok(throttles.every((throttle) => throttle === 0));
});

test('one that writes faster than is copied is held back until it converges', () => {
  const { why, throttles } = rounds(1.2);
  assert.is(why, 'converged');
  assert.ok(throttles.some((throttle) => throttle > 0));
  assert.ok(
    throttles.every((t, i) => t >= (throttles[i - 1] ?? 0) && t <= SYNC_PLAN_LIMITS.shareMax),
  );
});

test('and stopped in the end whatever it does', () => {
  const { why, rounds: count } = rounds(100);
  assert.is(why, 'patience');
  assert.is(count, SYNC_PLAN_LIMITS.roundsMax);
});

test('disk blocks count for themselves', () => {
  const plan = new SyncPlan();
  assert.is(plan.decide(0, SYNC_PLAN_LIMITS.restBlockBytes + 1).next, 'round');
  assert.is(plan.decide(0, SYNC_PLAN_LIMITS.restBlockBytes).next, 'stop');
});

test('percent only grows and stays below what only the end can say; the ETA follows the rate', () => {
  const random = seededRandom('percent');
  const plan = new SyncPlan();
  plan.expect(1000 * MIB);
  assert.is(plan.etaS, null);
  let before = 0;
  for (let done = 0; done < 1500; done += 10) {
    plan.worked(10 * MIB, 50 + random.int(100));
    assert.ok(plan.percent >= before && plan.percent < 100);
    before = plan.percent;
    if (done < 900) {
      const expectedS = ((1000 - done - 10) / 10) * 0.1;
      assert.ok(Math.abs(plan.etaS! - expectedS) < expectedS * 0.5 + 2, `${plan.etaS} s`);
    }
  }
  assert.is(plan.percent, 97);
  assert.is(plan.etaS, 0);
});

test('a set of blocks is as a Set of numbers', () => {
  const random = seededRandom('blocks');
  const set = new BlockSet(1000);
  const model = new Set<number>();
  for (let step = 0; step < 5000; step++) {
    if (random.chance(0.4)) {
      const lowest = [...model].sort((a, b) => a - b)[0];
      assert.is(set.take(), lowest);
      if (lowest !== undefined) model.delete(lowest);
    } else {
      const offset = random.int(1000 * 64);
      const bytes = random.int(300);
      set.markBytes(offset, bytes, 64);
      for (let at = offset; at < offset + bytes; at++) {
        if (Math.floor(at / 64) < 1000) model.add(Math.floor(at / 64));
      }
    }
    assert.is(set.size, model.size);
    const block = random.int(1000);
    assert.is(set.has(block), model.has(block));
  }
});

test('a set for a disk of 16 TiB costs what is marked in it', () => {
  const blocks = 2 ** 28;
  const before = process.memoryUsage().arrayBuffers;
  const set = new BlockSet(blocks);
  const marked = [blocks - 1, 5, 2 ** 20, 2 ** 27 + 3];
  for (const block of marked) set.mark(block);
  assert.ok(process.memoryUsage().arrayBuffers - before < 1 << 20);
  assert.equal(
    marked.map(() => set.take()),
    [5, 2 ** 20, 2 ** 27 + 3, blocks - 1],
  );
  assert.is(set.take(), undefined);
});

test('pages of a bitmap, also one that is longer than memory', () => {
  const random = seededRandom('pages');
  for (const pages of [1, 7, 8, 64, 100, 1000]) {
    const bitmap = random.bytes(Math.ceil(pages / 64) * 8);
    const expected = Array.from({ length: pages }, (_, page) => page).filter(
      (page) => (bitmap[page >> 3]! & (1 << (page & 7))) !== 0,
    );
    assert.equal([...pagesOf(bitmap, pages)], expected);
    assert.is(countPages(bitmap, pages), expected.length);
  }
});

test.run();
