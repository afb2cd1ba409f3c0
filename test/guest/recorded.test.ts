// A recorded Linux that boots, serves TCP over a TAP, moves files both ways, writes its disk and hears
// random bytes on its serial lines: a new process makes the identical machine from the log.
import { assert, needs, seededRandom, suite } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { assembled } from './linux-guest.ts';
import { RecordedLinux } from './recording.ts';
import { BOOT_MS } from './rig.ts';

const { guest, why = '' } = assembled();
await enterNamespace();
const test = suite('guest/recorded');
test.needs(needs.networkNamespaces());
test.needs(needs.device('/dev/net/tun'));
test.needs({ met: guest !== undefined, why });

let recorded: RecordedLinux;
test.after(async () => await recorded?.close());

test(
  'a Linux with network, disk and serial input is made again by another process',
  async () => {
    const random = seededRandom('recorded');
    recorded = new RecordedLinux(guest!, random);
    const { rig } = recorded;
    await rig.booted();
    await rig.counts();
    await rig.serve();
    await Promise.all([1, 2, 3].map(() => rig.talk(random.int(1000), 20)));
    await rig.fetches(random.bytes(200_000));
    await rig.delivers();
    assert.match(await rig.shell('sh /scripts/disk'), '@disk written');
    await rig.serialBothWays('ttyS1', random.bytes(10_000));
    await rig.serialBothWays('hvc0', random.bytes(10_000));
    await recorded.ends();
    const { code, stdout, stderr } = recorded.replay('--verify');
    assert.is(code, 0, stderr);
    assert.match(stderr, 'verified: registers, devices, memory and 1 disks are identical');
    assert.is(stdout.replaceAll('\r', ''), rig.terminal.running.console.text.replaceAll('\r', ''));
  },
  { timeoutMs: 2 * BOOT_MS },
);

test(
  'a prefix goes live: the guest answers on its console and over TCP, and that life replays too',
  async () => {
    const random = seededRandom('prefix');
    const entries = recorded.entriesOfLife();
    await recorded.goesLive(Math.floor(entries * (0.3 + 0.7 * random.float())));
  },
  { timeoutMs: 2 * BOOT_MS },
);

test.run();
