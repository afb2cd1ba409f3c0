// A schedule is a seed: what goes wrong, when, and what the boards do meanwhile. It ends with a quiet
// line, on which everything must arrive. A failing seed is repeated with `schedule(seed)`.
import { NodeCipher } from '../../logchan/cipher.ts';
import { type Faults, NO_FAULTS } from '../../logchan/faulty-line.ts';
import { LANE, LANES } from '../../logchan/sections.ts';
import type { Haste, LaneBuffer } from '../../logchan/sender.ts';
import { assert, type SeededRandom, seededRandom } from '../harness/index.ts';
import { SIDES, World, type WorldOptions } from './logchan-world.ts';

/** Virtual time after which a quiet line must have delivered everything. */
const QUIET_US_MAX = 5_000_000;

/** No board sends a frame that its port takes: the path may still be narrower, for ever. */
const PATHS = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 4400, 1500, 1300];

interface Habits {
  appendChance: number;
  bulkChance: number;
  urgentChance: number;
  entryBytesMax: number;
  takeChance: number;
}

export function schedule(seed: number, watch?: WorldOptions['watch']): World {
  const random = seededRandom('logchan schedule', seed);
  const world = new World(random, {
    buffers: { send: [buffer(random), buffer(random)], receive: [buffer(random), buffer(random)] },
    frameBytesMax: [random.pick([1500, 9000]), random.pick([1500, 9000, 1480])],
    more: random.chance(0.5) ? [] : morePaths(random),
    attacked: random.chance(0.3),
    ...(watch && { watch }),
    ...(random.chance(0.01) ? { makeCipher: (key) => new NodeCipher(key) } : {}),
  });
  try {
    world.latenessUs = random.pick([0, 0, 100, 2000]);
    // Most schedules start with two boards that have met.
    if (random.chance(0.8)) world.run(random.int(30_000));
    for (let phases = 1 + random.int(4); phases > 0; phases--) phase(world, random);
    quiet(world, random);
  } catch (error) {
    if (error instanceof Error)
      error.message = `seed ${seed}: ${error.message}\n${world.describe()}`;
    throw error;
  }
  return world;
}

/** One or two paths beside the first, with ports of their own. */
function morePaths(random: SeededRandom): WorldOptions['more'] & object {
  const one = () => ({
    frameBytesMax: [random.pick([1472, 9000]), random.pick([1472, 9000, 1300])] as const,
    rateBytesPerSecond: random.pick([Number.POSITIVE_INFINITY, 1e6, 20_000_000]),
  });
  return random.chance(0.5) ? [one()] : [one(), one()];
}

function buffer(random: SeededRandom): LaneBuffer {
  return { bytes: random.pick([4096, 20_000, 200_000]), messages: random.pick([4, 64, 4096]) };
}

/** Some time under one set of faults, which may differ between the directions. */
function phase(world: World, random: SeededRandom): void {
  const common = faults(random);
  for (const side of SIDES) {
    world.lines[side].faults = random.chance(0.3) ? faults(random) : common;
    for (const lines of world.paths.slice(1)) {
      lines[side].faults = random.chance(0.3) ? common : faults(random);
    }
  }
  const entryBytesMax = random.pick([8, 200, 1500, 2040]);
  const habits: Habits = {
    appendChance: random.pick([0.1, 0.5, 1]),
    bulkChance: random.pick([0, 0, 0.5]),
    urgentChance: random.pick([0, 0.2, 1]),
    entryBytesMax,
    takeChance: random.pick([0.05, 0.5, 1]),
  };
  const restarts = random.chance(0.15);
  const pulls = random.chance(0.15);
  const attackChance = random.pick([0, 0.1, 0.9]);
  const stepUs = random.pick([50, 500, 5000]);
  for (let steps = 5 + random.int(40); steps > 0; steps--) {
    world.run(world.nowUs + 1 + random.int(stepUs));
    for (const side of SIDES) act(world, random, side, habits);
    if (random.chance(attackChance)) world.attack(random.pick(SIDES));
    if (restarts && random.chance(0.05)) {
      if (random.chance(0.5)) world.restart(random.pick(SIDES));
      else world.leave(random.pick(SIDES));
    }
    if (pulls && random.chance(0.1)) {
      const up = random.chance(0.5);
      const sides = random.chance(0.7) ? SIDES : [random.pick(SIDES)];
      world.link(random.int(world.paths.length), up, sides);
    }
  }
}

function faults(random: SeededRandom): Faults {
  return {
    lossChance: random.pick([0, 0, 0.01, 0.2, 0.7]),
    duplicateChance: random.pick([0, 0, 0.1]),
    flipChance: random.pick([0, 0, 0.05]),
    cutShortChance: random.pick([0, 0, 0.05]),
    delayUs: random.pick([5, 50, 1000]),
    jitterUs: random.pick([0, 0, 20, 3000]),
    stallChance: random.pick([0, 0, 0.02]),
    stallUs: random.pick([1000, 20_000, 100_000]),
    frameBytesMax: random.pick(PATHS),
    cut: random.chance(0.1),
    bytesPerUs: random.pick([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 125, 12.5]),
    queueBytesMax: random.pick([20_000, 1_000_000]),
  };
}

function act(world: World, random: SeededRandom, side: 0 | 1, habits: Habits): void {
  const length = () => 1 + random.int(habits.entryBytesMax);
  while (random.chance(habits.appendChance * 0.7)) {
    if (!world.append(side, LANE.log, length(), hasteOf(random, habits.urgentChance))) break;
  }
  if (random.chance(habits.bulkChance)) world.append(side, LANE.bulk, length(), 'none');
  for (const lane of LANES) {
    if (random.chance(habits.takeChance)) world.take(side, lane, random.pick([1, 10, 1000]));
  }
  world.flush(side);
}

/** No faults any more: everything appended must be acknowledged and taken, in bounded time. */
function quiet(world: World, random: SeededRandom): void {
  const frameBytesMax = random.pick(PATHS);
  for (const side of SIDES) {
    for (const lines of world.paths) {
      lines[side].faults = {
        ...NO_FAULTS,
        frameBytesMax,
        delayUs: random.pick([5, 100, 2000]),
      };
    }
  }
  for (const path of world.paths.keys()) world.link(path, true);
  const limitUs = world.nowUs + QUIET_US_MAX;
  while (!world.settled) {
    assert.ok(world.nowUs < limitUs, 'no progress on a quiet line');
    world.run(world.nowUs + 10_000);
    for (const side of SIDES) {
      for (const lane of LANES) world.take(side, lane, Number.POSITIVE_INFINITY);
    }
  }
}

function hasteOf(random: SeededRandom, urgentChance: number): Haste {
  if (random.chance(urgentChance)) return 'urgent';
  return random.pick(['none', 'passing']);
}
