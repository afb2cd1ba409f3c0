// The long chaos suite: at least 200 faults of every kind on one twin, in an order the seed gives, with one
// TCP connection through all that do not restart the guest. TWINSTEP_FAULTS: another number, or a
// pattern of names.

import { quantile } from '../bench/frame.ts';
import { assert, needs, seededRandom, suite } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { Chaos } from './chaos.ts';
import type { Fault } from './fault.ts';
import { FAULTS, NOT_YET } from './faults.ts';
import { plantOrWhy } from './plant-guest.ts';
import type { RoundResult } from './round.ts';

const { guest, why } = plantOrWhy();
await enterNamespace();
const test = suite('twin/chaos');
test.needs(needs.networkNamespaces());
test.needs(needs.device('/dev/net/tun'));
test.needs({ met: guest !== undefined, why: why ?? '' });

const wanted = process.env.TWINSTEP_FAULTS ?? '200';
const COUNT = /^\d+$/.test(wanted) ? Number(wanted) : 0;
const DISKS_EVERY = 25;
const random = seededRandom();

test(
  'one connection through every fault',
  async () => {
    const chaos = await Chaos.start(guest!);
    try {
      const faults =
        COUNT > 0
          ? shuffled(COUNT)
          : [...FAULTS, ...NOT_YET].filter(({ name }) => RegExp(wanted).test(name));
      for (const [i, fault] of faults.entries()) {
        const result = await chaos.round(fault, random);
        console.log(lineOf(i + 1, faults.length, result));
        if ((i + 1) % DISKS_EVERY === 0) assert.equal((await chaos.disks()).faults, []);
      }
      const disks = await chaos.disks();
      assert.equal(disks.faults, []);
      const talk = await chaos.talkers();
      assert.equal(talk.faults, []);
      console.log(`\n${table(chaos.results)}`);
      console.log(
        `${disks.records} journal records on both disks, file system by ${disks.checkedBy}`,
      );
      console.log(`${talk.frames} frames of the guest, ${talk.changes} changes of the talker`);
    } catch (error) {
      console.log(table(chaos.results));
      console.log(`what the boards told: ${chaos.rig.keep()}`);
      throw error;
    } finally {
      await chaos.close();
    }
  },
  { timeoutMs: 4 * 3600_000 },
);

/** Every kind about equally often, none far from its turn. */
function shuffled(count: number): Fault[] {
  const order: Fault[] = [];
  while (order.length < count) {
    const turn = [...FAULTS];
    while (turn.length > 0) order.push(...turn.splice(random.int(turn.length), 1));
  }
  return order.slice(0, count);
}

function lineOf(
  n: number,
  of: number,
  { fault, blackoutMs, rejoinGapMs, redundantMs, tookOver, told }: RoundResult,
) {
  const who = tookOver ? 'taken over' : '';
  const times = `blackout ${blackoutMs.toFixed(0).padStart(5)} ms, ${rejoinGapMs.toFixed(0).padStart(4)} rejoining, in step after ${(redundantMs / 1000).toFixed(1)} s`;
  return `${String(n).padStart(4)}/${of} ${fault.name.padEnd(48)} ${times} ${[who, ...told].join(' ')}`;
}

function table(results: readonly RoundResult[]): string {
  const names = [...new Set(results.map(({ fault }) => fault.name))].sort();
  const head = `${'fault'.padEnd(48)} times  blackout ms: p50    p99   in step s: p50    p99`;
  const lines = names.map((name) => {
    const of = results.filter(({ fault }) => fault.name === name);
    const at = (values: number[], q: number, digits: number) => quantile(values, q).toFixed(digits);
    const blackouts = of.map(({ blackoutMs }) => blackoutMs);
    const steps = of.map(({ redundantMs }) => redundantMs / 1000);
    const columns = [
      at(blackouts, 0.5, 0),
      at(blackouts, 0.99, 0),
      at(steps, 0.5, 1),
      at(steps, 0.99, 1),
    ];
    const [b50 = '', b99 = '', s50 = '', s99 = ''] = columns;
    const left = `${name.padEnd(48)} ${String(of.length).padStart(5)}`;
    return `${left}  ${b50.padStart(16)} ${b99.padStart(6)} ${s50.padStart(16)} ${s99.padStart(6)}`;
  });
  return [head, ...lines, `${results.length} faults`].join('\n');
}

test.run();
