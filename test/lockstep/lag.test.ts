// The governor with a backup that is faster, as fast, and slower than the guest; the age of the log.
import { BackOff, LAG_LIMITS, LagGovernor } from '../../firmware/lockstep/lag.ts';
import { LogLag } from '../../firmware/lockstep/log-lag.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('lockstep/lag');

/** The guest runs at the share it is left, the backup at `speed`; their distance in milliseconds. */
function run(speed: number, forMs: number, startLagMs = 0) {
  const governor = new LagGovernor();
  let lagMs = startLagMs;
  let dropped: number | undefined;
  let slowest = 0;
  for (let now = 0; now < forMs && dropped === undefined; now += 10) {
    lagMs = Math.max(0, lagMs + 10 * (1 - governor.share - speed));
    if (governor.step(lagMs, now) === 'drop') dropped = now;
    slowest = Math.max(slowest, governor.share);
  }
  return { lagMs, dropped, share: governor.share, slowest };
}

test('a backup that keeps up costs nothing', () => {
  assert.equal(run(1.2, 10_000), { lagMs: 0, dropped: undefined, share: 0, slowest: 0 });
});

test('a backup that catches up by itself is left alone', () => {
  const { share, slowest, lagMs } = run(2, 10_000, 600);
  assert.is(slowest, 0);
  assert.is(share, 0);
  assert.is(lagMs, 0);
});

test('a backup a little slower makes the guest a little slower, for good', () => {
  const { lagMs, dropped, share } = run(0.85, 60_000);
  assert.is(dropped, undefined);
  assert.ok(lagMs < 3 * LAG_LIMITS.softMs, `${lagMs} ms behind`);
  assert.ok(share < 0.5, `slowed by ${share}`);
});

test('a backup that cannot keep up at all is dropped, after the guest was slowed', () => {
  const { dropped, slowest } = run(0.05, 60_000);
  assert.is(slowest, LAG_LIMITS.shareMax);
  assert.ok(dropped !== undefined && dropped >= LAG_LIMITS.patienceMs);
});

test('a moment above the hard bound is forgiven', () => {
  const governor = new LagGovernor();
  for (let now = 0; now < 20_000; now += 100) {
    assert.is.not(governor.step(now % 2_000 === 0 ? 10 : 5_000, now), 'drop');
  }
});

test('what it was behind before it counted is forgiven', () => {
  const governor = new LagGovernor();
  const { patienceMs, hardMs } = LAG_LIMITS;
  governor.step(2 * hardMs, 0);
  governor.forgive();
  assert.is.not(governor.step(2 * hardMs, patienceMs), 'drop');
  assert.is(governor.step(2 * hardMs, 2 * patienceMs), 'drop');
});

test('the pause before a sync-up doubles while it repeats itself, and is forgotten', () => {
  const { first, max, forgetMs } = LAG_LIMITS.backOffMs;
  const backOff = new BackOff();
  assert.is(backOff.waitMs(0), 0);
  let now = 0;
  for (const factor of [1, 2, 4, 8, 16, 32]) {
    backOff.dropped(now);
    assert.is(backOff.waitMs(now), Math.min(max, first * factor));
    now += backOff.waitMs(now);
    assert.is(backOff.waitMs(now), 0);
  }
  now += forgetMs + max;
  backOff.dropped(now);
  assert.is(backOff.waitMs(now), first);
});

test('the lag is the age of the oldest message that is not applied', () => {
  const random = seededRandom('log-lag');
  const lag = new LogLag();
  const sentMs: number[] = [];
  let applied = 0;
  for (let now = 0; now < 20_000; now++) {
    if (random.chance(0.6)) {
      lag.sent(now);
      sentMs.push(now);
    }
    if (random.chance(0.5)) {
      applied = Math.min(sentMs.length, applied + random.int(3));
      lag.applied(applied);
    }
    const oldest = sentMs[applied];
    assert.is(lag.lagMs(now), oldest === undefined ? 0 : now - oldest);
  }
  lag.applied(sentMs.length + 100);
  assert.is(lag.lagMs(30_000), 0);
});

test.run();
