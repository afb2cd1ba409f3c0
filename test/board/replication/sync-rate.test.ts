// How fast a sync-up may be, changed while it is under way, measured by this test's own clock and the bytes that were
// looked at.
import { assert, seededRandom, suite } from '../../harness/index.ts';
import { needsGcc } from '../../softcpu/guest.ts';
import { Rig, type TestBoard } from './rig.ts';

const test = suite('board/replication/sync-rate');
test.needs(needsGcc());

const MIB = 1 << 20;
/** Looked at in one go; the wait for it comes after it is counted. */
const PIECE_MIB = 2;
/** What a rate lets pass at once after a pause (sync-rate.ts). */
const BURST_MS = 50;
/** Far enough apart for a busy host, which may not get to the faster one. */
const SLOW_MIB_S = 1;
const FAST_MIB_S = 16;

/** MiB a second of so many MiB. */
async function speed({ replication, until }: Looking, mib: number): Promise<number> {
  const done = () => replication.facts().sync.doneBytes;
  const [from, fromMs] = [done(), performance.now()];
  await until(() => done() >= from + mib * MIB);
  return (done() - from) / MIB / ((performance.now() - fromMs) / 1000);
}

type Looking = Pick<TestBoard, 'replication' | 'until'>;

/** The most that can be measured over so many MiB where the rate is kept. */
function most(mibS: number, mib: number): number {
  const leastS = (mib - PIECE_MIB) / mibS - BURST_MS / 1000;
  return (mib + PIECE_MIB) / leastS;
}

test(
  'the rate counts for what is under way, up and down',
  async () => {
    const rig = new Rig({
      random: seededRandom('rate'),
      diskBytes: 64 * MIB,
      replication: { rateMibS: SLOW_MIB_S },
    });
    try {
      const { a, b } = await rig.open();
      await rig.lead(a);
      rig.startSync(a, b, 1);
      await a.until(() => a.replication.facts().sync.totalBytes > 0);
      const looking = { replication: a.replication, until: a.until.bind(a) };
      const slow = await speed(looking, 4);
      a.replication.setSyncRate(FAST_MIB_S);
      assert.is(a.replication.facts().syncRateMibS, FAST_MIB_S);
      const fast = await speed(looking, 16);
      a.replication.setSyncRate(SLOW_MIB_S);
      const slowAgain = await speed(looking, 4);
      assert.is(a.replication.facts().sync.phase, 'disks');
      a.replication.setSyncRate(0);
      await a.told('sync-done');
      const words = [slow, fast, slowAgain].map((mibS) => mibS.toFixed(1)).join(', ');
      console.log(`MiB a second at ${SLOW_MIB_S}, ${FAST_MIB_S}, ${SLOW_MIB_S}: ${words}`);
      for (const measured of [slow, slowAgain]) assert.ok(measured <= most(SLOW_MIB_S, 4), words);
      assert.ok(fast <= most(FAST_MIB_S, 16), words);
      assert.ok(fast >= 2 * Math.max(slow, slowAgain), words);
    } finally {
      await rig.close();
    }
  },
  { timeoutMs: 60_000 },
);

test.run();
