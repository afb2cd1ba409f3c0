// A Linux guest from Debian packages: the cloud kernel as it is, the modules it needs to see virtio
// devices, busybox, and our init. Made once, reused until its own sources change.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CpioEntry, cpio } from './cpio.ts';
import { Debian } from './debian.ts';

export interface LinuxGuest {
  kernel: string;
  initrd: string;
  /** The kernel package, with its version. */
  release: string;
  /** Debian's busybox, which runs on the host as well. */
  busybox: string;
}

/** What the guest must be able to load; what these depend on comes along. */
const MODULES = ['virtio_pci', 'virtio_blk', 'virtio_net', 'virtio-rng', 'virtio_console'];
const KERNEL = 'linux-image-cloud-amd64';
const BUSYBOX = 'debian/files/busybox-static/bin/busybox';
const FORMAT = '1';

const root = fileURLToPath(new URL('../../../../', import.meta.url));
const cache = join(root, '.cache/guest-linux');
const sources = join(root, 'test/guests/linux');

/** The guest, assembled when it is not there yet. Throws DebianError with what is missing. */
export function linuxGuest(say: (line: string) => void = () => {}): LinuxGuest {
  const guest = {
    kernel: join(cache, 'vmlinuz'),
    initrd: join(cache, 'initrd.cpio'),
    release: join(cache, 'release'),
  };
  const stamp = join(cache, 'stamp');
  const wanted = digestOfSources();
  const ready = Object.values(guest).every(existsSync) && existsSync(stamp);
  if (!ready || readFileSync(stamp, 'utf8') !== wanted) {
    const release = assemble(guest.kernel, guest.initrd, say);
    writeFileSync(guest.release, release);
    writeFileSync(stamp, wanted);
  }
  const busybox = join(cache, BUSYBOX);
  return { ...guest, release: readFileSync(guest.release, 'utf8'), busybox };
}

function assemble(kernel: string, initrd: string, say: (line: string) => void): string {
  mkdirSync(cache, { recursive: true });
  const debian = new Debian(join(cache, 'debian'));
  say('package lists');
  debian.update();
  const image = debian.dependsOn(KERNEL).find((name) => name.startsWith('linux-image-'));
  if (image === undefined) throw new Error(`${KERNEL} names no kernel package`);
  say(`kernel ${image}`);
  const kernelFiles = debian.unpack(image);
  say('busybox-static');
  const busybox = readFileSync(join(debian.unpack('busybox-static'), 'bin/busybox'));

  const boot = join(kernelFiles, 'boot');
  const vmlinuz = readdirSync(boot).find((file) => file.startsWith('vmlinuz-'));
  if (vmlinuz === undefined) throw new Error(`${image} holds no vmlinuz`);
  writeFileSync(kernel, readFileSync(join(boot, vmlinuz)));
  writeFileSync(initrd, cpio(initramfs(busybox, modulesOf(kernelFiles))));
  return image.replace('linux-image-', '');
}

function initramfs(busybox: Buffer, modules: { name: string; data: Buffer }[]): CpioEntry[] {
  const directories = ['bin', 'dev', 'modules', 'proc', 'scripts', 'sys'];
  const applets = appletsOf(busybox).map(
    (name): CpioEntry => ({ path: `bin/${name}`, kind: 'symlink', mode: 0o777, data: 'busybox' }),
  );
  const scripts = scriptNames().map(
    (name): CpioEntry => file(`scripts/${name}`, readFileSync(join(sources, 'scripts', name))),
  );
  return [
    ...directories.map((path): CpioEntry => ({ path, kind: 'directory', mode: 0o755 })),
    { path: 'dev/console', kind: 'character-device', mode: 0o600, device: [5, 1] },
    file('init', readFileSync(join(sources, 'init')), 0o755),
    file('bin/busybox', busybox, 0o755),
    ...applets,
    ...scripts,
    file('modules/order', `${modules.map(({ name }) => name).join('\n')}\n`),
    ...modules.map(({ name, data }) => file(`modules/${name}`, data)),
  ];
}

function file(path: string, data: Uint8Array | string, mode = 0o644): CpioEntry {
  return { path, kind: 'file', mode, data };
}

/** The commands our scripts use, each checked to be in this busybox. */
function appletsOf(busybox: Buffer): string[] {
  const used =
    `awk cat cttyhack date dd echo find grep gunzip gzip head hexdump insmod ip ln ls md5sum mkdir
    mke2fs mount nc ping poweroff ps reboot rm seq setsid sh sha256sum sleep sort stty sync top true umount
    uname uptime vi wc wget xxd`.split(/\s+/);
  const missing = used.filter((name) => !busybox.includes(`\0${name}\0`));
  if (missing.length > 0) throw new Error(`busybox lacks ${missing.join(', ')}`);
  return used;
}

/** The modules with all they depend on, in an order `insmod` can follow. */
function modulesOf(kernelFiles: string): { name: string; data: Buffer }[] {
  const modules = join(kernelFiles, 'lib/modules');
  const paths = new Map(
    readdirSync(modules, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ko'))
      .map((path) => [canonical(basename(path, '.ko')), join(modules, path)]),
  );
  const ordered = new Map<string, Buffer>();
  const add = (name: string): void => {
    const path = paths.get(canonical(name));
    if (path === undefined || ordered.has(basename(path))) return;
    const data = readFileSync(path);
    for (const needed of dependsOf(data)) add(needed);
    ordered.set(basename(path), data);
  };
  for (const name of MODULES) add(name);
  return [...ordered].map(([name, data]) => ({ name, data }));
}

/** From the module's own .modinfo section: `depends=a,b`. */
function dependsOf(module: Buffer): string[] {
  const at = module.indexOf('\0depends=');
  if (at < 0) return [];
  const start = at + '\0depends='.length;
  const list = module.toString('latin1', start, module.indexOf(0, start));
  return list === '' ? [] : list.split(',');
}

const canonical = (name: string): string => name.replaceAll('-', '_');

function scriptNames(): string[] {
  return readdirSync(join(sources, 'scripts'))
    .filter((name) => !name.endsWith('.md'))
    .sort();
}

function digestOfSources(): string {
  const hash = createHash('sha256').update(FORMAT).update(MODULES.join());
  const scripts = scriptNames().map((name) => join('scripts', name));
  for (const name of ['init', 'assemble.ts', 'cpio.ts', ...scripts]) {
    hash.update(name).update(readFileSync(join(sources, name)));
  }
  return hash.digest('hex');
}
