// What stories of the simulated channel begin with and wait for: two boards that have met, everything settled.
import { LANE } from '../../logchan/sections.ts';
import { assert, seededRandom } from '../harness/index.ts';
import { SIDES, World, type WorldOptions } from './logchan-world.ts';

export const ROOMY = { bytes: 1 << 20, messages: 4096 };

export function makeWorld(label: string, options: Partial<WorldOptions> = {}): World {
  return new World(seededRandom(label), {
    buffers: { send: [ROOMY, ROOMY], receive: [ROOMY, ROOMY] },
    frameBytesMax: [9000, 9000],
    ...options,
  });
}

/** Both boards have met and know the path. */
export function metWorld(label: string, options: Partial<WorldOptions> = {}): World {
  const world = makeWorld(label, options);
  world.run(100_000);
  assert.ok(world.settled, world.describe());
  return world;
}

export function takeAll(world: World): void {
  for (const side of SIDES) {
    for (const lane of [LANE.log, LANE.bulk]) world.take(side, lane, Number.POSITIVE_INFINITY);
  }
}

/** Runs until everything is acknowledged and taken; the virtual time it took. */
export function settle(world: World, limitUs: number): number {
  const startUs = world.nowUs;
  while (!world.settled) {
    assert.ok(world.nowUs < startUs + limitUs, `not settled: ${world.describe()}`);
    world.run(world.nowUs + 100);
    takeAll(world);
  }
  return world.nowUs - startUs;
}
