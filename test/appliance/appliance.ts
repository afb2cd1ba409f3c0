// The emulated appliance, made when its sources changed.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, TREE } from '../../buildroot/tools/tree.ts';
import { type Disk, makeDisk } from './disk.ts';
import { buildPatchedModules, kernelOf, patchedModules } from './kvm-modules.ts';
import { CACHE, NODE, Packages } from './parts.ts';
import { makeRoot } from './root.ts';
import { Tools } from './tools.ts';

export interface Appliance {
  readonly disk: Disk;
  readonly tools: Tools;
  readonly keys: string;
  /** How it differs from what Buildroot builds, in one line. */
  readonly differences: string;
}

/** `isForHardware`: its KVM has our patch, built where it is not there yet. Once there it is in every image. */
export function appliance(say: (words: string) => void, { isForHardware = false } = {}): Appliance {
  mkdirSync(CACHE, { recursive: true });
  const packages = new Packages();
  if (isForHardware) buildPatchedModules(kernelOf(packages), say);
  const tools = new Tools(packages);
  const keys = join(CACHE, 'test-keys');
  if (!existsSync(join(keys, 'signer.cert.pem')))
    tools.run(join(TREE, 'tools/test-keys.sh'), [keys]);
  const stamp = join(CACHE, 'made');
  const wanted = digestOfSources(packages);
  const made = existsSync(stamp) ? (JSON.parse(readFileSync(stamp, 'utf8')) as Made) : undefined;
  const { disk, release, lacking, isPatched } =
    made?.digest === wanted ? made : make(packages, tools, keys, wanted, stamp, say);
  const version = (name: string): string => packageVersion(packages, name);
  const differences =
    `programs and C library are Debian's (busybox ${version('busybox')}, RAUC ${version('rauc')} as a D-Bus ` +
    `service, GRUB ${version('grub-common')}), the kernel is Debian's generic ${release} with an initial ` +
    `ramdisk instead of ours with everything built in, Node ${NODE.version} is the registry's binary, ` +
    `${lacking.length === 0 ? '' : `${lacking.join(', ')} is missing, `}` +
    `${isPatched ? '' : 'its KVM lacks our patch, '}` +
    'the system log does not rotate, the keys are throw-away ones, and the host has a root shell on the third serial line';
  return { disk, tools, keys, differences };
}

/** Whether the image is there as the sources have it now: then it can be had without an archive. */
export function isAssembled(): boolean {
  const stamp = join(CACHE, 'made');
  if (!existsSync(stamp)) return false;
  return (
    (JSON.parse(readFileSync(stamp, 'utf8')) as Made).digest === digestOfSources(new Packages())
  );
}

interface Made {
  readonly digest: string;
  readonly disk: Disk;
  readonly release: string;
  readonly lacking: readonly string[];
  readonly isPatched: boolean;
}

function make(
  packages: Packages,
  tools: Tools,
  keys: string,
  digest: string,
  stamp: string,
  say: (words: string) => void,
): Made {
  rmSync(stamp, { force: true });
  say('root file system');
  const root = makeRoot(packages, tools, join(keys, 'ca.cert.pem'));
  say('disk image');
  const disk = makeDisk(packages, tools, root, keys);
  const { release, isPatched } = root.kernel;
  const made: Made = { digest, disk, release, isPatched, lacking: root.lacking };
  writeFileSync(stamp, JSON.stringify(made));
  return made;
}

/** Everything of ours that ends up in the image or makes it. */
function digestOfSources(packages: Packages): string {
  const hash = createHash('sha256');
  const parts = [
    'buildroot',
    'test/appliance/rootfs-overlay',
    'dist/firmware',
    'dist/logchan',
    'dist/watchdog',
  ];
  for (const part of [...parts, 'dist/native', 'native/build/Release/twinstep.node']) {
    const folder = join(ROOT, part);
    const files = part.endsWith('.node')
      ? [folder]
      : readdirSync(folder, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile() && !/\.(md|img|gz|map)$/.test(entry.name))
          .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
          .sort();
    for (const file of files) hash.update(file).update(readFileSync(file));
  }
  for (const file of patchedModules(kernelOf(packages))) hash.update(readFileSync(file));
  return hash.digest('hex');
}

function packageVersion(packages: Packages, name: string): string {
  const folder = packages.unpacked(name);
  const copy = join(folder, 'VERSION');
  if (!existsSync(copy)) writeFileSync(copy, packages.versionOf(name));
  return readFileSync(copy, 'utf8');
}
