// Kernel and modules of Debian's generic kernel, of the series the real image has. It is modular, so
// an initial ramdisk brings what the real kernel has built in: disk drivers and the root's file system.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type CpioEntry, cpio } from '../guests/linux/cpio.ts';
import { kernelOf, patchedModules } from './kvm-modules.ts';
import type { Packages } from './parts.ts';
import type { Tools } from './tools.ts';

/** Loaded by the ramdisk, in this order, what they need before them. */
const EARLY = ['virtio_pci', 'virtio_blk', 'ahci', 'ata_piix', 'sd_mod', 'nvme', 'squashfs'];
/** The rest of our kernel fragments' modules, loaded when their device or user appears. */
const LATER = [
  'ext4',
  'vfat',
  'nls_cp437',
  'nls_ascii',
  'nls_iso8859_1',
  'loop',
  'dm_verity',
  'virtio_net',
  'virtio_rng',
  'virtio_console',
  'kvm',
  'kvm_intel',
  'kvm_amd',
  'tun',
  'bridge',
  'af_packet_diag',
  'igb',
  'igc',
  'e1000',
  'e1000e',
  'r8169',
  'realtek',
  'i6300esb',
  'iTCO_wdt',
  'lpc_ich',
  'i2c_i801',
  'wdat_wdt',
  'sp5100_tco',
  'w83627hf_wdt',
  'it87_wdt',
  'f71808e_wdt',
  'usb_storage',
  'xhci_pci',
  'ehci_pci',
  'rtc_cmos',
  'crc32c_generic',
  'sha256_generic',
];

const canonical = (name: string): string => name.replaceAll('-', '_').toLowerCase();

export interface Kernel {
  readonly release: string;
  readonly vmlinuz: string;
  readonly initrd: Buffer;
  /** Its KVM answers RDTSC as the real image's does. */
  readonly isPatched: boolean;
}

/** Puts the modules into the root, and answers kernel and ramdisk. */
export function installKernel(packages: Packages, tools: Tools, root: string): Kernel {
  const name = kernelOf(packages);
  const files = packages.unpacked(name);
  const release = readdirSync(join(files, 'lib/modules'))[0] as string;
  const source = join(files, 'lib/modules', release);
  const target = join(root, 'usr/lib/modules', release);
  const modules = new Modules(source);
  for (const module of [...EARLY, ...LATER]) modules.want(module);
  for (const [path, data] of modules.files) {
    mkdirSync(dirname(join(target, path)), { recursive: true });
    writeFileSync(join(target, path), data);
  }
  const patched = patchedModules(name);
  for (const file of patched) copyFileSync(file, join(target, modules.pathOf(basename(file))));
  for (const list of ['modules.builtin', 'modules.builtin.modinfo', 'modules.order']) {
    writeFileSync(join(target, list), readFileSync(join(source, list)));
  }
  tools.run('kmod', ['-b', join(root, 'usr'), release], { argv0: 'depmod' });
  return {
    release,
    vmlinuz: join(files, 'boot', `vmlinuz-${release}`),
    initrd: ramdisk(packages, source),
    isPatched: patched.length > 0,
  };
}

/** Modules with all they depend on, unpacked, in an order `insmod` can follow. */
export class Modules {
  readonly files = new Map<string, Buffer>();
  private readonly folder: string;
  private readonly paths: Map<string, string>;

  constructor(folder: string) {
    this.folder = folder;
    this.paths = new Map(
      readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .filter((path) => /\.ko(\.xz)?$/.test(path))
        .map((path) => [canonical(basename(path).replace(/\.ko(\.xz)?$/, '')), path]),
    );
  }

  /** Of one that is wanted: where it lies in the root. */
  pathOf(file: string): string {
    const found = [...this.files.keys()].find((path) => basename(path) === file);
    if (found === undefined) throw new Error(`the kernel package holds no ${file}`);
    return found;
  }

  /** Built-in ones are not there, and not wanted then. */
  want(name: string): void {
    const path = this.paths.get(canonical(name));
    if (path === undefined) return;
    const plain = path.replace(/\.xz$/, '');
    if (this.files.has(plain)) return;
    const data = unpack(join(this.folder, path));
    for (const needed of dependsOf(data)) this.want(needed);
    this.files.set(plain, data);
  }
}

function unpack(path: string): Buffer {
  if (!path.endsWith('.xz')) return readFileSync(path);
  const { status, stdout, error } = spawnSync('xz', ['-dc', path], { maxBuffer: 1 << 26 });
  if (status !== 0) throw new Error(`xz ${path}: ${error?.message ?? 'failed'}`);
  return stdout;
}

/** From the module's own .modinfo section: `depends=a,b`, and what it loads by name. */
function dependsOf(module: Buffer): string[] {
  const text = module.toString('latin1');
  const depends = /\0depends=([^\0]*)/.exec(text)?.[1] ?? '';
  const soft = [...text.matchAll(/\0softdep=pre: ([^\0]*)/g)].flatMap(([, list]) =>
    (list as string).split(' '),
  );
  return [...depends.split(','), ...soft].filter((name) => name !== '');
}

function ramdisk(packages: Packages, source: string): Buffer {
  const busybox = readFileSync(join(packages.unpacked('busybox-static'), 'bin/busybox'));
  const modules = new Modules(source);
  for (const name of EARLY) modules.want(name);
  const names = [...modules.files.keys()].map((path) => basename(path));
  const init = `#!/bin/busybox sh
# Finds the slot GRUB chose, by the name of its partition, and goes on from there.
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
for module in ${names.join(' ')}; do /bin/busybox insmod /modules/$module 2>/dev/null; done
slot=$(/bin/busybox sed -n 's/.*rauc\\.slot=\\([AB]\\).*/\\1/p' /proc/cmdline | /bin/busybox tr AB ab)
tries=0
while [ "$tries" -lt 100 ]; do
  for entry in /sys/class/block/*/uevent; do
    if /bin/busybox grep -q "^PARTNAME=system-$slot$" "$entry"; then
      device=$(/bin/busybox sed -n 's/^DEVNAME=//p' "$entry")
      /bin/busybox mount -t squashfs -o ro "/dev/$device" /root && break 2
    fi
  done
  tries=$((tries + 1))
  /bin/busybox usleep 100000
done
/bin/busybox mount --move /dev /root/dev
/bin/busybox umount /sys /proc
exec /bin/busybox switch_root /root /sbin/init
`;
  const directories = ['bin', 'dev', 'modules', 'proc', 'root', 'sys'];
  return cpio([
    ...directories.map((path): CpioEntry => ({ path, kind: 'directory', mode: 0o755 })),
    { path: 'dev/console', kind: 'character-device', mode: 0o600, device: [5, 1] },
    { path: 'init', kind: 'file', mode: 0o755, data: init },
    { path: 'bin/busybox', kind: 'file', mode: 0o755, data: busybox },
    ...[...modules.files].map(
      ([path, data]): CpioEntry => ({
        path: `modules/${basename(path)}`,
        kind: 'file',
        mode: 0o644,
        data,
      }),
    ),
  ]);
}
