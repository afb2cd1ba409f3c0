// What the image of image.ts needs besides for pairs of `twinstep board` (boards.ts): network namespaces and the
// programs that make them, modules of network devices, the firmware's packages, a guest, and a terminal for
// the serial cable.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { Modules } from '../appliance/kernel.ts';
import { plantGuest } from '../guests/plant/plant.ts';
import { repoPath } from '../harness/index.ts';
import { buildGuest } from '../softcpu/guest.ts';
import { WIRES, wire } from '../twin/wire.ts';
import { type BoardsPlan, SMALL_HZ } from './boards-plan.ts';
import { inTree, librariesOf, type Tree } from './image.ts';

/** Which busybox lacks, or with options it does not know. */
const PROGRAMS = ['nice', 'ip', 'setpriv', 'unshare', 'nsenter', 'prlimit', 'mke2fs', 'e2fsck'];
const APPLETS = ['dd', 'rm', 'kill', 'true', 'umount', 'mknod', 'grep', 'sleep', 'ls'];
const MODULES = ['tun', 'veth', 'bridge', 'macvlan', 'af_packet'];
const GUEST = { kernel: '/linux/vmlinuz', initrd: '/linux/plant.cpio' } as const;

export function equipForBoards(tree: Tree, kernelFiles: string, { guest }: BoardsPlan): void {
  for (const name of PROGRAMS) {
    const { stdout } = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' });
    const path = stdout.trim();
    if (path === '') throw new Error(`this machine has no ${name}`);
    for (const file of [path, ...librariesOf(path)]) tree.file(file, readFileSync(file), 0o755);
  }
  for (const name of APPLETS) tree.link(`/bin/${name}`, 'busybox');
  const modules = new Modules(kernelFiles);
  for (const name of MODULES) modules.want(name);
  const order = [...modules.files].map(([path, data]) => {
    tree.file(`/modules/${basename(path)}`, data);
    return basename(path);
  });
  tree.file('/modules/order', `${order.join('\n')}\n`);
  for (const name of packages()) tree.folder(name, /\.(m?js|cjs|json|node)$/);
  // Compiled here; there their sources only prove that they are the same.
  for (const file of [...WIRES.map(wire), buildGuest('plc', SMALL_HZ)])
    tree.file(inTree(file), readFileSync(file), 0o755);
  tree.folder('test/twin/wires', /\.c$/);
  if (guest === 'small') return;
  const { kernel, initrd } = plantGuest();
  tree.file(GUEST.kernel, readFileSync(kernel));
  tree.file(GUEST.initrd, readFileSync(initrd ?? ''));
}

/** Behind `node dist/test/vtx/`, with what must be there before it. */
export function boardsCommand({ engine, guest, rounds }: BoardsPlan): string {
  if (guest === 'cost') return `cost.js ${engine} ${GUEST.kernel} ${GUEST.initrd}`;
  return `boards.js ${engine} ${guest} ${rounds} ${GUEST.kernel} ${GUEST.initrd}`;
}

export const BOARDS_PREPARED = `export PATH=/usr/sbin:/usr/bin:/sbin:/bin TWINSTEP_NETNS=1
for m in $(cat /modules/order); do insmod /modules/$m || echo "not ok - insmod $m"; done
mkdir -p /dev/pts && mount -t devpts devpts /dev/pts
mount -t tmpfs tmp /tmp
mount -t tracefs trace /sys/kernel/tracing
`;

/** The firmware's own, as the lock file has them. */
function packages(): string[] {
  const lock = JSON.parse(readFileSync(repoPath('package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean }>;
  };
  return Object.entries(lock.packages)
    .filter(([name, { dev }]) => name !== '' && dev !== true && existsSync(repoPath(name)))
    .map(([name]) => name);
}
