// The one that has the guest dies while it brings the other board into step: nobody else may go on from what the other
// one has by then. In every phase: chaos.long.ts.
import { assert, needs, seededRandom, suite } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { Chaos } from './chaos.ts';
import { faultNamed } from './faults.ts';
import { plantOrWhy } from './plant-guest.ts';

const { guest, why = '' } = plantOrWhy();
await enterNamespace();
const test = suite('twin/sync-faults');
test.needs(needs.networkNamespaces());
test.needs(needs.device('/dev/net/tun'));
test.needs({ met: guest !== undefined, why });

test(
  'the source dies in a sync-up: it alone leads again, with all that was told on its disk',
  async () => {
    const chaos = await Chaos.start(guest!);
    try {
      const { restarted, tookOver } = await chaos.round(
        faultNamed('source dies in sync-up: memory'),
        seededRandom(),
      );
      assert.ok(restarted && !tookOver);
      assert.equal((await chaos.disks()).faults, []);
    } catch (error) {
      console.log(`what the boards told: ${chaos.rig.keep()}`);
      throw error;
    } finally {
      await chaos.close();
    }
  },
  { timeoutMs: 300_000 },
);

test.run();
