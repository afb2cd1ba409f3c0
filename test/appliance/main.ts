// The command behind `npm run image:emulated`: assembles the image, starts it as it leaves the factory
// and once more commissioned, and says what it measured.
//   --no-boot   only assembles        --uefi     starts it by UEFI
//   --update    then updates it, tries bundles it must refuse, one whose board does not run, and power cuts
//   --only-update  that alone
import { mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { ROOT } from '../../buildroot/tools/tree.ts';
import { DebianError } from '../guests/linux/debian.ts';
import { optionsOf } from '../harness/options.ts';
import { buildGuest } from '../softcpu/guest.ts';
import { type Appliance, appliance } from './appliance.ts';
import { figuresOf, mib } from './figures.ts';
import { FIRST_WORDS, hasQemu, Machine, type MachinePlan, plain, uefiFirmware } from './machine.ts';
import { CACHE } from './parts.ts';
import { makeStick } from './stick.ts';
import { tryUpdates } from './updates.ts';

const FLAG = { type: 'boolean', default: false } as const;
const run = join(CACHE, 'run');
const DISK_BYTES = 3 * 2 ** 30;
const MEMORY_MIB = 768;

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

/** Starts a machine, does something with it, and keeps what its technician saw. */
async function during(
  title: string,
  plan: MachinePlan,
  body: (machine: Machine) => Promise<void>,
): Promise<void> {
  const machine = new Machine(plan);
  try {
    const grubMs = await machine.says(/Twinstep: slot [AB]/, 180_000);
    const dataMs = await machine.says(/Starting data: .*OK/s, 180_000);
    const consoleMs = await machine.says(FIRST_WORDS, 180_000);
    const times = `kernel from GRUB ${seconds(grubMs)}, data ${seconds(dataMs)}, console ${seconds(consoleMs)}`;
    console.log(`${title}: ${times} after power-on`);
    await body(machine);
  } finally {
    await machine.stop();
    writeFileSync(join(run, `${title.replaceAll(' ', '-')}.txt`), plain(machine.text));
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

/** As it leaves the factory, and commissioned: times, memory, ports. */
async function look(plan: MachinePlan, stick: string): Promise<void> {
  await during('first start', plan, async (machine) => {
    const kib = Number((await machine.shell('df -k /data | tail -n 1')).split(/\s+/)[1]);
    console.log(`data partition grown to ${mib(kib * 1024)} of a disk of ${mib(DISK_BYTES)}`);
  });
  await during('commissioned', { ...plan, extraDisks: [stick] }, async (machine) => {
    const status = 'twinstep status --config /data/twinstep/board.toml';
    await machine.eventually(`${status} >/dev/null`, 180_000);
    // A new board does not lead alone by itself: its peer may know better. An operator says so.
    await machine.eventually('twinstep force-lead --config /data/twinstep/board.toml', 180_000);
    const leadsMs = await machine.eventually(`${status} | grep -q RUN-Solo`, 180_000);
    console.log(`the board leads alone ${seconds(leadsMs)} after power-on`);
    console.log(await machine.shell(status));
    for (const figure of await figuresOf(machine)) console.log(figure);
    const goodMs = await machine.eventually('ls /data/rauc/confirmed-A', 300_000);
    console.log(`slot A confirmed ${seconds(goodMs)} after power-on`);
    const log = await machine.shell(
      'cat /data/log/messages; cat /run/twinstep/*error 2>/dev/null || :',
    );
    writeFileSync(join(run, 'commissioned-log.txt'), log);
  });
}

async function main(): Promise<void> {
  const { values } = optionsOf('npm run image:emulated', {
    options: { 'no-boot': FLAG, uefi: FLAG, update: FLAG, 'only-update': FLAG },
  });
  const made = appliance((words) => console.error(words));
  console.log(`Not the real image: ${made.differences}`);
  const { disk } = made;
  console.log(`${relative(ROOT, disk.image)}: ${mib(statSync(disk.image).size)} with two slots`);
  console.log(
    `root file system ${mib(disk.rootBytes)} of 512 MiB, update ${mib(disk.bundleBytes)}`,
  );
  if (values['no-boot']) return;
  if (!hasQemu()) {
    console.log('not started: no qemu-system-x86_64 (Debian: apt-get install qemu-system-x86)');
    return;
  }
  const uefi = values.uefi ? uefiFirmware() : undefined;
  if (values.uefi && uefi === undefined) {
    console.log('by BIOS: no UEFI firmware (Debian: apt-get install ovmf)');
  }
  const plan: MachinePlan = {
    disk: freshDisk(made),
    folder: run,
    memoryMib: MEMORY_MIB,
    ...(uefi === undefined ? {} : { uefi }),
  };
  // The small plant controller: it needs no more than itself and an empty disk.
  const stick = makeStick(made.tools, run, {
    side: 'a',
    ...{ address: '192.168.10.2', peer: '192.168.10.3', gateway: '192.168.10.1' },
    guest: readFileSync(buildGuest('plc')),
  });
  if (!values['only-update']) await look(plan, stick);
  if (values.update || values['only-update']) await tryUpdates(made, plan, run, stick);
}

try {
  await main();
} catch (error) {
  if (!(error instanceof DebianError)) throw error;
  console.error(`image:emulated: ${error.message}`);
  process.exitCode = 1;
}
