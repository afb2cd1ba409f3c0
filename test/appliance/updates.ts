// Updates of one emulated board: a signed one is installed, started and confirmed; unsigned, truncated
// and foreign ones are refused; a slot nobody confirms is left after three starts.
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Appliance } from './appliance.ts';
import { Machine, type MachinePlan } from './machine.ts';

const BUNDLE = '/data/update/bundle.raucb';

/** A disk image that holds a file from its first byte on; virtio disks count in sectors. */
export function asDisk(
  folder: string,
  name: string,
  content: Uint8Array,
): { disk: string; bytes: number } {
  const disk = join(folder, `${name}.img`);
  writeFileSync(disk, content);
  truncateSync(disk, Math.ceil(content.length / 4096) * 4096);
  return { disk, bytes: content.length };
}

async function order(machine: Machine, word: string): Promise<string> {
  await machine.shell('rm -f /run/twinstep/order-result');
  await machine.shell(
    `setpriv --reuid console --regid console --init-groups sh -c 'echo ${word} >/run/twinstep/orders'`,
  );
  return (
    await machine.shell(
      'while [ ! -f /run/twinstep/order-result ]; do sleep 1; done; cat /run/twinstep/order-result',
      300_000,
    )
  ).trim();
}

const environment = (machine: Machine): Promise<string> =>
  machine.shell(
    'mount -t vfat -o ro /dev/twinstep/efi /boot-efi && grub-editenv /boot-efi/EFI/BOOT/grubenv list | tr "\\n" " "; umount /boot-efi',
  );

export async function tryUpdates(
  made: Appliance,
  plan: MachinePlan,
  folder: string,
): Promise<void> {
  const good = readFileSync(made.disk.bundle);
  const bundles = {
    unsigned: asDisk(
      folder,
      'unsigned',
      readFileSync(join(made.disk.bundle, '../rootfs.squashfs')),
    ),
    truncated: asDisk(folder, 'truncated', good.subarray(0, good.length - 40_000)),
    good: asDisk(folder, 'good', good),
  };
  let machine = new Machine({
    ...plan,
    extraDisks: Object.values(bundles).map(({ disk }) => disk),
  });
  try {
    await machine.says(/Twinstep: slot A/, 180_000);
    const devices = ['/dev/vdb', '/dev/vdc', '/dev/vdd'];
    for (const [index, [name, { bytes }]] of Object.entries(bundles).entries()) {
      const copy = `dd if=${devices[index]} of=${BUNDLE} bs=1M && truncate -s ${bytes} ${BUNDLE} && sync`;
      await machine.shell(copy, 180_000);
      console.log(`bundle ${name}: ${await order(machine, 'update')}`);
    }
    console.log(`after the update: ${await environment(machine)}`);
    const from = machine.text.length;
    await order(machine, 'reboot');
    await machine.says(/Twinstep: slot B/, 180_000, from);
    console.log('restarted: slot B');
    await machine.says(/board: /, 180_000, from);
  } finally {
    await machine.stop();
  }
  // Power cuts before the confirmation: three starts of B, then A.
  for (const start of [2, 3, 4]) {
    machine = new Machine(plan);
    try {
      await machine.says(/Twinstep: slot [AB]/, 180_000);
      const slot = /Twinstep: slot ([AB])/.exec(machine.text)?.[1];
      console.log(`start ${start} without a confirmation: slot ${slot}`);
    } finally {
      await machine.stop();
    }
  }
}
