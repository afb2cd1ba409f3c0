// A map of regions against a Set of numbers, its sectors, and its size for the largest disk.
import {
  MAP_SECTOR_BYTES,
  opened,
  REGION_BYTES_MIN,
  RegionMap,
  sealed,
} from '../../firmware/lockstep/region-map.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('lockstep/region-map');
/** Of small disks. */
const REGION = REGION_BYTES_MIN;

test('a map is as a Set of regions, and its ranges are them', () => {
  const random = seededRandom('regions');
  const map = new RegionMap(100 * REGION - 512);
  const model = new Set<number>();
  assert.is(map.regions, 100);
  for (let step = 0; step < 3000; step++) {
    const offset = random.int(100 * REGION - 512);
    const bytes = 1 + random.int(Math.min(3 * REGION, 100 * REGION - 512 - offset));
    const [first, last] = [Math.floor(offset / REGION), Math.floor((offset + bytes - 1) / REGION)];
    const touched = Array.from({ length: last - first + 1 }, (_, i) => first + i);
    assert.is(
      map.hasAllOf({ offset, bytes }),
      touched.every((region) => model.has(region)),
    );
    if (random.chance(0.2)) {
      map.markBytes({ offset, bytes });
      for (const region of touched) model.add(region);
    } else {
      map.clear(first);
      model.delete(first);
    }
    assert.is(map.marked, model.size);
    const told = [...map.ranges()].flatMap((range) => {
      const end = Math.ceil((range.offset + range.bytes) / REGION);
      return Array.from(
        { length: end - range.offset / REGION },
        (_, i) => range.offset / REGION + i,
      );
    });
    assert.equal(
      told,
      [...model].sort((a, b) => a - b),
    );
  }
});

test('sectors bring it back; one that was altered or never written is none', () => {
  const random = seededRandom('sectors');
  const map = new RegionMap(12_000 * REGION);
  for (let times = 0; times < 500; times++) map.mark(random.int(map.regions));
  assert.is(map.sectors, 3);
  const read = new RegionMap(12_000 * REGION);
  for (let index = 0; index < map.sectors; index++) {
    assert.ok(read.takeSector(index, map.sector(index)));
  }
  assert.equal([...read.ranges()], [...map.ranges()]);
  const bytes = map.sector(1);
  bytes[random.int(MAP_SECTOR_BYTES)]! ^= 1 << random.int(8);
  assert.not.ok(read.takeSector(1, bytes));
  assert.is(opened(new Uint8Array(MAP_SECTOR_BYTES)), undefined);
  assert.is(opened(map.sector(0).subarray(1)), undefined);
  assert.equal(opened(sealed(Uint8Array.of(1, 2)))!.subarray(0, 3), Uint8Array.of(1, 2, 0));
});

test('the map of 16 TiB is no larger than that of 512 GiB', () => {
  const [small, large] = [new RegionMap(2 ** 39), new RegionMap(2 ** 44)];
  assert.is(small.regionBytes, REGION_BYTES_MIN);
  assert.is(large.sectors, small.sectors);
  assert.ok(large.sectors * MAP_SECTOR_BYTES < 20_000);
  large.markBytes({ offset: 2 ** 44 - 512, bytes: 512 });
  assert.equal([...large.ranges()], [{ offset: 2 ** 44 - 2 ** 27, bytes: 2 ** 27 }]);
  small.markAll();
  assert.is(small.bytes, 2 ** 39);
  const sum = new RegionMap(2 ** 39);
  sum.mark(7);
  sum.add(small);
  assert.is(sum.marked, sum.regions);
  assert.throws(() => sum.add(large), /another disk/);
});

test.run();
