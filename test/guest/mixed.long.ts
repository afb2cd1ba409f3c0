// A Linux guest under mixed load for TWINSTEP_SOAK_MINUTES (30): network, disk, serial lines and reboots
// in random order. Meant for the sanitizer build: `npm run test:long -- guest/mixed --asan`.
import { assert, needs, seededRandom, suite } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { assembled } from './linux-guest.ts';
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
        const { name, run } = random.chance(0.04) ? reboot(rig) : random.pick(steps(rig));
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

interface Step {
  readonly name: string;
  readonly run: () => Promise<void>;
}

function reboot(rig: LinuxRig): Step {
  const run = async () => {
    await rig.reboot();
    await rig.bench();
    await rig.serve();
  };
  return { name: 'reboot', run };
}

/** Each at the shell's prompt, with a TCP client beside it. */
function steps(rig: LinuxRig): Step[] {
  const list: Step[] = [
    { name: 'bench', run: () => rig.bench() },
    { name: 'fetch', run: () => rig.fetches(random.bytes(1 + random.int(500_000))) },
    { name: 'deliver', run: () => rig.delivers() },
    { name: 'com2', run: () => rig.serialBothWays('ttyS1', random.bytes(1 + random.int(30_000))) },
    {
      name: 'console',
      run: () => rig.serialBothWays('hvc0', random.bytes(1 + random.int(30_000))),
    },
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

test.run();
