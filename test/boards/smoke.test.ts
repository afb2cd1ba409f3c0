// Two emulated boards pair, protect a guest, and one loses its power: the smallest story of the appliance.
// Minutes of two busy cores, so it runs where somebody has assembled the image on purpose.
import { join } from 'node:path';
import { appliance, isAssembled } from '../appliance/appliance.ts';
import { hasQemu } from '../appliance/machine.ts';
import { CACHE } from '../appliance/parts.ts';
import { assert, needs, suite } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { FAULTS } from './faults.ts';
import { BoardsRig } from './rig.ts';
import { seen } from './story.ts';

await enterNamespace();
const test = suite('boards/smoke');
test.needs(needs.networkNamespaces());
test.needs(needs.device('/dev/net/tun'));
test.needs({ met: hasQemu(), why: 'needs qemu-system-x86_64 (Debian package qemu-system-x86)' });
test.needs({
  met: isAssembled(),
  why: 'needs the emulated image of these sources: npm run image:emulated -- --no-boot',
});

test(
  'two emulated boards pair, and the guest outlives the power of one',
  async () => {
    const rig = await BoardsRig.make({ made: appliance(() => {}), folder: join(CACHE, 'smoke') });
    try {
      await rig.begin(() => {});
      const power = FAULTS.find(({ id }) => id === 'power');
      assert.ok(power);
      const { facts, prompts, faults } = await seen(rig, power);
      assert.equal(faults, []);
      assert.ok((facts?.lines ?? 0) > 0);
      assert.match(prompts, 'PRIMARY RUN-Solo');
    } finally {
      await rig.close();
    }
  },
  { timeoutMs: 900_000 },
);

test.run();
