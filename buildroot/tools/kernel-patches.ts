// Do our patches of the kernel still apply, as Buildroot applies them: without fuzz? Tried on the sources
// Debian has of the same series, of which only the files the patches touch are kept. The kernel of the
// defconfig itself comes from kernel.org while Buildroot builds, and is tried then.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Debian, DebianError } from '../../test/guests/linux/debian.ts';
import type { Result } from './result.ts';
import { ROOT, TREE } from './tree.ts';

interface Patch {
  readonly path: string;
  readonly series: string;
}

/** Of the image, and the variants for the older kernel that is tried in emulated machines. */
function patches(): Patch[] {
  const defconfig = readFileSync(join(TREE, 'configs/twinstep_x86_64_defconfig'), 'utf8');
  const series = /KERNEL_CUSTOM_VERSION_VALUE="(\d+\.\d+)\./.exec(defconfig)?.[1] as string;
  const folder = join(TREE, 'patches/linux');
  const own = readdirSync(folder)
    .filter((name) => name.endsWith('.patch'))
    .sort()
    .map((name) => ({ path: join(folder, name), series }));
  const older = ['rdtsc-exit-6.1.patch', 'tables-follow-6.1.patch'];
  return [
    ...own,
    ...older.map((name) => ({ path: join(ROOT, 'test/vtx/kernel', name), series: '6.1' })),
  ];
}

export function kernelPatches(): Result {
  try {
    const tried = patches().map((patch) => tryOn(patch, sourceOf(patch)));
    return {
      findings: tried.flatMap(({ findings }) => findings),
      words: tried.map(({ words }) => words).join(', '),
    };
  } catch (error) {
    if (!(error instanceof DebianError)) throw error;
    return { skipped: `${error.message} (Debian's linux-source packages are needed)` };
  }
}

interface Source {
  readonly folder: string;
  readonly version: string;
}

function tryOn({ path, series }: Patch, { folder, version }: Source): Tried {
  const args = ['--dry-run', '-F0', '-g0', '-p1', '-t', '-N', '-d', folder, '-i', path];
  const run = spawnSync('patch', args, { encoding: 'utf8' });
  const why = run.error?.message ?? run.stdout.trim();
  const findings = run.status === 0 ? [] : [`${path} on linux-source-${series} ${version}: ${why}`];
  return { findings, words: `linux ${version}` };
}

interface Tried {
  readonly findings: readonly string[];
  readonly words: string;
}

/** The files a patch touches, as Debian has them; fetched again when the patch touches others. */
function sourceOf({ path, series }: Patch): Source {
  const files = [...readFileSync(path, 'utf8').matchAll(/^--- a\/(.+)$/gm)].map(
    ([, file]) => file!,
  );
  const folder = join(ROOT, `.cache/image/linux-source-${series}`);
  const note = join(folder, 'version');
  if (!existsSync(note) || files.some((file) => !existsSync(join(folder, file)))) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    writeFileSync(note, fetchSource(series, files, folder));
  }
  return { folder, version: readFileSync(note, 'utf8') };
}

function fetchSource(series: string, files: readonly string[], folder: string): string {
  const debian = new Debian(join(ROOT, '.cache/image/debian'));
  debian.update();
  const name = `linux-source-${series}`;
  const unpacked = debian.unpack(name);
  const archive = join(unpacked, 'usr/src', `${name}.tar.xz`);
  const wanted = [...files, 'Makefile'].map((file) => `${name}/${file}`);
  const args = ['-xJf', archive, '-C', folder, '--strip-components=1', ...wanted];
  const run = spawnSync('tar', args, { encoding: 'utf8' });
  if (run.status !== 0) throw new DebianError(`${name}: ${run.stderr.trim()}`);
  rmSync(unpacked, { recursive: true });
  const makefile = readFileSync(join(folder, 'Makefile'), 'utf8');
  return `${series}.${/^SUBLEVEL = (\d+)$/m.exec(makefile)?.[1]}`;
}
