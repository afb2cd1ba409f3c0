// The commissioning test against counters whose alarms come late, and against one that miscounts.
import { commission } from '../../firmware/host/commissioning.ts';
import { type GuestMemory, probeKvm, type SoftEngine, VtxEngine } from '../../native/index.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('vtx/commissioning');
const probe = probeKvm();
test.needs({ met: probe.isUsable, why: `needs a KVM that works here (${probe.words.join('; ')})` });

const random = seededRandom('commissioning');
const gap = () => 1 + random.int(400);
const slow = { timeoutMs: 60_000 };

const counting = (skid: number) => (memory: GuestMemory) =>
  new VtxEngine(memory, 'stepped-branches', skid, random.int(1000));

for (const skid of [0, 40, 120]) {
  test(
    `alarms up to ${skid} branches late: every landing is right`,
    () => {
      const { landings, problem, skidMax } = commission(counting(skid), 30, gap);
      assert.is(problem, undefined);
      assert.is(landings, 30);
      assert.ok(skidMax <= skid);
    },
    slow,
  );
}

test(
  'an alarm beyond the margin refuses the board',
  () => {
    const { problem } = commission(counting(5_000), 30, () => 400);
    assert.match(problem ?? '', /branches late: this processor cannot land/);
  },
  slow,
);

test('a miscount of one refuses the board', () => {
  const off = (memory: GuestMemory) => {
    const engine = new VtxEngine(memory, 'stepped-branches', 0, 1);
    const run = engine.run.bind(engine);
    const wrong: SoftEngine['run'] = (limit) => run(limit > 500n ? limit + 1n : limit);
    return Object.defineProperty(engine, 'run', { value: wrong });
  };
  const { problem } = commission(off, 30, () => 100);
  assert.match(problem ?? '', /^the run to branch 600 ended behind branch 601$/);
});

test.run();
