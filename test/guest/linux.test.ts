// Debian Linux through the real command: a person at a terminal, the benchmark with its known results,
// a disk that outlives a reboot, TCP both ways over a TAP, random bytes over serial lines.
import { existsSync, readFileSync } from 'node:fs';
import { assert, needs, seededRandom, suite } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { assembled } from './linux-guest.ts';
import { BOOT_MS, GUEST_MAC, HOST_IP, LinuxRig, STEP_MS } from './rig.ts';

// Before the namespace, where there is no archive.
const { guest, why = '' } = assembled();
await enterNamespace();
const test = suite('guest/linux');
test.needs(needs.networkNamespaces());
test.needs(needs.device('/dev/net/tun'));
test.needs({ met: guest !== undefined, why });

const random = seededRandom();
let rig: LinuxRig;
const step = (name: string, body: () => Promise<void>, timeoutMs = STEP_MS) =>
  test(name, body, { timeoutMs });

test.after(async () => await rig?.close());

step(
  'boots to a shell on the terminal, which is raw and hears every key',
  async () => {
    rig = new LinuxRig(guest!);
    const { terminal } = rig;
    assert.match(terminal.settings(), ' icanon ');
    await rig.booted();
    assert.match(terminal.settings(), '-icanon');
    assert.match(terminal.running.stderr.text, 'Ctrl-] leaves');
    assert.match(await rig.shell('uname -srm'), /Linux 6\.\d+\.\d+\S* x86_64/);
    // Ctrl-C is the guest's. While the command is about to run nobody is hit by it: it ends by itself
    // soon, so that one too early costs no more than a second one.
    const ends = async () => {
      terminal.running.type('echo asl""eep; sleep 30 && echo sl""ept; echo en""ded\n');
      await terminal.running.console.waitFor(/asleep/);
      terminal.running.type('\x03');
      return (await terminal.running.console.waitFor(/slept|\/ # /))[0] !== 'slept';
    };
    assert.ok((await ends()) || (await ends()));
    await rig.shell('true');
    assert.match(await rig.shell('cat /sys/class/net/eth0/address'), GUEST_MAC);
  },
  BOOT_MS,
);

step('computes what every engine computes', () => rig.bench());

step('the clock goes on while the guest sleeps', async () => {
  const uptime = async () => Number(/^(\d+\.\d+) /m.exec(await rig.shell('cat /proc/uptime'))![1]);
  const before = await uptime();
  await rig.shell('sleep 2');
  // How closely it follows real time is shown where no busy host can blur it (lockstep/pacer).
  assert.ok((await uptime()) - before >= 2);
});

step('answers pings over the TAP, and pings', async () => {
  for (let i = 0; i < 20; i++) assert.ok(await rig.answersPing(), `ping ${i}`);
  assert.match(await rig.shell(`ping -c 3 ${HOST_IP}`), /[1-3] packets received/);
});

step('serves TCP to several clients at once', async () => {
  await rig.serve();
  await Promise.all([1, 2, 3].map(() => rig.talk(random.int(1000), 50)));
});

step('connects out, and moves a file each way unchanged', async () => {
  await rig.fetches(random.bytes(300_000));
  await rig.delivers();
});

step('a second network card on a socket answers whoever is at the other end', () =>
  rig.pingsOverCable(random.bytes(1000)),
);

step('random bytes pass the second serial line both ways', () =>
  rig.serialBothWays('ttyS1', random.bytes(50_000)),
);

step('and the virtio console', () => rig.serialBothWays('hvc0', random.bytes(20_000)));

step(
  'a disk written before a reboot is whole after it, and the host can read it',
  async () => {
    assert.match(await rig.shell('sh /scripts/disk'), '@disk written');
    await rig.reboot();
    assert.match(await rig.shell('sh /scripts/disk'), '@disk verified');
    assert.ok(rig.hasExt2());
    assert.ok(await rig.answersPing(), 'the network is back too');
  },
  BOOT_MS,
);

step('an idle guest costs next to nothing', async () => {
  await rig.shell('true');
  const { pid } = rig.terminal.running;
  // What a boot leaves behind (compiling, collecting) ends; a guest that is not idle never does.
  const shares: number[] = [];
  while (shares.length < 5 && !shares.some((percent) => percent < 10)) {
    const [cpu, started] = [cpuMs(pid), performance.now()];
    await new Promise((resolve) => setTimeout(resolve, 2000));
    shares.push((100 * (cpuMs(pid) - cpu)) / (performance.now() - started));
  }
  const words = shares.map((percent) => percent.toFixed(1)).join(', ');
  assert.ok(
    shares.some((percent) => percent < 10),
    `${words} % of a core`,
  );
});

step('Ctrl-] leaves, and the terminal is as before', async () => {
  rig.terminal.running.type('\x1d');
  assert.is(await rig.terminal.running.ended(), 0);
  assert.match(rig.terminal.settings(), ' icanon ');
  assert.ok(!existsSync(rig.com2), 'its socket is gone');
});

/** User and system time of a process with its threads. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

test.run();
