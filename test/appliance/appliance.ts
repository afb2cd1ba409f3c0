// The emulated appliance, made when its sources changed.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TREE } from '../../buildroot/tools/tree.ts';
import { type Disk, makeDisk } from './disk.ts';
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

export function appliance(say: (words: string) => void): Appliance {
  mkdirSync(CACHE, { recursive: true });
  const packages = new Packages();
  const tools = new Tools(packages);
  const keys = join(CACHE, 'test-keys');
  if (!existsSync(join(keys, 'signer.cert.pem')))
    tools.run(join(TREE, 'tools/test-keys.sh'), [keys]);
  say('root file system');
  const root = makeRoot(packages, tools, join(keys, 'ca.cert.pem'));
  say('disk image');
  const disk = makeDisk(packages, tools, root, keys);
  const version = (name: string): string => packageVersion(packages, name);
  const differences =
    `programs and C library are Debian's (busybox ${version('busybox')}, RAUC ${version('rauc')} as a D-Bus ` +
    `service, GRUB ${version('grub-common')}), the kernel is Debian's generic ${root.kernel.release} with an initial ` +
    `ramdisk instead of ours with everything built in, Node ${NODE.version} is the registry's binary, ` +
    `${root.lacking.length === 0 ? '' : `${root.lacking.join(', ')} is missing, `}` +
    'the system log does not rotate, the keys are throw-away ones, and S99report tells the host about the board';
  return { disk, tools, keys, differences };
}

function packageVersion(packages: Packages, name: string): string {
  const folder = packages.unpacked(name);
  const copy = join(folder, 'VERSION');
  if (!existsSync(copy)) writeFileSync(copy, packages.versionOf(name));
  return readFileSync(copy, 'utf8');
}
