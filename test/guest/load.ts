// What a plant does to a guest, as steps to pick from at random: each checks itself and has a TCP client
// beside it.
import { assert, type SeededRandom } from '../harness/index.ts';
import type { LinuxRig } from './rig.ts';

export interface Step {
  readonly name: string;
  readonly run: () => Promise<void>;
}

/** At the shell's prompt, with the guest's server running. `most` bytes and lines a step. */
export function steps(rig: LinuxRig, random: SeededRandom, most: number): Step[] {
  const some = (part: number) => random.bytes(1 + random.int(Math.ceil(most * part)));
  const list: Step[] = [
    { name: 'bench', run: () => rig.bench() },
    { name: 'fetch', run: () => rig.fetches(some(1)) },
    { name: 'deliver', run: () => rig.delivers() },
    { name: 'com2', run: () => rig.serialBothWays('ttyS1', some(0.06)) },
    { name: 'console', run: () => rig.serialBothWays('hvc0', some(0.06)) },
    {
      name: 'disk',
      run: async () =>
        assert.match(await rig.shell('sh /scripts/disk'), /@disk (written|verified)/),
    },
  ];
  const client = () => rig.talk(random.int(1000), 1 + random.int(20));
  return list.map(({ name, run }) => ({
    name,
    run: async () => void (await Promise.all([run(), client()])),
  }));
}
