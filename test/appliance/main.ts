// The command behind `npm run image:emulated`: assembles the image, starts it once as it leaves the
// factory and once commissioned, and says what it measured. `--no-boot` only assembles, `--uefi`
// starts it by UEFI.
import { copyFileSync, mkdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { ROOT } from '../../buildroot/tools/tree.ts';
import { DebianError } from '../guests/linux/debian.ts';
import { type Appliance, appliance } from './appliance.ts';
import { figuresOf, mib } from './figures.ts';
import { hasQemu, Machine, type MachinePlan, PCI, uefiFirmware } from './machine.ts';
import { CACHE } from './parts.ts';

const run = join(CACHE, 'run');
const DISK_BYTES = 3 * 2 ** 30;
const MEMORY_MIB = 768;

const CONFIGURATION = {
  'appliance.conf': [
    'HOSTNAME=emulated-a',
    `FRONT_NIC=pci:${PCI.front}`,
    'FRONT_ADDRESS=192.168.10.2/24',
    `LOG_NIC=pci:${PCI.log}`,
    'GUEST_TAPS=tap0',
    'CONFIRM_AFTER_S=20',
    '',
  ].join('\n'),
  'board.toml': [
    '[board]\nname = "emulated-a"\nside = "a"',
    'state-dir = "/data/twinstep/state"\npairing-key-file = "/data/twinstep/pairing.key"',
    '[log]\ninterface = "log0"',
    '[serial]\nport = "/dev/ttyS1"',
    '[front]\ninterface = "plant0"\nbind = "192.168.10.2"\npeer = "192.168.10.3"\ngateway = "192.168.10.1"',
    '[guest]\nkernel = "/data/guest/kernel"\ntap = "tap0"\n',
  ].join('\n'),
  'pairing.key': Buffer.alloc(32, 7),
} as const;

async function start(title: string, plan: MachinePlan): Promise<string> {
  const machine = new Machine(plan);
  try {
    const grubMs = await machine.says(/Twinstep: slot A/, 120_000);
    const dataMs = await machine.says(/Starting data: .*OK/s, 180_000);
    const consoleMs = await machine.says(/console: not available|Twinstep .*slot A/s, 180_000, 0);
    const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
    console.log(
      `${title}: GRUB starts the kernel after ${seconds(grubMs)}, data partition ${seconds(dataMs)}, console ${seconds(consoleMs)}`,
    );
    await machine.reports(/== end/, 240_000);
    return machine.report();
  } finally {
    await machine.stop();
    writeFileSync(join(run, `${title.replaceAll(' ', '-')}.txt`), machine.text);
  }
}

function freshDisk(made: Appliance): string {
  rmSync(run, { recursive: true, force: true });
  mkdirSync(run, { recursive: true });
  const disk = join(run, 'disk.img');
  made.tools.run('cp', ['--sparse=always', made.disk.image, disk]);
  truncateSync(disk, DISK_BYTES);
  return disk;
}

/** A stick as docs/hardware.md describes it. */
function makeStick(made: Appliance): string {
  const stick = join(run, 'stick.img');
  const folder = join(run, 'stick');
  mkdirSync(folder, { recursive: true });
  writeFileSync(stick, '');
  truncateSync(stick, 4 * 2 ** 20);
  made.tools.run('mkdosfs', ['-n', 'TWINSTEPCFG', stick]);
  for (const [name, content] of Object.entries(CONFIGURATION)) {
    writeFileSync(join(folder, name), content);
    made.tools.run('mcopy', ['-i', stick, join(folder, name), `::${name}`]);
  }
  return stick;
}

async function main(args: readonly string[]): Promise<void> {
  const made = appliance((words) => console.error(words));
  console.log(`Not the real image: ${made.differences}`);
  const { disk } = made;
  console.log(`${relative(ROOT, disk.image)}: ${mib(statSync(disk.image).size)} with two slots`);
  console.log(
    `root file system ${mib(disk.rootBytes)} of 512 MiB, update bundle ${mib(disk.bundleBytes)}`,
  );
  if (args.includes('--no-boot')) return;
  if (!hasQemu()) {
    console.log('not started: no qemu-system-x86_64 (Debian: apt-get install qemu-system-x86)');
    return;
  }
  const copy = freshDisk(made);
  const uefi = args.includes('--uefi') ? uefiFirmware() : undefined;
  const plan: MachinePlan = {
    disk: copy,
    report: join(run, 'report.txt'),
    memoryMib: MEMORY_MIB,
    ...(uefi === undefined ? {} : { uefi }),
  };
  await start('first start', plan);
  const report = await start('commissioned', { ...plan, stick: makeStick(made) });
  copyFileSync(plan.report, join(run, 'commissioned-report.txt'));
  for (const figure of figuresOf(report)) console.log(figure);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof DebianError)) throw error;
  console.error(`image:emulated: ${error.message}`);
  process.exitCode = 1;
}
