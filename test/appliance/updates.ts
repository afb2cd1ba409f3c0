// Updates of one emulated board: a signed one is installed, started and confirmed; unsigned and truncated
// ones are refused; one whose board does not run is taken back; a slot nobody confirms is left after
// three starts.
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Appliance } from './appliance.ts';
import { sickBundle } from './disk.ts';
import { FIRST_WORDS, Machine, type MachinePlan } from './machine.ts';

const BUNDLE = '/data/update/bundle.raucb';
const BOOT_MS = 180_000;
const KINDS = ['unsigned', 'truncated', 'good', 'sick'] as const;
type Kind = (typeof KINDS)[number];

/** A disk image that holds a file from its first byte on; virtio disks count in sectors. */
function asDisk(
  folder: string,
  name: string,
  content: Uint8Array,
): { disk: string; bytes: number } {
  const disk = join(folder, `${name}.img`);
  writeFileSync(disk, content);
  truncateSync(disk, Math.ceil(content.length / 4096) * 4096);
  return { disk, bytes: content.length };
}

/** Bundles as disks of a board: it has no other way to get hold of a file of the host. */
export class Bundles {
  readonly disks: string[] = [];
  private readonly kinds: readonly Kind[];
  private readonly bytes: number[] = [];

  constructor(made: Appliance, folder: string, kinds: readonly Kind[] = KINDS) {
    this.kinds = kinds;
    for (const kind of kinds) {
      const { disk, bytes } = asDisk(folder, kind, contentOf(made, kind));
      this.disks.push(disk);
      this.bytes.push(bytes);
    }
  }

  /** What the board answers to the order. `before`: disks of the machine in front of these. */
  async install(machine: Machine, kind: Kind, before = 0): Promise<string> {
    const at = this.kinds.indexOf(kind);
    const copy = `dd if=/dev/vd${'bcdefgh'[before + at]} of=${BUNDLE} bs=1M`;
    await machine.shell(`${copy} && truncate -s ${this.bytes[at]} ${BUNDLE} && sync`, 180_000);
    return await order(machine, 'update');
  }
}

function contentOf(made: Appliance, kind: Kind): Uint8Array {
  const { bundle } = made.disk;
  switch (kind) {
    case 'unsigned':
      return readFileSync(join(bundle, '../rootfs.squashfs'));
    case 'truncated':
      return readFileSync(bundle).subarray(0, -40_000);
    case 'good':
      return readFileSync(bundle);
    case 'sick':
      return readFileSync(sickBundle(made.tools, made.keys));
  }
}

/** As the console's user gives it. */
async function order(machine: Machine, word: string): Promise<string> {
  await machine.shell('rm -f /run/twinstep/order-result');
  await machine.shell(
    `setpriv --reuid console --regid console --init-groups sh -c 'echo ${word} >/run/twinstep/orders'`,
  );
  const wait = 'while [ ! -f /run/twinstep/order-result ]; do sleep 1; done';
  return (await machine.shell(`${wait}; cat /run/twinstep/order-result`, 300_000)).trim();
}

/** Restarts in order; the slot that comes up, when its console is there. */
export async function restart(machine: Machine): Promise<string> {
  const from = machine.text.length;
  await order(machine, 'reboot');
  return await starts(machine, from);
}

async function starts(machine: Machine, from = 0): Promise<string> {
  await machine.says(/Twinstep: slot [AB]/, BOOT_MS, from);
  await machine.says(FIRST_WORDS, BOOT_MS, from);
  return slotOf(machine, from);
}

function slotOf(machine: Machine, from: number): string {
  return /Twinstep: slot ([AB])/.exec(machine.text.slice(from))?.[1] ?? '?';
}

const environment = async (machine: Machine): Promise<string> => {
  const grubenv = '/boot-efi/EFI/BOOT/grubenv';
  const text = await machine.shell(
    `mount -t vfat -o ro /dev/twinstep/efi /boot-efi && grub-editenv ${grubenv} list; umount /boot-efi`,
  );
  return text.trim().replaceAll('\n', ' ');
};

function expect(what: string, found: string, wanted: RegExp): void {
  console.log(`${what}: ${found}`);
  if (!wanted.test(found)) throw new Error(`${what}: ${wanted} was due`);
}

/** `stick`: commissions the board at its first start. Throws when something goes another way than it must. */
export async function tryUpdates(
  made: Appliance,
  plan: MachinePlan,
  folder: string,
  stick: string,
): Promise<void> {
  const bundles = new Bundles(made, folder);
  const machine = new Machine({ ...plan, extraDisks: [stick, ...bundles.disks] });
  const install = (kind: Kind) => bundles.install(machine, kind, 1);
  try {
    expect('the board runs from slot', await starts(machine), /^A$/);
    expect('bundle without a signature', await install('unsigned'), /refused/);
    expect('bundle cut short', await install('truncated'), /refused/);
    expect('signed bundle', await install('good'), /installed/);
    expect('after it', await environment(machine), /ORDER=B A.*B_TRY=0/);
    expect('restarted, slot', await restart(machine), /^B$/);
    const goodMs = await machine.eventually('ls /data/rauc/confirmed-B', 300_000);
    console.log(`slot B confirmed ${(goodMs / 1000).toFixed(0)} s after power-on of the first`);
    const limit = 's/^CONFIRM_LIMIT_S=.*/CONFIRM_LIMIT_S=30/';
    await machine.shell(`sed -i ${limit} /data/twinstep/appliance.conf; sync`);
    const sick = await install('sick');
    expect('signed bundle whose board does not run', sick, /installed/);
    expect('restarted, slot', await restart(machine), /^A$/);
    const from = machine.text.length;
    expect('its health check fails: slot', await starts(machine, from), /^B$/);
    expect('after it', await environment(machine), /A_OK=0/);
    // Again into slot A, this time for the power cuts.
    expect('signed bundle', await install('good'), /installed/);
  } finally {
    await machine.stop();
    writeFileSync(join(folder, 'updates.txt'), machine.text);
  }
  await cutBeforeConfirmed(plan);
}

/** Power cuts before the confirmation: three starts of A, then B. */
async function cutBeforeConfirmed(plan: MachinePlan): Promise<void> {
  for (const slot of ['A', 'A', 'A', 'B']) {
    const machine = new Machine(plan);
    try {
      await machine.says(/Twinstep: slot [AB]/, BOOT_MS);
      expect(
        'started, power cut before the confirmation: slot',
        slotOf(machine, 0),
        new RegExp(slot),
      );
    } finally {
      await machine.stop();
    }
  }
}
