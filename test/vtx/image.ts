// An initramfs that boots straight into test/vtx/inside.ts: Debian's cloud kernel with its KVM modules
// (or ours), busybox, this host's node with its libraries, the compiled tree and the addon.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { EngineChoice } from '../../firmware/host/engine-kinds.ts';
import { linuxGuest } from '../guests/linux/assemble.ts';
import { type CpioEntry, cpio } from '../guests/linux/cpio.ts';
import { Debian } from '../guests/linux/debian.ts';
import { repoPath } from '../harness/index.ts';
import { buildGuest, GUESTS } from '../softcpu/guest.ts';
import { BOARDS_PREPARED, boardsCommand, equipForBoards } from './boards-image.ts';
import type { BoardsPlan } from './boards-plan.ts';
import { COUNTER_PROGRAM, counterProgram } from './counters.ts';
import { TIMELESS } from './plant.ts';
import { provokingAddon } from './provoke.ts';

export interface VtxImage {
  readonly kernel: string;
  readonly initrd: string;
  readonly release: string;
}

export interface ImageOptions {
  /** kvm_amd or kvm_intel. */
  readonly module: 'kvm-amd' | 'kvm-intel';
  /** For that module: `npt=0`. */
  readonly parameters?: string | undefined;
  /** How much the tests do: 1 is usual. */
  readonly scale: number;
  /** The emulator's name, whose own errors are known. */
  readonly emulator: string;
  /** A regular expression for the tests to run. */
  readonly only: string;
  /** An unmodified Linux on this engine (linux.ts) instead of the tests. */
  readonly linux?: EngineChoice | undefined;
  /** The same, recorded for so many thousand positions and replayed (linux-log.ts). */
  readonly linuxLog?: number | undefined;
  /** Pairs of `twinstep board` (boards.ts) instead of the tests. */
  readonly boards?: BoardsPlan | undefined;
  /** KVM keeps page tables of its own (ept=0, npt=0), as the appliance has it. */
  readonly shadow?: boolean | undefined;
  /** What kernel/build-modules.sh left; Debian's own modules when left out. */
  readonly modules?: string | undefined;
}

/** The test harness; a board's serial lines, which nobody opens here but who is imported all the same. */
const PACKAGES = ['uvu', 'serialport'];
const APPLETS = ['sh', 'mount', 'insmod', 'poweroff', 'mkdir', 'cat', 'echo', 'reboot', 'sync'];

/** Where the kernel has them, and not built in. */
const NEEDED_BY_KVM: readonly string[] = ['irqbypass', 'ccp'];

const LINUX = { kernel: '/linux/vmlinuz', initrd: '/linux/initrd.cpio' };

export function vtxImage(options: ImageOptions, say: (line: string) => void): VtxImage {
  const folder = repoPath('.cache/vtx');
  mkdirSync(folder, { recursive: true });
  const debian = new Debian(join(folder, 'debian'));
  say('package lists');
  debian.update();
  const release = kernelPackage(debian, options.modules);
  say(`kernel ${release}`);
  const files = debian.unpack(release);
  const busybox = join(debian.unpack('busybox-static'), 'bin/busybox');
  const boot = join(files, 'boot');
  const vmlinuz = readdirSync(boot).find((name) => name.startsWith('vmlinuz-')) ?? '';
  const initrd = join(folder, `${options.emulator}.cpio`);
  writeFileSync(initrd, cpio(contents(files, busybox, options)));
  return { kernel: join(boot, vmlinuz), initrd, release: release.replace('linux-image-', '') };
}

/** Debian's cloud kernel, or the one our own modules were built for. */
function kernelPackage(debian: Debian, modules: string | undefined): string {
  if (modules !== undefined)
    return `linux-image-${readFileSync(join(modules, 'kernel'), 'utf8').trim()}`;
  const found = debian
    .dependsOn('linux-image-cloud-amd64')
    .find((name) => name.startsWith('linux-image-'));
  if (found === undefined) throw new Error('no cloud kernel among the packages');
  return found;
}

function contents(kernelFiles: string, busybox: string, options: ImageOptions): CpioEntry[] {
  const tree = new Tree();
  tree.file('/bin/busybox', readFileSync(busybox), 0o755);
  for (const name of APPLETS) tree.link(`/bin/${name}`, 'busybox');
  tree.file('/init', init(options), 0o755);
  for (const [name, path] of modules(kernelFiles, options))
    tree.file(`/modules/${name}`, unpacked(path));
  for (const path of [process.execPath, ...librariesOf(process.execPath), ...librariesOf(addon())])
    tree.file(path, readFileSync(path), 0o755);
  tree.file('/twinstep/package.json', readFileSync(repoPath('package.json')));
  tree.file('/twinstep/native/build/Release/twinstep.node', readFileSync(addon()), 0o755);
  tree.folder('dist', /\.js$/);
  for (const name of withDependencies(PACKAGES))
    tree.folder(`node_modules/${name}`, /\.(m?js|cjs|json)$|linux-x64\/.*glibc\.node$/);
  // Guests are compiled here; in there their sources only prove that they are the same.
  for (const path of [
    ...[...GUESTS, 'plc', 'aging'].map((name) => buildGuest(name)),
    buildGuest('plc', TIMELESS),
    provokingAddon(),
  ])
    tree.file(inTree(path), readFileSync(path));
  tree.file(COUNTER_PROGRAM, readFileSync(counterProgram()), 0o755);
  if (options.linux !== undefined) {
    const { kernel, initrd } = linuxGuest();
    tree.file(LINUX.kernel, readFileSync(kernel));
    tree.file(LINUX.initrd, readFileSync(initrd));
  }
  tree.folder('test/guests/metal', /\.(c|S|h|ld)$/);
  if (options.boards !== undefined) equipForBoards(tree, kernelFiles, options.boards);
  tree.file('/twinstep/test/vtx/provoke.c', readFileSync(repoPath('test/vtx/provoke.c')));
  return tree.entries();
}

function withDependencies(names: readonly string[], known = new Set<string>()): Set<string> {
  for (const name of names) {
    if (known.has(name)) continue;
    known.add(name);
    const { dependencies = {} } = JSON.parse(
      readFileSync(repoPath(`node_modules/${name}/package.json`), 'utf8'),
    ) as { dependencies?: Record<string, string> };
    withDependencies(Object.keys(dependencies), known);
  }
  return known;
}

const addon = () => repoPath('native/build/Release/twinstep.node');
export const inTree = (path: string) =>
  `/twinstep${path.slice(repoPath('.').replace(/\/$/, '').length)}`;

export class Tree {
  private readonly found = new Map<string, CpioEntry>();

  file(path: string, data: Uint8Array | string, mode = 0o644): void {
    this.add({ path: path.slice(1), kind: 'file', mode, data });
  }

  link(path: string, data: string): void {
    this.add({ path: path.slice(1), kind: 'symlink', mode: 0o777, data });
  }

  /** All files below a folder of the checkout whose names match. */
  folder(name: string, pattern: RegExp): void {
    const root = repoPath(name);
    for (const path of readdirSync(root, { recursive: true, encoding: 'utf8' }))
      if (pattern.test(path))
        this.file(`/twinstep/${name}/${path}`, readFileSync(join(root, path)));
  }

  entries(): CpioEntry[] {
    const device: CpioEntry = {
      path: 'dev/console',
      kind: 'character-device',
      mode: 0o600,
      device: [5, 1],
    };
    this.add(device);
    for (const path of ['proc', 'sys', 'tmp']) this.directory(path);
    const depth = (path: string) => path.split('/').length;
    return [...this.found.values()].sort((a, b) => depth(a.path) - depth(b.path));
  }

  private add(entry: CpioEntry): void {
    this.directory(dirname(entry.path));
    this.found.set(entry.path, entry);
  }

  private directory(path: string): void {
    if (path === '.' || this.found.has(path)) return;
    this.directory(dirname(path));
    this.found.set(path, { path, kind: 'directory', mode: 0o755 });
  }
}

function scriptOf({ scale, emulator, only, linux, linuxLog, boards }: ImageOptions): string {
  if (boards !== undefined) return boardsCommand(boards);
  if (linux === undefined) return `inside.js ${scale} ${emulator} '${only}'`;
  const guest = `${LINUX.kernel} ${LINUX.initrd}`;
  if (linuxLog === undefined) return `linux.js ${linux} ${guest} ${emulator} ${scale}`;
  const kind = linux === 'vtx' ? 'vtx-branches' : linux;
  return `linux-log.js ${kind} ${guest} ${linuxLog}`;
}

const SHADOW = { 'kvm-amd': 'npt=0', 'kvm-intel': 'ept=0' };

function init(options: ImageOptions): string {
  const { module, boards, shadow } = options;
  const parameters = options.parameters ?? (shadow === true ? SHADOW[module] : '');
  return `#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for m in ${NEEDED_BY_KVM.join(' ')} kvm; do
  [ ! -e /modules/$m.ko ] || insmod /modules/$m.ko || echo "not ok - insmod $m"
done
insmod /modules/${module}.ko ${parameters} || echo "not ok - insmod ${module}"
${boards === undefined ? '' : BOARDS_PREPARED}echo "# begin"
cd /twinstep
${process.execPath} --max-old-space-size=300 --expose-gc dist/test/vtx/${scriptOf(options)} 2>&1
echo "# end $?"
sync
poweroff -f
reboot -f
`;
}

function modules(kernelFiles: string, options: ImageOptions): [string, string][] {
  const root = join(kernelFiles, 'lib/modules');
  const paths = readdirSync(root, { recursive: true, encoding: 'utf8' });
  return [...NEEDED_BY_KVM, 'kvm', options.module].flatMap((name): [string, string][] => {
    const isNeeded = NEEDED_BY_KVM.includes(name);
    if (options.modules !== undefined && !isNeeded)
      return [[`${name}.ko`, join(options.modules, `${name}.ko`)]];
    const path = paths.find((one) => new RegExp(`/${name}\\.ko(\\.xz)?$`).test(one));
    if (path !== undefined) return [[`${name}.ko`, join(root, path)]];
    if (isNeeded) return [];
    throw new Error(`the kernel package holds no ${name}.ko`);
  });
}

/** Newer kernels come with compressed modules. */
function unpacked(path: string): Uint8Array {
  if (!path.endsWith('.xz')) return readFileSync(path);
  return spawnSync('xz', ['-dc', path], { maxBuffer: 1 << 26 }).stdout;
}

export function librariesOf(program: string): string[] {
  const { stdout } = spawnSync('ldd', [program], { encoding: 'utf8' });
  return [...stdout.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1] as string);
}
