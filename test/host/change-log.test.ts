// What is remembered of changes, and that no cut of the power makes it forget a region that differs.
import { FollowingBases, LeadingBases, newBase } from '../../firmware/board/replication/bases.ts';
import { Passing } from '../../firmware/board/replication/passing.ts';
import { ChangeLog } from '../../firmware/host/change-log.ts';
import { assert, type SeededRandom, seededRandom, suite } from '../harness/index.ts';
import { CutBoard, REGION_BYTES, REGIONS } from './power-cuts.ts';

const test = suite('host/change-log');
const LONG = { timeoutMs: 120_000 };

const rangeOf = (region: number) => ({ offset: region * REGION_BYTES, bytes: 512 });
const settled = async (board: CutBoard, base: number, isUnknown = false) => {
  await board.changes.begin(base, isUnknown);
  await board.changes.settle(base);
};
const marked = (changes: ChangeLog, base: number) => {
  const [map] = changes.since(base)!;
  return Array.from({ length: REGIONS }, (_, region) => region).filter((r) => map!.has(r));
};

test('what was written since a base is there after a cut, and of older ones too', async () => {
  const board = new CutBoard(seededRandom('keeps'), () => {});
  await board.start();
  assert.equal(board.changes.bases, []);
  assert.is(board.changes.forgotten, 'nothing was kept');
  assert.is(board.changes.before(0, rangeOf(3)), undefined, 'nothing to be kept for');
  await settled(board, 100);
  await board.write(3, 1);
  assert.is(board.changes.before(0, rangeOf(3)), undefined, 'it is kept already');
  await settled(board, 200);
  await board.write(5, 1);
  board.cut();
  await board.start();
  assert.equal(board.changes.bases, [200, 100]);
  assert.equal([marked(board.changes, 200), marked(board.changes, 100)], [[5], [3, 5]]);
  assert.is(board.changes.since(300), undefined);
});

test('with more bases than room the oldest goes, and one that never counted is counted for its elder', async () => {
  const board = new CutBoard(seededRandom('room'), () => {});
  await board.start();
  await settled(board, 1);
  await board.changes.begin(2);
  await board.write(4, 1);
  await settled(board, 3);
  await board.write(6, 1);
  await settled(board, 4);
  assert.equal(board.changes.bases, [4, 3, 1]);
  assert.equal(marked(board.changes, 1), [4, 6]);
  await settled(board, 5);
  assert.equal(board.changes.bases, [5, 4, 3]);
  board.cut();
  await board.start();
  assert.equal(board.changes.bases, [5, 4, 3]);
  assert.equal(marked(board.changes, 3), [6]);
});

test('regions are cleared up to where all is equal', async () => {
  const board = new CutBoard(seededRandom('clears'), () => {});
  await board.start();
  await settled(board, 1, true);
  assert.is(marked(board.changes, 1).length, REGIONS);
  await board.changes.clear(0, 0, 3 * REGION_BYTES + 5);
  await board.changes.mark([[rangeOf(1)]]);
  board.cut();
  await board.start();
  assert.equal(marked(board.changes, 1), [1, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  await board.changes.clear(0, 3 * REGION_BYTES, REGIONS * REGION_BYTES);
  assert.equal(marked(board.changes, 1), [1]);
});

test('of another pair, other disks, another start, or damaged: nothing is relied on, and the reason is told', async () => {
  const store = new Map<number, Uint8Array>();
  let refuses = false;
  const options = {
    store: {
      read: async (slot: number) => store.get(slot) ?? new Uint8Array(0),
      write: async (slot: number, at: number, bytes: Uint8Array) => {
        if (refuses) throw new Error('no room');
        const before = store.get(slot) ?? new Uint8Array(0);
        const after = new Uint8Array(Math.max(before.length, at + bytes.length));
        after.set(before);
        after.set(bytes, at);
        store.set(slot, after);
      },
      sync: async () => {},
      close: async () => {},
    },
    pair: 'p',
    disks: [{ bytes: REGIONS * REGION_BYTES, identity: 'one' }],
    boot: 5,
  };
  const filled = async () => {
    const log = await ChangeLog.load(options);
    await log.forget('nothing was kept');
    await log.begin(9);
    await log.settle(9);
    assert.equal((await ChangeLog.load(options)).bases, [9]);
  };
  const reasonOf = async (change: object) => {
    await filled();
    const log = await ChangeLog.load({ ...options, ...change });
    assert.equal(log.bases, []);
    assert.equal((await ChangeLog.load(options)).bases, [], 'and it is gone for good');
    return log.forgotten;
  };
  assert.is(await reasonOf({ pair: 'q' }), 'another pair');
  const another = [{ bytes: REGIONS * REGION_BYTES, identity: 'two' }];
  assert.is(await reasonOf({ disks: another }), 'another disk');
  assert.is(await reasonOf({ boot: 7 }), 'another start came between');
  await filled();
  assert.equal((await ChangeLog.load({ ...options, boot: 6 })).bases, [9], 'the next start');
  await ChangeLog.load({ ...options, boot: 7 });
  for (let at = 0; at < 1024; at += 37) {
    await filled();
    store.get(0)![at]! ^= 4;
    assert.is((await ChangeLog.load(options)).forgotten, 'the map was damaged');
  }
  await filled();
  const log = await ChangeLog.load(options);
  refuses = true;
  await log.before(0, rangeOf(1));
  assert.equal([log.bases, log.forgotten], [[], 'the map could not be written']);
  assert.is(log.before(0, rangeOf(2)), undefined, 'the guest goes on');
});

/** Regions that differ and that neither board remembers; undefined: they have no base in common. */
function passedOver(a: CutBoard, b: CutBoard): number[] | undefined {
  const base = a.changes.bases.find((one) => b.changes.bases.includes(one));
  if (base === undefined) return undefined;
  const known = new Set([...marked(a.changes, base), ...marked(b.changes, base)]);
  return a.disk.flatMap((value, region) =>
    value === b.disk[region] || known.has(region) ? [] : [region],
  );
}

/** Two boards in step from their first base on, for so many writes. */
class Pair {
  readonly leader: CutBoard;
  readonly follower: CutBoard;
  /** Since both were in step. */
  steps = 0;
  private isStarted = false;
  private readonly random: SeededRandom;
  private readonly leading: LeadingBases;
  private readonly following: FollowingBases;
  /** What the follower has: writes, and where a base began. */
  private readonly log: (readonly [number, number] | { readonly base: number })[] = [];
  private applied = 0;
  private written = 0;
  /** What the leader's guest did after the newest entry the follower has, the follower does with the next one. */
  private ahead: readonly [number, number] | undefined;
  private executed = 0;
  private readonly passing = new Passing();

  constructor(random: SeededRandom, onStep: (pair: Pair) => void) {
    this.random = random;
    const stepped = () => {
      if (!this.isStarted) return;
      this.steps++;
      onStep(this);
    };
    this.leader = new CutBoard(random, stepped);
    this.follower = new CutBoard(random, stepped);
    const { leader, follower } = this;
    const parts = (board: CutBoard) => ({
      changes: () => (board.isDead ? undefined : board.changes),
      flushed: () => board.flushed(),
    });
    this.leading = new LeadingBases(
      {
        ...parts(leader),
        say: (step, base) => {
          if (step === 'here') this.log.push({ base });
          else void follower.step().then(() => this.following.begin(base));
        },
        passed: () =>
          this.passing.passed({ applied: this.log.length, position: BigInt(this.written) }),
      },
      0,
    );
    this.following = new FollowingBases({
      ...parts(follower),
      say: (step, base) => {
        void leader.step().then(async () => {
          if (step === 'begun') await this.leading.begun(base);
          else this.leading.settled(base);
        });
      },
    });
  }

  async start(): Promise<void> {
    for (const board of [this.leader, this.follower]) await board.start();
    const base = newBase();
    for (const board of [this.leader, this.follower]) await settled(board, base);
    this.isStarted = true;
  }

  async run(turnsOfBoth: number): Promise<void> {
    for (let i = 0; i < turnsOfBoth; i++) {
      // A guest that writes now and then: what is settled has the time to be.
      if (!this.leader.isDead && this.random.int(3) === 0) this.lead();
      if (!this.follower.isDead) this.follow(this.random.int(3));
      this.leading.look(i);
      for (let turns = this.random.int(30); turns > 0; turns--) await null;
    }
  }

  private lead(): void {
    const region = this.random.int(REGIONS);
    const value = ++this.written;
    this.log.push([region, value]);
    void this.leader.write(region, value);
  }

  /** Applies some of the log. */
  follow(count: number): void {
    for (let i = 0; i < count && this.applied < this.log.length; i++) {
      const entry = this.log[this.applied++]!;
      if ('base' in entry) this.following.here(entry.base, this.applied);
      else {
        if (this.ahead !== undefined) void this.follower.write(...this.ahead);
        this.executed += this.ahead === undefined ? 0 : 1;
        this.ahead = entry;
      }
    }
    this.passing.acked({ applied: this.applied, position: BigInt(this.executed) });
    void this.following.progress(this.applied, async () => {});
  }

  /** The one that is left goes on by itself. */
  async goOn(board: CutBoard): Promise<void> {
    if (board === this.follower) this.follow(this.log.length);
    this.leading.stop();
    for (let i = 0; i < 3; i++) await board.write(this.random.int(REGIONS), ++this.written);
    await board.flushed();
  }
}

test(
  'boards in step: cut either or both at every step, and no region that differs is passed over',
  async () => {
    const random = seededRandom('cuts');
    let steps = 1;
    let met = 0;
    let strangers = 0;
    let renewed = 0;
    for (let at = 1; at <= steps; at++) {
      for (const who of ['leader', 'follower', 'both'] as const) {
        const pair: Pair = new Pair(random, ({ steps: now, leader, follower }) => {
          if (now !== at) return;
          if (who !== 'follower') leader.cut();
          if (who !== 'leader') follower.cut();
        });
        await pair.start();
        await pair.run(32);
        steps = Math.max(steps, Math.min(pair.steps, 200));
        const { leader, follower } = pair;
        const first = leader.isDead || follower.isDead ? undefined : 'nobody';
        if (first === undefined) {
          for (const board of [leader, follower]) {
            if (!board.isDead) await pair.goOn(board);
          }
          for (const board of [leader, follower]) if (board.isDead) await board.start();
        }
        const missed = passedOver(leader, follower);
        if (missed === undefined) strangers++;
        else {
          met++;
          if (leader.changes.bases.length > 1) renewed++;
          assert.equal(missed, [], `${who} cut at step ${at}`);
        }
      }
    }
    assert.ok(met > 100 && renewed > 50, `met ${met} times, ${renewed} with newer bases`);
    assert.ok(strangers < met / 10, `${strangers} times without a common base`);
  },
  LONG,
);

test(
  'a target in the middle of its sync-up: what was made equal stays so, what was not is known',
  async () => {
    const random = seededRandom('target');
    let kept = 0;
    for (let at = 1; at <= 80; at++) {
      const source = new CutBoard(random, () => {});
      let steps = 0;
      const target: CutBoard = new CutBoard(random, () => {
        if (++steps === at) target.cut();
      });
      await source.start();
      await target.start();
      for (let region = 0; region < REGIONS; region++) await source.write(region, region + 1);
      await source.flushed();
      await settled(source, 5);
      await Promise.race([syncUp(source, target, random), turns(3000)]);
      if (target.isDead) await target.start();
      const missed = passedOver(source, target);
      if (missed === undefined) continue;
      assert.equal(missed, [], `cut at step ${at}`);
      if (marked(target.changes, 5).length < REGIONS) kept++;
    }
    assert.ok(kept > 10, `${kept} times something was kept`);
  },
  LONG,
);

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await null;
}

async function syncUp(source: CutBoard, target: CutBoard, random: SeededRandom): Promise<void> {
  await settled(target, 5, true);
  for (let region = 0; region < REGIONS; region++) {
    // The guest goes on meanwhile.
    await source.write(random.int(REGIONS), 100 + region);
    await target.write(region, source.disk[region]!);
    if (region % 3 !== 2) continue;
    await target.flushed();
    await target.changes.clear(0, 0, (region + 1) * REGION_BYTES);
  }
}

test.run();
