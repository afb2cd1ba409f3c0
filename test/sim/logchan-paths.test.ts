// The channel over several paths: stories of cables, each with the time it may cost, and seeded ones in which
// at least one path is whole at any time. That nothing is lost or repeated, and no nonce used twice, is
// checked by the world.
import type { ChannelEvent } from '../../logchan/endpoint.ts';
import { NO_FAULTS } from '../../logchan/faulty-line.ts';
import {
  PATH_ANSWER_US_MIN,
  PATH_ASK_TRIAL_US,
  PATH_GOOD_US,
  PATH_LOOK_AGAIN_US,
  PATH_SETTLE_US,
  SILENT_US,
} from '../../logchan/limits.ts';
import { LANE } from '../../logchan/sections.ts';
import { assert, runSeed, seededRandom, suite } from '../harness/index.ts';
import { makeWorld, metWorld, settle, takeAll } from './logchan-stories.ts';
import { SIDES, type SideIndex, type World, type WorldOptions } from './logchan-world.ts';

const test = suite('sim/logchan-paths');

const FRONT = { frameBytesMax: [1472, 1472] } as const;
const CARD = { frameBytesMax: [9000, 9000] } as const;
/** Until a path that gives no answer is left, when nothing but time tells. */
const NO_ANSWER_US = PATH_ANSWER_US_MIN + PATH_LOOK_AGAIN_US + PATH_SETTLE_US;

/** Both boards have met, and know all paths. */
function metOver(label: string, more: WorldOptions['more'] = [FRONT]): World {
  const world = metWorld(label, { more: more ?? [] });
  assert.equal(active(world), [0, 0]);
  return world;
}

const active = (world: World) => world.ends.map(({ session }) => session?.paths.active.index);

/** An urgent message; the time until its acknowledgement. */
function latency(world: World, side: SideIndex, limitUs = 200_000): number {
  world.append(side, LANE.log, 300, 'urgent');
  world.flush(side);
  return settle(world, limitUs);
}

/** Both boards talk for so long; the longest that a message waited. */
function talk(world: World, forUs: number): number {
  const endUs = world.nowUs + forUs;
  let longestUs = 0;
  while (world.nowUs < endUs) {
    longestUs = Math.max(longestUs, latency(world, 0), latency(world, 1));
    world.run(world.nowUs + 3_000);
  }
  return longestUs;
}

type Told<T extends ChannelEvent['type']> = Extract<ChannelEvent, { type: T }>;

function told<T extends ChannelEvent['type']>(world: World, type: T, side: SideIndex): Told<T>[] {
  const events: Told<T>[] = [];
  for (const { side: who, event } of world.events) {
    if (who === side && event.type === type) events.push(event as Told<T>);
  }
  return events;
}

const repeated = (world: World, side: SideIndex) =>
  world.ends[side].session?.out[LANE.log].repeatedBytes ?? 0;

test('the best path carries, the others are known to be there', () => {
  const world = metOver('met', [CARD, FRONT]);
  for (const { session } of world.ends) {
    assert.equal(
      session?.paths.all.map(({ isLost, isSound }) => [isLost, isSound]),
      [
        [false, true],
        [false, true],
        [false, true],
      ],
    );
  }
  for (const side of SIDES) assert.equal(told(world, 'path-lost', side), []);
  assert.ok(told(world, 'joined', 0).length === 2, 'whoever spoke on the others is the peer');
});

test('the boards meet over whatever path passes, and go to the best at once when it does', () => {
  const world = makeWorld('meet on the last', { more: [CARD, FRONT] });
  for (const path of [0, 1]) world.cut(path, true);
  world.run(300_000);
  assert.ok(world.settled, world.describe());
  assert.equal(active(world), [2, 2]);
  assert.ok(latency(world, 0) <= 200);
  for (const path of [0, 1]) world.cut(path, false);
  // Those paths have never been any good: lost by now, and on trial.
  world.run(world.nowUs + PATH_GOOD_US + 4_000_000);
  assert.equal(active(world), [0, 0]);
});

test('a board that starts while a better path is slower to answer comes to it at once', () => {
  const world = makeWorld('slow best', { more: [FRONT] });
  for (const line of world.lines) line.faults = { ...NO_FAULTS, delayUs: 3_000 };
  world.run(30_000);
  world.run(400_000);
  assert.equal(active(world), [0, 0]);
});

test('a pulled cable: what was under way is there after one round trip more', () => {
  const world = metOver('pulled');
  talk(world, 30_000);
  for (let i = 0; i < 40; i++) world.append(0, LANE.log, 1000, 'urgent');
  world.append(0, LANE.bulk, 100_000, 'none');
  world.flush(0);
  world.cut(0, true);
  world.link(0, false);
  for (const side of SIDES) world.flush(side);
  assert.ok(settle(world, 20_000) < 2_500);
  assert.equal(active(world), [1, 1]);
  assert.ok(latency(world, 1) <= 200);
  for (const side of SIDES) {
    assert.equal(told(world, 'active', side), [
      { type: 'active', path: 1, was: 0, why: 'carrier' },
    ]);
    assert.equal(told(world, 'path-lost', side), [{ type: 'path-lost', path: 0, why: 'carrier' }]);
    for (const type of ['link', 'silent', 'down'] as const)
      assert.equal(told(world, type, side), []);
  }
});

test('one end alone sees the carrier go: the other follows it', () => {
  for (const side of SIDES) {
    const world = metOver(`pulled at ${side}`);
    talk(world, 30_000);
    world.cut(0, true);
    world.link(0, false, [side]);
    world.flush(side);
    const longestUs = talk(world, 200_000);
    assert.ok(longestUs < 15_000, `its data tells that it has left: ${longestUs} us`);
    assert.equal(active(world), [1, 1]);
  }
});

test('a path dead in one direction, or in both, without a word: another is found', () => {
  for (const sides of [[0], [1], [0, 1]] as SideIndex[][]) {
    const world = metOver(`half-open ${sides}`);
    talk(world, 30_000);
    world.cut(0, true, sides);
    const longestUs = talk(world, 300_000);
    assert.ok(longestUs < NO_ANSWER_US + 3_000, `${longestUs} us`);
    assert.equal(active(world), [1, 1]);
    for (const side of SIDES) {
      assert.equal(told(world, 'silent', side), []);
      assert.equal(told(world, 'active', side).at(-1)?.why, 'silent');
      assert.ok(told(world, 'path-lost', side).length === 1);
    }
  }
});

test('boards with nothing to say notice it as well', () => {
  const world = metOver('idle and dead');
  world.cut(0, true);
  world.run(world.nowUs + 3 * SILENT_US);
  assert.equal(active(world), [1, 1]);
  assert.ok(latency(world, 0) <= 200);
});

test('a cable plugged in again carries after it was good for its time, without a repeat', () => {
  const world = metOver('back');
  talk(world, 20_000);
  world.link(0, false);
  talk(world, 50_000);
  world.link(0, true);
  const pluggedUs = world.nowUs;
  const before = SIDES.map((side) => repeated(world, side));
  while (active(world).some((path) => path !== 0)) {
    assert.ok(talk(world, 10_000) <= 300, 'nothing waits for it');
    assert.ok(world.nowUs < pluggedUs + PATH_GOOD_US + 100_000);
  }
  assert.ok(world.nowUs >= pluggedUs + PATH_GOOD_US);
  assert.ok(talk(world, 50_000) <= 300);
  assert.equal(
    SIDES.map((side) => repeated(world, side)),
    before,
  );
  assert.equal(
    told(world, 'active', 0).map(({ path, why }) => [path, why]),
    [
      [1, 'carrier'],
      [0, 'better'],
    ],
  );
  assert.equal(told(world, 'path-back', 0), [{ type: 'path-back', path: 0 }]);
});

test('a cable that comes and goes is not gone back to', () => {
  const world = metOver('flapping');
  for (let times = 0; times < 6; times++) {
    world.link(0, false);
    talk(world, 50_000);
    world.link(0, true);
    talk(world, PATH_GOOD_US / 2);
    assert.equal(active(world), [1, 1]);
  }
  // Nor one that answers now and then.
  for (let times = 0; times < 6; times++) {
    world.cut(0, true);
    world.run(world.nowUs + 3 * PATH_ASK_TRIAL_US);
    world.cut(0, false);
    world.run(world.nowUs + PATH_GOOD_US / 2);
    assert.equal(active(world), [1, 1]);
  }
});

test('what was cut for large frames is cut anew for small ones', () => {
  const world = metOver('sizes', [{ frameBytesMax: [1300, 1472] }]);
  assert.is(world.ends[0].session?.paths.active.size.bytes, 9000);
  for (let i = 0; i < 30; i++) world.append(0, LANE.log, 20_000, 'urgent');
  world.flush(0);
  world.cut(0, true);
  world.link(0, false);
  for (const side of SIDES) world.flush(side);
  settle(world, 200_000);
  assert.ok((world.ends[0].session?.paths.active.size.bytes ?? 0) <= 1300);
});

test('a board that stands still for a while stays on its path, and so does its peer', () => {
  const world = metOver('busy', [CARD, FRONT]);
  for (let times = 0; times < 30; times++) {
    talk(world, 30_000);
    const side = SIDES[times % 2] as SideIndex;
    world.append(0, LANE.log, 100, 'urgent');
    world.append(1, LANE.log, 100, 'urgent');
    for (const each of SIDES) world.flush(each);
    world.busyUntilUs[side] = world.nowUs + 5_000 * (1 + (times % 8));
    settle(world, 200_000);
    assert.equal(active(world), [0, 0]);
  }
  for (const side of SIDES) {
    assert.equal(told(world, 'active', side), []);
    assert.equal(told(world, 'path-lost', side), []);
  }
});

test('three paths: one pulled, one dead without a word, the third carries', () => {
  const world = metOver('three', [CARD, FRONT]);
  world.cut(1, true);
  talk(world, 20_000);
  world.link(0, false);
  // Over both that have a carrier at once: nothing waits until the dead one is found out.
  assert.ok(talk(world, 100_000) <= PATH_SETTLE_US);
  assert.equal(active(world), [2, 2]);
  world.link(1, false);
  assert.ok(talk(world, 20_000) <= 300);
});

test('of two spare paths that answer, the better carries, though it be slower', () => {
  const world = metOver('better', [CARD, FRONT]);
  for (const line of world.paths[1] ?? []) line.faults = { ...NO_FAULTS, delayUs: 900 };
  talk(world, 20_000);
  world.link(0, false);
  talk(world, 50_000);
  assert.equal(active(world), [1, 1]);
});

test('the link is down when no path has a carrier, and silent when nothing comes over any', () => {
  const world = metOver('all');
  world.link(0, false);
  talk(world, 20_000);
  world.link(1, false);
  for (const side of SIDES) assert.equal(told(world, 'link', side), [{ type: 'link', up: false }]);
  world.append(0, LANE.log, 700, 'urgent');
  world.run(world.nowUs + 2 * SILENT_US);
  for (const side of SIDES) assert.is(told(world, 'silent', side).length, 1);
  world.link(0, true);
  for (const side of SIDES) world.flush(side);
  assert.ok(settle(world, 20_000) < 2_000, 'the first that is back carries');
  assert.equal(active(world), [0, 0]);
  for (const side of SIDES) {
    assert.is(told(world, 'heard', side).length, 1);
    assert.equal(told(world, 'down', side), []);
  }
});

test('an idle spare path costs less than a kilobit a second in all', () => {
  const world = metOver('idle', [FRONT]);
  world.run(world.nowUs + 5_000_000);
  const sent = () => world.ends.map(({ session }) => session?.paths.all[1]);
  const total = (of: 'bytesSent' | 'framesSent') =>
    sent().reduce((sum, path) => sum + (path?.[of] ?? 0), 0);
  const before = [total('bytesSent'), total('framesSent')] as const;
  const seconds = 400;
  world.run(world.nowUs + seconds * 1e6);
  const [bytes, frames] = [total('bytesSent') - before[0], total('framesSent') - before[1]];
  // As UDP in Ethernet, FCS included.
  const bits = (bytes + frames * (8 + 20 + 14 + 4)) * 8;
  assert.ok(frames > 0 && bits / seconds < 1000, `${bits / seconds} bit/s`);
  for (const side of SIDES) assert.equal(told(world, 'path-lost', side), []);
});

test('a spare path that dies without a word is told, and so is its return', () => {
  const world = metOver('spare dies');
  world.cut(1, true, [1]);
  talk(world, 10_000_000);
  for (const side of SIDES) {
    assert.equal(told(world, 'path-lost', side), [{ type: 'path-lost', path: 1, why: 'silent' }]);
  }
  world.cut(1, false);
  talk(world, 3_000_000);
  for (const side of SIDES) assert.equal(told(world, 'path-back', side).length, 1);
  assert.equal(active(world), [0, 0]);
});

test('a limited path: bulk keeps to its rate, messages go as if there were none', () => {
  const rateBytesPerSecond = 1_000_000;
  const world = metOver('rate', [{ ...FRONT, rateBytesPerSecond }]);
  for (const line of world.paths[1] ?? []) {
    line.faults = { ...NO_FAULTS, bytesPerUs: 12.5, queueBytesMax: 1 << 20 };
  }
  world.link(0, false);
  talk(world, 20_000);
  const path = world.ends[0].session?.paths.all[1];
  const before = path?.bytesSent ?? 0;
  const startUs = world.nowUs;
  let longestUs = 0;
  while (world.nowUs < startUs + 2_000_000) {
    while (world.append(0, LANE.bulk, 30_000, 'none'));
    world.append(0, LANE.log, 200, 'urgent');
    world.flush(0);
    const { appended } = world.ends[0].session?.out[LANE.log] ?? { appended: 0 };
    const sentUs = world.nowUs;
    while (world.ends[0].ackedThrough < appended) world.run(world.nowUs + 50);
    longestUs = Math.max(longestUs, world.nowUs - sentUs);
    takeAll(world);
    world.run(world.nowUs + 5_000);
  }
  const rate = ((path?.bytesSent ?? 0) - before) / 2;
  assert.ok(rate < 1.1 * rateBytesPerSecond, `${rate} bytes a second`);
  assert.ok(rate > 0.7 * rateBytesPerSecond, `${rate} bytes a second`);
  assert.ok(longestUs < 5_000, `${longestUs} us`);
});

test(
  'whatever happens to the others: while one path is whole, nothing waits long and nobody is silent',
  () => {
    for (let i = 0; i < 60; i++) {
      const seed = runSeed() * 1000 + i;
      const random = seededRandom('one path is whole', seed);
      const world = makeWorld(`whole ${seed}`, {
        more: random.chance(0.5) ? [FRONT] : [CARD, FRONT],
      });
      try {
        world.run(100_000);
        let whole = 0;
        for (let steps = 0; steps < 12; steps++) {
          // The next one that is whole is whole for a while before this one goes.
          const next = random.int(world.paths.length);
          world.link(next, true);
          world.cut(next, false);
          talk(world, 30_000);
          for (const path of world.paths.keys()) {
            if (path === next) continue;
            const side = random.pick(SIDES);
            const how = random.int(6);
            if (how === 0) world.cut(path, true);
            if (how === 1) world.cut(path, true, [side]);
            if (how === 2) world.link(path, false);
            if (how === 3) world.link(path, false, [side]);
            if (how === 4) world.link(path, true);
            if (how === 5) world.cut(path, false);
          }
          whole = next;
          const longestUs = talk(world, 60_000 + random.int(300_000));
          assert.ok(longestUs < NO_ANSWER_US + 15_000, `${longestUs} us`);
        }
        for (const side of SIDES) {
          for (const type of ['silent', 'link', 'down'] as const) {
            assert.equal(told(world, type, side), [], `path ${whole} was whole`);
          }
        }
      } catch (error) {
        if (error instanceof Error) error.message = `seed ${seed}: ${error.message}`;
        throw error;
      }
    }
  },
  { timeoutMs: 120_000 },
);

test.run();
