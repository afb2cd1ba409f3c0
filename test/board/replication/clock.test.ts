// The guest's clock through everything that happens to roles: one line of real time, seen from the wire.
import { GuestLine } from '../../guest/guest-line.ts';
import { assert, seededRandom, suite } from '../../harness/index.ts';
import { needsGcc } from '../../softcpu/guest.ts';
import { Rig } from './rig.ts';

const test = suite('board/replication/clock');
test.needs(needsGcc());
const LONG = { timeoutMs: 300_000 };
const ANSWER_MS = 500;

const open: Rig[] = [];
const rigOf = async (name: string): Promise<Rig> => {
  const rig = new Rig({ random: seededRandom(name) });
  open.push(rig);
  return await rig.open();
};
test.after.each(async () => {
  for (const rig of open.splice(0)) await rig.close();
});

function lineOf(rig: Rig): GuestLine {
  const { plant } = rig;
  return new GuestLine(async () => {
    const before = plant.answers.length;
    plant.ask();
    const endMs = performance.now() + ANSWER_MS;
    await rig.a.until(() => plant.answers.length > before || performance.now() > endMs);
    // Of more than one it is not known which belongs to this question.
    return plant.answers.length === before + 1 ? plant.answers.at(-1)!.frame : undefined;
  });
}

for (const load of ['busy', 'idle'] as const)
  test(
    `the clock of a guest that is ${load} keeps its line through sync-up, crash and hand-over`,
    async () => {
      const rig = await rigOf(`line-${load}`);
      const { a, b, plant } = rig;
      const line = lineOf(rig);
      await rig.lead(a);
      plant.type(load === 'busy' ? 'b' : 'i');
      await line.talk(1_000);
      const start = await line.look();
      await rig.protect(a, b, 1);
      await line.isBackOn(start, 'sync-up');
      await rig.kill(a);
      rig.takeOver(b);
      await line.isBackOn(start, 'crash');
      const back = await rig.revive('a');
      await rig.protect(b, back, 2);
      await line.talk(200);
      await rig.handOver(b, back);
      await line.isBackOn(start, 'hand-over');
      const { clock } = back.replication.facts();
      assert.ok(clock.offMs !== null && clock.worstMs !== null && clock.peerErrorMs !== null);
      assert.is(b.replication.facts().clock.offMs, null, 'the clock is kept by who leads');
    },
    LONG,
  );

test.run();
