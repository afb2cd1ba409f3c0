// Two boards' replication with guests on this machine's own KVM, in single steps: what a board does with the
// software engine it does with this one, sync-up, takeover and hand-over. At exits, on a KVM that is a whole one.
import { probeKvm } from '../../native/index.ts';
import { Rig } from '../board/replication/rig.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';
import { needsGcc } from '../softcpu/guest.ts';

const test = suite('vtx/replication');
const probe = probeKvm();
test.needs({ met: probe.isUsable, why: `needs a KVM that works here (${probe.words.join('; ')})` });
test.needs(needsGcc());

const engines = probe.isLimited ? (['vtx-steps'] as const) : (['vtx-steps', 'vtx-exits'] as const);

for (const engine of engines) {
  test(
    `${engine}: in step, a takeover, in step again, handed over and back`,
    async () => {
      const rig = new Rig({ random: seededRandom(engine), plan: { engine } });
      await rig.open();
      try {
        const { a, b, plant } = rig;
        await rig.lead(a);
        plant.type('b');
        assert.is(a.replication.facts().engine.kind, engine);
        await rig.talk(5);
        await rig.protect(a, b, 1);
        await rig.talk(10);
        await rig.kill(a);
        rig.takeOver(b);
        await rig.talk(10);
        plant.assertConsistent();
        const back = await rig.revive('a');
        await rig.protect(b, back, 2);
        await rig.talk(5);
        await rig.handOver(b, back);
        await rig.talk(5);
        await rig.handOver(back, b);
        await rig.talk(5);
        plant.assertConsistent();
        assert.is(plant.answers.at(-1)?.by, 'b');
        for (const board of [b, back]) assert.not.ok(board.codes().includes('DIVERGED'));
        await rig.stopBoth(b, back);
        assert.ok(rig.disksAreEqual());
      } finally {
        await rig.close();
      }
    },
    { timeoutMs: 150_000 },
  );
}

test('two boards with unlike engines are told so, and the guest goes on', async () => {
  const rig = new Rig({ random: seededRandom('unlike'), planOfB: { engine: 'vtx-steps' } });
  await rig.open();
  try {
    const { a, b } = rig;
    await rig.lead(a);
    rig.startSync(a, b, 1);
    await b.until(() => b.codes().includes('SYNC-REFUSED'));
    const why = b.replication.facts().sync.refusals.join('; ');
    assert.match(why, /engine .*: the leader has soft, the target vtx-steps/);
    await rig.talk(1);
  } finally {
    await rig.close();
  }
});

test.run();
