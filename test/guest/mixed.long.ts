// A Linux guest under mixed load for TWINSTEP_SOAK_MINUTES (30): network, disk, serial lines and reboots
// in random order. Meant for the sanitizer build: `npm run test:long -- guest/mixed --asan`.
import { assert, needs, seededRandom, suite } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { assembled } from './linux-guest.ts';
import { type Step, steps } from './load.ts';
import { LinuxRig } from './rig.ts';

const { guest, why = '' } = assembled();
await enterNamespace();
const test = suite('guest/mixed');
test.needs(needs.networkNamespaces());
test.needs(needs.device('/dev/net/tun'));
test.needs({ met: guest !== undefined, why });

const MINUTES = Number(process.env.TWINSTEP_SOAK_MINUTES ?? '30');
const random = seededRandom();

test(
  `${MINUTES} minutes of everything at once`,
  async () => {
    const rig = new LinuxRig(guest!);
    const end = performance.now() + MINUTES * 60_000;
    const counts: Record<string, number> = {};
    try {
      await rig.booted();
      await rig.bench();
      await rig.serve();
      while (performance.now() < end) {
        const { name, run } = random.chance(0.04)
          ? reboot(rig)
          : random.pick(steps(rig, random, 500_000));
        counts[name] = (counts[name] ?? 0) + 1;
        await run();
      }
      assert.ok(rig.hasExt2() || counts.disk === undefined);
    } finally {
      console.log(counts);
      await rig.close();
    }
  },
  { timeoutMs: (MINUTES + 20) * 60_000 },
);

function reboot(rig: LinuxRig): Step {
  const run = async () => {
    await rig.reboot();
    await rig.bench();
    await rig.serve();
  };
  return { name: 'reboot', run };
}

test.run();
