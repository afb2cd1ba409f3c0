// A memory that is still there: the board that had it is brought up by the pages that changed, whatever lies in it.
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KeptMemory } from '../../../firmware/board/replication/kept-memory.ts';
import type { SyncTarget } from '../../../firmware/board/replication/sync-target.ts';
import { TargetMemory } from '../../../firmware/board/replication/target-memory.ts';
import { GuestMemory } from '../../../native/index.ts';
import { assert, seededRandom, suite } from '../../harness/index.ts';
import { needsGcc } from '../../softcpu/guest.ts';
import { Rig, type TestBoard } from './rig.ts';
import { alone, lastSync } from './script.ts';

const test = suite('board/replication/kept');
test.needs(needsGcc());
const LONG = { timeoutMs: 150_000 };
const MIB = 1 << 20;
const PAGE = 4096;
/** Lies in the guest's memory, and is never written. */
const INITRD_BYTES = 6 * MIB;
const INITRD_PAGES = INITRD_BYTES / PAGE;

const open: Rig[] = [];
async function rigOf(what: string): Promise<Rig> {
  const random = seededRandom(what);
  const initrd = join(tmpdir(), `twinstep-kept-${process.pid}`);
  writeFileSync(initrd, random.bytes(INITRD_BYTES));
  const rig = new Rig({ random, plan: { initrd, memoryBytes: 32 * MIB }, remembers: true });
  open.push(rig);
  return await rig.open();
}
test.after.each(async () => {
  for (const rig of open.splice(0)) await rig.close();
});

/** It gives its machine up. */
async function renounce(board: TestBoard): Promise<void> {
  board.is('seeking', { grant: null });
  board.replication.gate('closed');
  board.replication.discardGuest();
  await board.told('guest-discarded');
}

/** The log cable is out until the arbiters have seen it, and the backup is none any more. */
async function cableOut(rig: Rig, leader: TestBoard, backup: TestBoard): Promise<void> {
  rig.cable.isCut = true;
  alone(leader);
  await renounce(backup);
  await rig.talk(5);
  rig.cable.isCut = false;
}

/** How much of the memory has come to a target. */
function pagesAt({ replication }: TestBoard): number {
  const inside = replication as unknown as { following: { target?: SyncTarget } };
  return inside.following.target?.counts.pages ?? 0;
}

/** Both stand at one place, and all of the memory is the same there. */
async function assertEqual(rig: Rig, leader: TestBoard, backup: TestBoard): Promise<void> {
  await rig.talk(3);
  await rig.offer(leader, backup);
  const at = (board: TestBoard) => board.replication.facts();
  await backup.until(
    () =>
      at(backup).position === at(leader).position &&
      at(leader).diskBusySinceMs === null &&
      at(backup).diskBusySinceMs === null,
  );
  const [here, there] = [leader, backup].map(({ replication }) =>
    Buffer.from(replication.runner.memory().buffer),
  );
  assert.ok(here!.equals(there!));
}

test(
  'the log cable was out: what changed is sent, and the guest is the same',
  async () => {
    const rig = await rigOf('cable');
    const { a, b } = rig;
    await rig.lead(a);
    await rig.protect(a, b, 1);
    assert.is(lastSync(a).pagesCompared, 0, 'the first time there is nothing to compare with');
    assert.ok(lastSync(a).pagesSent > INITRD_PAGES);
    for (let session = 2; session < 5; session++) {
      await rig.talk(5);
      await cableOut(rig, a, b);
      rig.startSync(a, b, session);
      await a.until(() => a.replication.facts().sync.memory === 'changes');
      await a.told('sync-done');
      await rig.grant(a, b);
      const { pagesCompared, pagesSent } = lastSync(a);
      assert.ok(pagesCompared > INITRD_PAGES, `${pagesCompared} pages compared`);
      assert.ok(pagesSent < INITRD_PAGES / 2, `${pagesSent} pages sent`);
    }
    const phases = b.events.filter(({ text }) => text.includes('moves along'));
    assert.equal(
      phases.map(({ data }) => data?.memory),
      ['everything', 'changes', 'changes', 'changes'],
    );
    await assertEqual(rig, a, b);
  },
  LONG,
);

test(
  'a leader that was cut off follows the one that took over, with the memory that it had',
  async () => {
    const rig = await rigOf('fenced');
    const { a, b, cable } = rig;
    await rig.lead(a);
    await rig.protect(a, b, 1);
    await rig.talk(5);
    cable.isCut = true;
    await renounce(a);
    rig.takeOver(b);
    await b.until(() => b.replication.runner.leads);
    await rig.talk(5);
    cable.isCut = false;
    a.is('seeking', { generation: b.reign.generation });
    await rig.protect(b, a, 2);
    const { pagesCompared, pagesSent } = lastSync(b);
    assert.ok(pagesCompared > INITRD_PAGES, `${pagesCompared} pages compared`);
    assert.ok(pagesSent < INITRD_PAGES / 2, `${pagesSent} pages sent`);
    await assertEqual(rig, b, a);
  },
  LONG,
);

test(
  'a memory that is damaged all over is mended',
  async () => {
    const rig = await rigOf('damaged');
    const { a, b } = rig;
    await rig.lead(a);
    await rig.protect(a, b, 1);
    await rig.talk(3);
    rig.damage(b);
    await rig.talk(1);
    await b.told('diverged');
    alone(a);
    await renounce(b);
    // The whole machine is another one from here on: pages that the leader has as zeros are among them.
    await rig.protect(a, b, 2);
    assert.ok(lastSync(a).pagesSent > INITRD_PAGES);
    await assertEqual(rig, a, b);
  },
  LONG,
);

for (const how of ['goes on', 'is ordered anew'] as const) {
  test(
    `a sync-up that was cut, and ${how}: the half of the memory that has come stays`,
    async () => {
      const rig = await rigOf('half');
      const { a, b, cable } = rig;
      await rig.lead(a);
      const { link } = a.replication;
      const sendBulk = link.sendBulk.bind(link);
      let bulkBytes = 0;
      let goOn = () => {};
      const isOver = new Promise<void>((resolve) => {
        goOn = resolve;
      });
      const isHalf = () => bulkBytes > INITRD_BYTES / 2;
      link.sendBulk = async (bytes, signal) => {
        if (a.replication.facts().sync.phase === 'memory') bulkBytes += bytes.length;
        if (isHalf()) await isOver;
        await sendBulk(bytes, signal);
      };
      rig.startSync(a, b, 1);
      await a.until(isHalf);
      await b.until(() => pagesAt(b) > 0.4 * INITRD_PAGES);
      cable.isCut = true;
      alone(a);
      goOn();
      link.sendBulk = sendBulk;
      await rig.talk(2);
      cable.isCut = false;
      if (how === 'is ordered anew') {
        await renounce(b);
        rig.startSync(a, b, 2);
      } else {
        a.is('source');
        a.replication.syncSource({ boot: b.reign.boot, session: 1 });
      }
      await a.told('sync-done');
      await rig.grant(a, b);
      const { pagesCompared, pagesSent } = lastSync(a);
      assert.ok(pagesCompared > INITRD_PAGES / 4, `${pagesCompared} pages had come`);
      assert.ok(pagesSent < INITRD_PAGES, `${pagesSent} pages sent again`);
      await assertEqual(rig, a, b);
    },
    LONG,
  );
}

test(
  'who boots a guest has no use for the memory of another one',
  async () => {
    const rig = await rigOf('boots');
    const { a, b } = rig;
    await rig.lead(a);
    await rig.protect(a, b, 1);
    const memoryOf = ({ replication }: TestBoard) => replication.runner.vcpu!.memoryToken;
    const token = memoryOf(b);
    alone(a);
    await renounce(b);
    new GuestMemory({ token }).close();
    await rig.lead(b);
    assert.throws(() => new GuestMemory({ token }), /all closed/);
    // Nor has who ends.
    const last = memoryOf(b);
    await rig.close();
    open.length = 0;
    assert.throws(() => new GuestMemory({ token: last }), /all closed/);
  },
  LONG,
);

test('one memory at a time, of the size that is asked for, and none beside a machine', () => {
  const isClosed = ({ memory }: TargetMemory): boolean => {
    try {
      return memory.buffer.byteLength === 0;
    } catch {
      return true;
    }
  };
  let isInUse = false;
  const kept = new KeptMemory({ bytes: PAGE, isInUse: () => isInUse });
  const [first, second, third] = [0, 1, 2].map(() => TargetMemory.fresh(PAGE)) as [
    TargetMemory,
    TargetMemory,
    TargetMemory,
  ];
  const closed = () => [first, second, third].map(isClosed);
  kept.keep(first);
  kept.keep(second);
  assert.equal(closed(), [true, false, false]);
  assert.is(kept.take(PAGE), second);
  assert.is(kept.take(PAGE), undefined);
  kept.keep(second);
  assert.is(kept.take(2 * PAGE), undefined);
  assert.equal(closed(), [true, true, false]);
  isInUse = true;
  kept.keep(third);
  assert.equal(closed(), [true, true, true]);
});

test.run();
