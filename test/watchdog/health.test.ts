// The health verdict: what of a board must live, and how long it may stand still.
import { DEFAULT_HEALTH_LIMITS, Health, healthLimitsFor } from '../../watchdog/health.ts';
import { DEFAULT_LIMITS } from '../../watchdog/limits.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('watchdog/health');

test('what hangs is not alive; what is missing, or fails with an error, is unfit and alive', () => {
  const { loopLagMs, vcpuStuckMs, diskMs } = DEFAULT_HEALTH_LIMITS;
  const fails: readonly (readonly [boolean, (health: Health) => void])[] = [
    [true, (health) => health.resource('TAP tap0 was deleted')],
    [true, (health) => health.diskEnds('EIO')],
    [true, (health) => health.channel('no card')],
    [false, (health) => health.diskBegins(100_000 - diskMs - 1)],
    [false, (health) => health.loop(100_000 + loopLagMs + 10, 5)],
    [false, (health) => health.vcpu(1n, true, 100_000 - vcpuStuckMs - 1)],
  ];
  for (const [isAlive, fail] of fails) {
    const health = new Health(DEFAULT_HEALTH_LIMITS, 100_000);
    fail(health);
    if (String(fail).includes('vcpu')) health.vcpu(1n, true, 100_000);
    assert.not.ok(health.verdict(100_000).ok, String(fail));
    assert.is(health.isAlive(100_000), isAlive, String(fail));
  }
});

test('health: each probe fails by itself, says why in words, and recovers', () => {
  const { loopLagMs, vcpuStuckMs, diskMs } = DEFAULT_HEALTH_LIMITS;
  const health = new Health(DEFAULT_HEALTH_LIMITS, 0);
  const at = (nowMs: number) => health.verdict(nowMs);
  assert.equal(at(0), { ok: true, bits: 0, words: [] });
  health.loop(loopLagMs + 10, 5);
  assert.match(at(loopLagMs + 10).words.join(), /event loop/);
  health.loop(loopLagMs + 15, 5);
  assert.ok(at(loopLagMs + 15).ok);
  health.vcpu(5n, true, 2000);
  health.vcpu(5n, true, 2000 + vcpuStuckMs);
  assert.ok(at(2000 + vcpuStuckMs).ok);
  assert.is(at(2001 + vcpuStuckMs).bits, 0b0010);
  health.vcpu(5n, false, 5000);
  assert.ok(at(90_000).ok, 'a vCPU that waits is not stuck');
  health.vcpu(5n, true, 90_000);
  assert.ok(at(90_000 + vcpuStuckMs).ok, 'counted from when it runs again');
  health.vcpu(6n, false, 95_000);
  health.diskBegins(100_000);
  health.diskBegins(103_000);
  assert.ok(at(100_000 + diskMs).ok);
  assert.is(at(100_001 + diskMs).bits, 0b1000);
  health.diskEnds('EIO');
  assert.match(at(100_000).words.join(), /EIO/);
  health.diskEnds(null);
  health.channel('eth1 is gone');
  assert.is(at(100_000).bits, 0b0100);
  health.channel(null);
  assert.ok(at(100_000).ok);
});

test('patience with stalls is patience of the health verdict, and never less than usual', () => {
  assert.equal(healthLimitsFor(DEFAULT_LIMITS.stallMs), DEFAULT_HEALTH_LIMITS);
  assert.equal(healthLimitsFor(3_000), { loopLagMs: 3_000, vcpuStuckMs: 12_000, diskMs: 12_000 });
});

test.run();
