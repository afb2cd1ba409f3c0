// Two boards' replication together: sync-up while the guest runs, protected run, takeover, hand-over.
import { assert, seededRandom, suite } from '../../harness/index.ts';
import { needsGcc } from '../../softcpu/guest.ts';
import { Rig, turn } from './rig.ts';

const test = suite('board/replication/twin');
test.needs(needsGcc());
/** Seconds on a machine of its own. */
const LONG = { timeoutMs: 150_000 };

const open: Rig[] = [];
const rigOf = async (...args: ConstructorParameters<typeof Rig>): Promise<Rig> => {
  const rig = new Rig(...args);
  open.push(rig);
  return await rig.open();
};
test.after.each(async () => {
  for (const rig of open.splice(0)) await rig.close();
});

test(
  'sync-up while the guest runs, then a takeover without loss',
  async () => {
    const rig = await rigOf({ random: seededRandom('sync') });
    const { a, b, plant } = rig;
    await rig.lead(a);
    plant.type('b');
    await rig.talk(20);
    await rig.protect(a, b, 1);
    await rig.talk(50);
    assert.is(b.replication.facts().guest, 'following');
    await rig.kill(a);
    rig.takeOver(b);
    await rig.talk(50);
    plant.assertConsistent();
    assert.is(plant.answers.at(-1)!.by, 'b');
    assert.not.ok(b.codes().includes('DIVERGED'));
  },
  LONG,
);

test(
  'the leader dies at any moment: the world sees one guest, perhaps twice, never less',
  async () => {
    const random = seededRandom('kill');
    const rig = await rigOf({ random });
    const { plant } = rig;
    let [leader, backup] = [rig.a, rig.b];
    await rig.lead(leader);
    plant.type('b');
    for (let session = 1; session <= 4; session++) {
      await rig.protect(leader, backup, session);
      // Questions are on their way, and answers, when it happens.
      for (let left = random.int(30); left > 0; left--) {
        plant.ask();
        if (random.chance(0.5)) await turn();
      }
      if (random.chance(0.5)) await rig.talk(1 + random.int(5));
      for (let left = random.int(20); left > 0; left--) await turn();
      await rig.kill(leader);
      rig.takeOver(backup);
      await rig.talk(10);
      plant.assertConsistent();
      const died = leader.name;
      [leader, backup] = [backup, await rig.revive(died)];
    }
    await rig.protect(leader, backup, 9);
    await rig.talk(10);
    await rig.stopBoth(leader, backup);
    assert.ok(rig.disksAreEqual());
  },
  LONG,
);

test(
  'a translator on one board, an interpreter on the other: in step, and a takeover each way',
  async () => {
    const rig = await rigOf({
      random: seededRandom('translated'),
      planOfB: { engine: 'soft-interpreter' },
    });
    const { plant } = rig;
    let [leader, backup] = [rig.a, rig.b];
    await rig.lead(leader);
    plant.type('b');
    for (let session = 1; session <= 2; session++) {
      await rig.protect(leader, backup, session);
      await rig.talk(40);
      assert.is(backup.replication.facts().guest, 'following');
      await rig.kill(leader);
      rig.takeOver(backup);
      await rig.talk(20);
      plant.assertConsistent();
      assert.not.ok(backup.codes().includes('DIVERGED'));
      const died = leader.name;
      [leader, backup] = [backup, await rig.revive(died)];
    }
  },
  LONG,
);

test(
  'handed over and back, three times, without a repeat',
  async () => {
    const rig = await rigOf({ random: seededRandom('swap') });
    const { plant } = rig;
    await rig.lead(rig.a);
    plant.type('b');
    await rig.protect(rig.a, rig.b, 1);
    let [leader, backup] = [rig.a, rig.b];
    for (let times = 0; times < 6; times++) {
      await rig.talk(10);
      await rig.handOver(leader, backup);
      [leader, backup] = [backup, leader];
      await rig.talk(10);
      plant.assertConsistent();
    }
    assert.is(plant.repeats, 0);
    assert.ok(!rig.a.codes().includes('DIVERGED') && !rig.b.codes().includes('DIVERGED'));
    await rig.kill(leader);
    rig.takeOver(backup);
    await rig.talk(10);
    plant.assertConsistent();
  },
  LONG,
);

test(
  'a board that hands over and is not fit to follow, in the same moment, is brought into step again',
  async () => {
    const rig = await rigOf({ random: seededRandom('unfit') });
    const { a, b, plant } = rig;
    await rig.lead(a);
    await rig.protect(a, b, 1);
    await rig.talk(5);
    await rig.offer(a, b);
    // Each order comes before what the one before it ordered is done.
    const generation = a.reign.generation + 1;
    b.is('promoting', { generation, grant: null });
    b.replication.goLive();
    b.is('protected', { grant: { boot: a.reign.boot, session: a.reign.session } });
    b.replication.gate('acked');
    b.replication.markLog('grant', b.reign.grant!);
    b.is('soloing', { grant: null });
    b.replication.syncStop();
    b.is('solo');
    b.replication.gate('open');
    a.is('backup', { generation, grant: null });
    a.replication.follow(b.reign.boot, a.reign.session);
    rig.startSync(b, a, 2);
    await b.told('sync-done');
    assert.not.ok(b.codes().includes('LOG-TROUBLE'), 'a grant withdrawn is no trouble');
    await rig.grant(b, a);
    await rig.talk(5);
    plant.assertConsistent();
  },
  LONG,
);

test(
  'a leader that takes its offer back goes on where it stood',
  async () => {
    const rig = await rigOf({ random: seededRandom('resume') });
    const { a, b, plant } = rig;
    await rig.lead(a);
    await rig.protect(a, b, 1);
    await rig.talk(5);
    await rig.offer(a, b);
    // The backup renounces instead.
    b.is('target', { session: 2 });
    b.replication.syncTarget(2);
    a.is('soloing', { grant: null });
    a.replication.syncStop();
    a.replication.resumeGuest();
    a.is('solo');
    a.replication.gate('open');
    await rig.talk(5);
    rig.startSync(a, b, 2);
    await a.told('sync-done');
    await rig.grant(a, b);
    await rig.talk(5);
    plant.assertConsistent();
  },
  LONG,
);

test(
  'a difference is found and healed by another sync-up',
  async () => {
    const rig = await rigOf({ random: seededRandom('diverge') });
    const { a, b, plant } = rig;
    await rig.lead(a);
    plant.type('b');
    await rig.protect(a, b, 1);
    await rig.talk(5);
    rig.damage(b);
    await b.told('diverged');
    assert.ok(b.codes().includes('DIVERGED'));
    a.is('soloing', { grant: null });
    a.replication.syncStop();
    a.is('solo');
    a.replication.gate('open');
    await rig.protect(a, b, 2);
    await rig.talk(5);
    await rig.kill(a);
    rig.takeOver(b);
    await rig.talk(5);
    plant.assertConsistent();
  },
  LONG,
);

test(
  'a backup found unlike while it goes live starts the guest anew: the reign is its own',
  async () => {
    const rig = await rigOf({ random: seededRandom('unlike') });
    const { a, b, plant } = rig;
    await rig.lead(a);
    plant.type('b');
    await rig.protect(a, b, 1);
    await rig.talk(3);
    // It waits for its disk while the log grows, and is no longer what it was.
    const [disk] = b.replication.runner.disks;
    const request = disk!.request.bind(disk!);
    const held: (() => void)[] = [];
    disk!.request = (...args) => void held.push(() => request(...args));
    await b.until(() => held.length > 0);
    await rig.talk(5);
    rig.damage(b);
    await rig.kill(a);
    rig.takeOver(b);
    plant.answers.length = 0;
    disk!.request = request;
    for (const go of held) go();
    await b.until(() => b.codes().includes('GUEST-STARTED'));
    assert.ok(b.codes().includes('DIVERGED') && b.codes().includes('GUEST-FAILED'));
    assert.not.ok(
      b.arbiter.some(({ type }) => type === 'diverged'),
      'it leads: nobody to ask',
    );
    await rig.talk(3);
    assert.is(b.replication.facts().guest, 'leading');
  },
  LONG,
);

test(
  'a guest that restarts does so on both boards',
  async () => {
    const rig = await rigOf({ random: seededRandom('restart') });
    const { a, b, plant } = rig;
    await rig.lead(a);
    await rig.protect(a, b, 1);
    await rig.talk(5);
    plant.answers.length = 0;
    plant.type('R');
    await b.until(() => b.replication.facts().lives === 2);
    await rig.talk(5);
    await rig.kill(a);
    rig.takeOver(b);
    await rig.talk(5);
    assert.is(b.replication.facts().lives, 2);
    assert.not.ok(b.codes().includes('DIVERGED'));
  },
  LONG,
);

test(
  'a discarded guest leaves nothing behind',
  async () => {
    const rig = await rigOf({ random: seededRandom('discard') });
    const { a } = rig;
    await rig.lead(a);
    await rig.talk(3);
    a.is('fenced');
    a.replication.gate('closed');
    a.replication.discardGuest();
    await a.told('guest-discarded');
    assert.is(a.replication.facts().guest, 'none');
    assert.is(a.replication.facts().diskBusySinceMs, null);
    await rig.lead(a);
    rig.plant.answers.length = 0;
    await rig.talk(3);
  },
  LONG,
);

test.run();
