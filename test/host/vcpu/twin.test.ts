// Two boards: what one leads the other follows, whoever of them goes, whenever it goes.
import { assert, type SeededRandom, seededRandom, suite } from '../../harness/index.ts';
import { needsGcc } from '../../softcpu/guest.ts';
import { Board, caughtUp, plc, sync } from './twin.ts';

const test = suite('host/vcpu/twin');
test.needs(needsGcc());

async function leader(random: SeededRandom, name = 'a'): Promise<Board> {
  const board = await new Board(name, plc(), random).start();
  await board.until(() => board.text.includes('!'));
  return board;
}

/** Frames, bytes and computing, for a random while. */
async function work(board: Board, random: SeededRandom, steps = 1 + random.int(20)): Promise<void> {
  for (let i = 0; i < steps; i++) {
    const what = random.int(10);
    if (what < 6) board.ping();
    else if (what < 8) board.type('hello');
    else board.type(random.pick(['b', 'i']));
    await board.more(random.int(3));
  }
  board.type('i');
}

/** Everything the world may have got from `old` is in `heir`, under the same number. */
function assertNothingLost(old: Board, heir: Board): void {
  const own = new Map(heir.frames.map(({ sequence, frame }) => [sequence, frame]));
  const first = heir.frames[0]?.sequence ?? heir.lastSequence + 1n;
  for (const { sequence, frame } of old.frames) {
    if (sequence < first) continue;
    const same = own.get(sequence);
    assert.ok(same !== undefined, `frame ${sequence} of ${old.name} is unknown to ${heir.name}`);
    assert.is(Buffer.compare(same as Uint8Array, frame), 0);
  }
  // Text, too, and cut so that what is out can be told from what is not.
  const [from] = [heir.from, old.from].toSorted((a, b) => Number(b - a)) as [bigint];
  for (const cut of old.cuts) {
    if (cut > heir.lastSequence) break;
    assert.is(heir.textBetween(from, cut), old.textBetween(from, cut), `text up to output ${cut}`);
  }
}

function assertCountsOn(board: Board): void {
  const numbers = board.numbers();
  for (const [at, number] of numbers.entries()) {
    if (at > 0) assert.is(number, numbers[at - 1]! + 1n, `${board.name}: answer ${at}`);
  }
}

test(
  'a follower adopted in the middle of the run comes to the same state',
  async () => {
    const random = seededRandom('adopt');
    const a = await leader(random);
    await work(a, random);
    const b = new Board('b', plc(), random);
    await sync(a, b);
    await work(a, random, 40);
    await caughtUp(a, b);
    assert.ok(b.requests > 0 && b.frames.length > 0);
    assert.ok(b.vcpu.facts().entriesApplied > 100);
    assertNothingLost(a, b);
    assertCountsOn(a);
    assert.is(Buffer.compare(a.disk, b.disk), 0);
    for (const board of [a, b]) assert.equal((await board.stop()).reason, { kind: 'stopped' });
  },
  { timeoutMs: 60_000 },
);

test(
  'when the leader goes the follower goes on, and gets a follower of its own, again and again',
  async () => {
    const random = seededRandom('takeover');
    let lead = await leader(random, 'board 0');
    for (let reign = 1; reign <= 12; reign++) {
      await work(lead, random);
      const heir = new Board(`board ${reign}`, plc(), random);
      await sync(lead, heir);
      await work(lead, random);
      lead.mute();
      if (random.chance(0.5)) heir.ping();
      const live = heir.goLive(random.chance(0.5));
      heir.ping();
      const { entries, tookMs, position } = await live;
      assert.ok(entries >= 0 && tookMs >= 0 && position > 0n);
      await lead.stop();
      assertNothingLost(lead, heir);
      await heir.until(() => heir.frames.length > 0);
      await work(heir, random);
      assertCountsOn(heir);
      assert.equal(heir.divergences, []);
      lead = heir;
    }
    await lead.stop();
  },
  { timeoutMs: 180_000 },
);

test(
  'two boards change places many times, and each change is exact',
  async () => {
    const random = seededRandom('swap');
    let lead = await leader(random);
    let other = new Board('b', plc(), random);
    await sync(lead, other);
    for (let swap = 0; swap < 30; swap++) {
      await work(lead, random, random.int(8));
      await lead.vcpu.pause();
      const { position } = lead.vcpu.facts();
      const early: Uint8Array[] = [];
      other.to = (bytes) => early.push(bytes);
      const facts = await other.goLive(true);
      assert.is(facts.position, position, 'exactly where the old leader stands');
      await lead.follow();
      lead.vcpu.beginStream();
      const old = lead;
      for (const bytes of early) old.vcpu.push(bytes);
      other.to = (bytes) => old.vcpu.push(bytes);
      [lead, other] = [other, lead];
      assert.equal(other.divergences, []);
    }
    lead.ping();
    await caughtUp(lead, other);
    assertNothingLost(lead, other);
    assertNothingLost(other, lead);
    assertCountsOn(lead);
    assert.is(Buffer.compare(lead.disk, other.disk), 0);
    for (const board of [lead, other]) await board.stop();
  },
  { timeoutMs: 180_000 },
);

test(
  'a guest that resets, faults or is switched off begins the same new life on both boards',
  async () => {
    const random = seededRandom('lives');
    let lead = await leader(random);
    let other = new Board('b', plc(), random);
    await sync(lead, other);
    for (let life = 2; life < 14; life++) {
      await work(lead, random, random.int(6));
      const how = random.int(4);
      if (how === 0) lead.type('R');
      else if (how === 1) lead.type('T');
      else {
        const action = how === 2 ? 'reset' : 'power-button';
        lead.vcpu.send([{ kind: 'control', action }]);
      }
      await lead.until(() => lead.vcpu.facts().life === life);
      await work(lead, random, random.int(6));
      if (random.chance(0.5)) {
        await caughtUp(lead, other);
        assert.is(other.vcpu.facts().life, life);
        await lead.vcpu.resume();
      } else {
        await lead.stop();
        await other.goLive(false);
        lead = other;
        other = new Board('next', plc(), random);
        await sync(lead, other);
        life = lead.vcpu.facts().life;
      }
      assert.equal(other.divergences, []);
    }
    await caughtUp(lead, other);
    for (const board of [lead, other]) await board.stop();
  },
  { timeoutMs: 180_000 },
);

test.run();
