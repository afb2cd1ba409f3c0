// Which options a kernel of our series has: read from the configuration of a distribution's generic
// kernel, which lists every option it knows, the unset ones too. Debian's package is taken, of the
// series of the defconfig where Debian has it.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Debian, DebianError } from '../../test/guests/linux/debian.ts';
import { ROOT, TREE } from './tree.ts';

export interface KernelConfiguration {
  readonly release: string;
  /** y, m, a number or a string; null: not set. */
  readonly options: ReadonlyMap<string, string | null>;
}

const cache = join(ROOT, '.cache/image');

export function kernelConfiguration(): KernelConfiguration | { skipped: string } {
  try {
    const file = process.env.TWINSTEP_KERNEL_CONFIG ?? debianConfiguration();
    return { release: file.replace(/.*\/config-/, ''), options: parse(readFileSync(file, 'utf8')) };
  } catch (error) {
    if (!(error instanceof DebianError)) throw error;
    return { skipped: `${error.message} (TWINSTEP_KERNEL_CONFIG names a kernel's configuration)` };
  }
}

export function parse(text: string): Map<string, string | null> {
  const options = new Map<string, string | null>();
  for (const line of text.split('\n')) {
    const set = /^(CONFIG_\w+)=(.*)$/.exec(line);
    const unset = /^# (CONFIG_\w+) is not set$/.exec(line);
    if (set !== null) options.set(set[1] as string, set[2] as string);
    if (unset !== null) options.set(unset[1] as string, null);
  }
  return options;
}

/** The package with the generic kernel of our series, else the release's own. */
export function kernelPackage(debian: Debian): string {
  const defconfig = readFileSync(join(TREE, 'configs/twinstep_x86_64_defconfig'), 'utf8');
  const series = /KERNEL_CUSTOM_VERSION_VALUE="(\d+\.\d+)\./.exec(defconfig)?.[1] as string;
  const escaped = series.replace('.', '\\.');
  const number = (name: string): number => Number(/-\d+\.\d+\.(\d+)/.exec(name)?.[1] ?? 0);
  const ours = debian
    .search(`^linux-image-${escaped}[.0-9]+[+a-z0-9-]*-amd64$`)
    .filter((name) => !/cloud|rt|dbg|unsigned/.test(name))
    .sort((a, b) => number(a) - number(b));
  const generic = debian.dependsOn('linux-image-amd64').find((name) => /^linux-image-/.test(name));
  const chosen = ours.at(-1) ?? generic;
  if (chosen === undefined) throw new DebianError('no generic kernel in the package lists');
  return chosen;
}

function debianConfiguration(): string {
  const kept = join(cache, 'kernel-config-path');
  if (existsSync(kept) && existsSync(readFileSync(kept, 'utf8'))) return readFileSync(kept, 'utf8');
  const debian = new Debian(join(cache, 'debian'));
  debian.update();
  const boot = join(debian.unpack(kernelPackage(debian)), 'boot');
  const name = readdirSync(boot).find((file) => file.startsWith('config-'));
  if (name === undefined) throw new DebianError('the kernel package holds no configuration');
  writeFileSync(kept, join(boot, name));
  return join(boot, name);
}
