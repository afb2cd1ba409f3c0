// A recorded Linux that boots, serves TCP over a TAP, moves files both ways, writes its disk and hears
// random bytes on its serial lines: a new process makes the identical machine from the log.
import { join } from 'node:path';
import type { Entry } from '../../firmware/lockstep/entry.ts';
import { assert, needs, seededRandom, suite } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { assembled } from './linux-guest.ts';
import { alterEntry, entriesOf, flipMemoryBit } from './plant.ts';
import { RecordedLinux } from './recording.ts';
import { BOOT_MS } from './rig.ts';
import { type Outcome, twinstep } from './twinstep.ts';

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
    assert.match(stderr, 'verified: registers, devices, memory and 1 disk are identical');
    assert.is(stdout.replaceAll('\r', ''), rig.terminal.running.console.text.replaceAll('\r', ''));
  },
  { timeoutMs: 2 * BOOT_MS },
);

test(
  'the interpreter alone makes the life that was translated',
  () => {
    const { code, stderr } = recorded.replay('--verify', '--quiet', '--engine', 'soft-interpreter');
    assert.is(code, 0, stderr);
    assert.match(stderr, 'verified: registers, devices, memory and 1 disk are identical');
  },
  { timeoutMs: 2 * BOOT_MS },
);

/** A divergence as `twinstep replay` reports it; the exit code must say so too. */
function divergenceIn({ code, stderr }: Outcome) {
  assert.is(code, 4, stderr);
  const index = Number(/differs at entry (\d+): (position|output|state|memory)/.exec(stderr)?.[1]);
  assert.match(stderr, /^twinstep: {3}\d+ {2}(output|digest) /m, 'the entry with its position');
  assert.match(stderr, /recorded: \S/);
  assert.match(stderr, /replayed: \S.*, at \d+/);
  const agreed = Number(/last agreed at entry (\d+), position \d+/.exec(stderr)?.[1] ?? -1);
  return { index, agreed };
}

const frames = (entry: Entry) => entry.body.kind === 'net-rx' && entry.body.frame.length > 1000;
const keys = ({ body }: Entry) => body.kind === 'serial-rx' && body.port === 'com1';

for (const [what, isIt, bytesOf] of [
  ['a received frame', frames, (body: Entry['body']) => (body as { frame: Uint8Array }).frame],
  ['typed keys', keys, (body: Entry['body']) => (body as { bytes: Uint8Array }).bytes],
] as const) {
  test(
    `one flipped bit in ${what} is found and located by the replay`,
    () => {
      const random = seededRandom(`altered ${what}`);
      const entries = entriesOf(recorded.log);
      const candidates = [...entries.keys()].filter((at) => isIt(entries[at] as Entry));
      // Early: a replay ends where it differs.
      const altered = random.pick(candidates.slice(0, Math.ceil(candidates.length / 3)));
      const log = `${recorded.log}.altered`;
      alterEntry(recorded.log, log, altered, (entry) => {
        const body = structuredClone(entry.body);
        const bytes = bytesOf(body);
        // In the middle of a word typed, in the data of a frame.
        const at = bytes.length > 1000 ? 200 + random.int(800) : 0;
        bytes[at] = (bytes[at] as number) ^ 1;
        return { ...entry, body };
      });
      const { index, agreed } = divergenceIn(
        twinstep('replay', log, ...recorded.files, '--quiet', '--verify'),
      );
      assert.ok(index > altered, `entry ${altered} altered, found at ${index}`);
      assert.ok(agreed < altered, `entry ${altered} altered, agreed up to ${agreed}`);
    },
    { timeoutMs: BOOT_MS },
  );
}

test(
  'one flipped bit of memory is found at the next digest',
  () => {
    const random = seededRandom('flipped');
    const entries = entriesOf(recorded.log);
    const digests = [...entries.keys()].filter((at) => entries[at]?.body.kind === 'digest');
    const at = digests[Math.floor(digests.length / 3)] as number;
    const checkpoint = join(recorded.folder, 'checkpoint');
    const position = String(entries[at]?.position);
    const made = recorded.replay('--quiet', '--until', position, '--checkpoint', checkpoint);
    assert.is(made.code, 0, made.stderr);
    // Memory high up, which the guest may never look at again: only a digest of all of it tells.
    flipMemoryBit(checkpoint, `${checkpoint}.bad`, 64 << 20, random.int(8));
    const { index } = divergenceIn(recorded.replay('--quiet', '--from', `${checkpoint}.bad`));
    const next = digests[Math.floor(digests.length / 3) + 1] as number;
    assert.ok(index > at && index <= next, `flipped at entry ${at}, found at ${index}`);
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
