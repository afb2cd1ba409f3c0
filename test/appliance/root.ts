// The root file system as a folder: Buildroot's part (programs, libraries, users, skeleton) out of
// Debian packages, then exactly what the real build does: overlay, firmware, tables, post-build.sh.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { stageSource } from '../../buildroot/tools/source.ts';
import { optionsOf, ROOT, TREE } from '../../buildroot/tools/tree.ts';
import { installKernel, type Kernel } from './kernel.ts';
import { CACHE, nodeRuntime, type Packages } from './parts.ts';
import type { Tools } from './tools.ts';

const BOARD = join(TREE, 'board/twinstep');

/** Package, and the programs of it that the image has. */
const PROGRAMS: readonly [name: string, ...paths: string[]][] = [
  ['busybox', 'bin/busybox'],
  ['util-linux', 'usr/bin/setpriv', 'sbin/blkid', 'usr/bin/partx'],
  ['fdisk', 'sbin/sfdisk'],
  ['e2fsprogs', 'sbin/e2fsck', 'sbin/resize2fs'],
  ['iproute2', 'bin/ip'],
  ['grub-common', 'usr/bin/grub-editenv'],
  ['rauc', 'usr/bin/rauc'],
  ['dbus-daemon', 'usr/bin/dbus-daemon'],
];
const LIBRARIES =
  `libc6 libstdc++6 libgcc-s1 libcap-ng0 libblkid1 libuuid1 libsmartcols1 libfdisk1 libmount1
  libselinux1 libpcre2-8-0 libtinfo6 libreadline8 libext2fs2 libcom-err2 libss2 libbpf1 libelf1 zlib1g libmnl0 libcap2
  libbsd0 libmd0 libtirpc3 libdb5.3 libxtables12 libdevmapper1.02.1 libudev1 liblzma5 libzstd1 libglib2.0-0 libffi8
  libssl3 libjson-glib-1.0-0 libcurl3-gnutls libnghttp2-14 libidn2-0 librtmp1 libssh2-1 libpsl5 libnettle8 libgnutls30
  libgssapi-krb5-2 libldap-2.5-0 libbrotli1 libunistring2 libhogweed6 libgmp10 libp11-kit0 libtasn1-6 libkrb5-3 libk5crypto3
  libkrb5support0 libkeyutils1 libsasl2-2 libdbus-1-3 libexpat1 libsystemd0 libapparmor1 libaudit1 libgcrypt20
  libgpg-error0 liblz4-1 libefivar1 libcrypt1 libnl-3-200 libnl-genl-3-200`.split(/\s+/);
const SYSTEM_GROUPS = { root: 0, daemon: 1, tty: 5, disk: 6, dialout: 18, messagebus: 990 };

export interface Root {
  readonly folder: string;
  readonly kernel: Kernel;
  /** Applets our scripts may use that this BusyBox lacks. */
  readonly lacking: readonly string[];
}

export function makeRoot(packages: Packages, tools: Tools, keyring: string): Root {
  const root = join(CACHE, 'root');
  rmSync(root, { recursive: true, force: true });
  skeleton(root);
  installPrograms(packages, root);
  const lacking = linkApplets(root);
  installFirmware(tools, root);
  const kernel = installKernel(packages, tools, root);
  copyFileSync(kernel.vmlinuz, join(root, 'boot/bzImage'));
  writeFileSync(join(root, 'boot/initrd'), kernel.initrd);

  const overlays = [join(ROOT, 'test/appliance/rootfs-overlay'), join(BOARD, 'rootfs-overlay')];
  for (const overlay of overlays) cpSync(overlay, root, { recursive: true });
  writeUsers(root);
  runPostBuild(packages, tools, root, keyring);
  applyDeviceTable(root);
  return { folder: root, kernel, lacking };
}

function skeleton(root: string): void {
  const folders = `boot dev etc proc root run sys tmp usr/bin usr/sbin usr/lib usr/libexec var/lib var/cache mnt`;
  for (const folder of folders.split(' ')) mkdirSync(join(root, folder), { recursive: true });
  const links = {
    bin: 'usr/bin',
    sbin: 'usr/sbin',
    lib: 'usr/lib',
    lib64: 'usr/lib',
    'usr/lib64': 'lib',
    'var/run': '../run',
    'var/lock': '../run/lock',
    'var/log': '../tmp',
    'var/tmp': '../tmp',
  };
  for (const [link, target] of Object.entries(links)) symlinkSync(target, join(root, link));
  writeFileSync(join(root, 'etc/hostname'), 'twinstep\n');
  writeFileSync(join(root, 'etc/hosts'), '127.0.0.1 localhost\n');
  // mount of BusyBox looks here.
  symlinkSync('/proc/mounts', join(root, 'etc/mtab'));
}

function installPrograms(packages: Packages, root: string): void {
  const programs = PROGRAMS.flatMap(([name, ...paths]) => {
    const files = packages.unpacked(name);
    return paths.map((path) => {
      const target = join(root, path.startsWith('usr') ? path : `usr/${path}`);
      copyFileSync(join(files, path), target);
      chmodSync(target, 0o755);
      return target;
    });
  });
  const node = join(root, 'usr/bin/node');
  copyFileSync(join(nodeRuntime(), 'bin/node'), node);
  chmodSync(node, 0o755);
  for (const [name, path] of packages.librariesOf([...programs, node], LIBRARIES)) {
    copyFileSync(path, join(root, 'usr/lib', name));
  }
}

/** A link for each applet the real BusyBox has; what our fragment switches off stays off. */
function linkApplets(root: string): string[] {
  const text = readFileSync(join(BOARD, 'busybox.fragment'), 'utf8');
  const options = optionsOf({ path: 'busybox.fragment', text, isExecutable: false });
  const off = new Set(
    options
      .filter(({ value }) => value === null)
      .map(({ name }) => name.replace('CONFIG_', '').toLowerCase()),
  );
  const never = new Set([...off, 'httpd', 'nc', 'ftpd', 'telnetd', 'tftpd']);
  const busybox = join(root, 'usr/bin/busybox');
  const { stdout } = spawnSync(busybox, ['--list-full'], { encoding: 'utf8' });
  const applets = stdout
    .trim()
    .split('\n')
    .map((path) => path.replace(/^(usr\/)?/, 'usr/'));
  for (const path of applets) {
    const name = basename(path);
    const isThere = ['usr/bin', 'usr/sbin'].some((folder) => existsSync(join(root, folder, name)));
    if (never.has(name) || isThere) continue;
    symlinkSync(
      '/bin/busybox',
      join(root, path.startsWith('usr/linuxrc') ? 'usr/bin/linuxrc' : path),
    );
  }
  const on = options
    .filter(({ value }) => value === 'y')
    .map(({ name }) => name.replace('CONFIG_', '').toLowerCase());
  const names = new Set(applets.map((path) => basename(path)));
  return on.filter((name) => !name.startsWith('feature_') && !names.has(name));
}

/** As package/twinstep does it: the source archive's content, addons built for this Node, install.mjs. */
function installFirmware(tools: Tools, root: string): void {
  const stage = stageSource(join(CACHE, 'emulated-source'));
  const headers = nodeRuntime();
  const gyp = join(ROOT, 'node_modules/node-gyp/bin/node-gyp.js');
  // Our own addon speaks N-API: the one of this checkout runs under the image's Node as well.
  const addon = 'native/build/Release/twinstep.node';
  mkdirSync(join(stage, 'native/build/Release'), { recursive: true });
  copyFileSync(join(ROOT, addon), join(stage, addon));
  for (const name of ['@serialport/bindings-cpp', 'raw-socket']) {
    const kept = join(CACHE, 'addons', name);
    const folder = join(stage, 'node_modules', name);
    const version = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version;
    const stamp = join(kept, 'stamp');
    const wanted = `${version} ${headers}`;
    if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
      tools.run(process.execPath, [gyp, 'rebuild', '--release', `--nodedir=${headers}`], {
        cwd: folder,
      });
      rmSync(kept, { recursive: true, force: true });
      cpSync(join(folder, 'build/Release'), join(kept, 'Release'), { recursive: true });
      writeFileSync(stamp, wanted);
    }
    cpSync(join(kept, 'Release'), join(folder, 'build/Release'), { recursive: true });
  }
  const install = join(TREE, 'package/twinstep/install.mjs');
  tools.run(process.execPath, [install, stage, join(root, 'usr/lib/twinstep')]);
  copyFileSync(join(TREE, 'package/twinstep/twinstep.sh'), join(root, 'usr/bin/twinstep'));
}

/** Buildroot's users table, as Buildroot reads it: name uid group gid password home shell groups comment. */
function writeUsers(root: string): void {
  const groups = new Map<string, { gid: number; members: string[] }>(
    Object.entries(SYSTEM_GROUPS).map(([name, gid]) => [name, { gid, members: [] }]),
  );
  const passwd = ['root:x:0:0:root:/root:/bin/false', 'messagebus:x:990:990:D-Bus:/:/bin/false'];
  const rows = readFileSync(join(BOARD, 'users_table.txt'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map(
      (line) =>
        line.split(/\s+/) as [string, string, string, string, string, string, string, string],
    );
  for (const [, , group, gid] of rows) groups.set(group, { gid: Number(gid), members: [] });
  for (const [name, uid, , gid, , home, , others] of rows) {
    if (name === '-') continue;
    passwd.push(`${name}:x:${uid}:${gid}:${name}:${home === '-' ? '/' : home}:/bin/false`);
    for (const other of others === '-' ? [] : others.split(','))
      groups.get(other)?.members.push(name);
  }
  const group = [...groups].map(
    ([name, { gid, members }]) => `${name}:x:${gid}:${members.join(',')}`,
  );
  const shadow = passwd.map((line) => `${line.split(':')[0]}:*:::::::`);
  writeFileSync(join(root, 'etc/passwd'), `${passwd.join('\n')}\n`);
  writeFileSync(join(root, 'etc/group'), `${group.join('\n')}\n`);
  writeFileSync(join(root, 'etc/shadow'), `${shadow.join('\n')}\n`, { mode: 0o600 });
}

function runPostBuild(packages: Packages, tools: Tools, root: string, keyring: string): void {
  const images = join(CACHE, 'images');
  rmSync(images, { recursive: true, force: true });
  mkdirSync(images, { recursive: true });
  const grub = join(root, 'usr/lib/grub/i386-pc');
  mkdirSync(grub, { recursive: true });
  copyFileSync(
    join(packages.unpacked('grub-pc-bin'), 'usr/lib/grub/i386-pc/boot.img'),
    join(grub, 'boot.img'),
  );
  tools.run('sh', [join(BOARD, 'post-build.sh'), root], {
    env: { BR2_CONFIG: '/dev/null', BINARIES_DIR: images, TWINSTEP_KEYRING: keyring },
  });
}

/** Owners are all root (mksquashfs); here are the modes. */
function applyDeviceTable(root: string): void {
  const table = readFileSync(join(BOARD, 'device_table.txt'), 'utf8');
  for (const line of table.split('\n')) {
    const [path = '', type, mode = ''] = line.split(/\s+/);
    if (!path.startsWith('/')) continue;
    const at = join(root, path);
    const bits = Number.parseInt(mode, 8);
    if (type === 'r') {
      for (const entry of readdirSync(at, { recursive: true, encoding: 'utf8' })) {
        if (lstatSync(join(at, entry)).isFile()) chmodSync(join(at, entry), bits);
      }
    } else if (existsSync(at)) {
      chmodSync(at, bits);
    }
  }
}
