// A rate that was set is kept, whatever the pieces; none set costs no wait; a pause is not made up for.
import { SyncRate } from '../../firmware/lockstep/sync-rate.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('lockstep/sync-rate');
const MIB = 1 << 20;

function spentMs(rate: SyncRate, total: number, piece: () => number): number {
  let nowMs = 1000;
  for (let bytes = 0; bytes < total; ) {
    const some = Math.min(piece(), total - bytes);
    bytes += some;
    nowMs += rate.waitMs(some, nowMs);
  }
  return nowMs - 1000;
}

test('so many MiB a second, in pieces of any size', () => {
  const random = seededRandom('rate');
  for (const mibS of [1, 10, 300]) {
    const ms = spentMs(new SyncRate(mibS), 100 * MIB, () => 1 + random.int(3 * MIB));
    assert.ok(Math.abs(ms - 100_000 / mibS) <= 60, `${ms} ms at ${mibS} MiB/s`);
  }
});

test('without one there is no wait, and it counts from when it is set', () => {
  const rate = new SyncRate();
  assert.is(rate.waitMs(1000 * MIB, 5), 0);
  rate.mibS = 1;
  assert.is(Math.round(rate.waitMs(MIB, 10)), 950);
});

test('what was not used long ago is not made up for', () => {
  const rate = new SyncRate(1);
  rate.waitMs(MIB, 0);
  const atOnce = rate.waitMs(MIB, 60_000);
  assert.ok(atOnce >= 900, `${atOnce} ms`);
});

test.run();
