// What people are told of the guest's clock: only while it is led here, at worst over all machines that were.
import { GuestClock } from '../../../firmware/board/replication/guest-clock.ts';
import type { VcpuFacts } from '../../../firmware/host/vcpu/vcpu.ts';
import { assert, suite } from '../../harness/index.ts';

const test = suite('board/replication/guest-clock');

const facts = (clockErrorNs: bigint, clockWorstNs: bigint): VcpuFacts => ({
  ...{ position: 1n, virtualNs: 2n, entriesApplied: 0, piecesApplied: 0, isIdle: false },
  ...{ doing: 'runs', life: 1, clockErrorNs, clockWorstNs },
});

test('who follows keeps no clock; the worst outlives the machine it was seen in', () => {
  const clock = new GuestClock();
  const nothing = { offMs: null, worstMs: null, peerErrorMs: null };
  assert.equal(clock.facts(undefined, false, undefined), nothing);
  assert.equal(clock.facts(facts(5n, 7n), false, undefined), nothing);
  clock.look(facts(0n, -147_400_000n), true);
  const peer = { offsetNs: 1n << 60n, errorNs: 321_456n };
  assert.equal(clock.facts(facts(-1_234_567n, 2_000_000n), true, peer), {
    ...{ offMs: -1.235, worstMs: -147.4, peerErrorMs: 0.321 },
  });
  const { offMs, worstMs } = clock.facts(undefined, false, peer);
  assert.equal([offMs, worstMs], [null, -147.4]);
});

test.run();
