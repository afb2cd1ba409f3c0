// Two boards' hands together: sync-up while the guest runs, protected run, takeover, hand-over.
import { assert, seededRandom, suite } from '../../harness/index.ts';
import { needsGcc } from '../../softcpu/guest.ts';
import { Rig } from './rig.ts';

const test = suite('board/hands/twin');
test.needs(needsGcc());

const open: Rig[] = [];
const rigOf = async (...args: ConstructorParameters<typeof Rig>): Promise<Rig> => {
  const rig = new Rig(...args);
  open.push(rig);
  return await rig.open();
};
test.after.each(async () => {
  for (const rig of open.splice(0)) await rig.close();
});

test('sync-up while the guest runs, then a takeover without loss', async () => {
  const rig = await rigOf({ random: seededRandom('sync') });
  const { a, b, plant } = rig;
  await rig.lead(a);
  plant.type('b');
  await rig.talk(20);
  await rig.protect(a, b, 1);
  await rig.talk(50);
  assert.is(b.hands.facts().guest, 'following');
  await rig.kill(a);
  rig.takeOver(b);
  await rig.talk(50);
  plant.assertConsistent();
  assert.is(plant.answers.at(-1)!.by, 'b');
  assert.not.ok(b.codes().includes('DIVERGED'));
});

test.run();
