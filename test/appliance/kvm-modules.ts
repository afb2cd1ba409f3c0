// KVM with our patch for the emulated appliance's kernel. The real image has it in its kernel; here that is
// Debian's, so the modules alone are built against its headers (test/vtx/kernel), once and on demand:
// a guest on the hardware engine needs them, the software engine does not.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { kernelPackage } from '../../buildroot/tools/kernel-config.ts';
import { ROOT } from '../../buildroot/tools/tree.ts';
import { CACHE, type Packages } from './parts.ts';

const FOLDER = join(CACHE, 'kvm-modules');
const SCRIPT = join(ROOT, 'test/vtx/kernel/build-modules.sh');
const PATCHES = [join(ROOT, 'buildroot/patches/linux'), join(ROOT, 'test/vtx/kernel')];
const NAMES = ['kvm', 'kvm-amd', 'kvm-intel'] as const;

/** The package with the appliance's kernel. */
export const kernelOf = (packages: Packages): string => packages.chosen('kernel', kernelPackage);

/** The files, where they were built for this kernel by the patch as it is now; else none. */
export function patchedModules(kernel: string): readonly string[] {
  const stamp = join(FOLDER, 'stamp');
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== stampOf(kernel)) return [];
  return NAMES.map((name) => join(FOLDER, `${name}.ko`));
}

/** Takes minutes. Throws in the script's last words. */
export function buildPatchedModules(kernel: string, say: (words: string) => void): void {
  if (patchedModules(kernel).length > 0) return;
  say('KVM modules with our patch: some minutes');
  rmSync(FOLDER, { recursive: true, force: true });
  const release = kernel.replace('linux-image-', '');
  const { status, stderr } = spawnSync('sh', [SCRIPT, FOLDER, release], {
    ...{ encoding: 'utf8', maxBuffer: 1 << 28 },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  if (status !== 0) throw new Error(`${SCRIPT}: ${stderr.trim().split('\n').slice(-6).join('\n')}`);
  // Headers and objects: 2 GB that nobody asks for again.
  for (const name of ['tree', 'debs']) rmSync(join(FOLDER, name), { recursive: true, force: true });
  writeFileSync(join(FOLDER, 'stamp'), stampOf(kernel));
}

const patchesIn = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.patch'))
    .sort()
    .map((name) => join(folder, name));

function stampOf(kernel: string): string {
  const hash = createHash('sha256').update(kernel);
  for (const file of [SCRIPT, ...PATCHES.flatMap(patchesIn)]) hash.update(readFileSync(file));
  return hash.digest('hex');
}
