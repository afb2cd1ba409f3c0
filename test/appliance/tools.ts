// Programs that make the image: the host's own, else those of a Debian package that is unpacked and
// run where it lies. So nothing must be installed.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import type { Packages } from './parts.ts';

/** Program, package, packages of libraries a bare machine may not have. */
const TOOLS: Readonly<Record<string, readonly string[]>> = {
  mksquashfs: ['squashfs-tools', 'liblzo2-2', 'liblz4-1'],
  genimage: ['genimage', 'libconfuse2'],
  mcopy: ['mtools'],
  mkdosfs: ['dosfstools'],
  mke2fs: ['e2fsprogs', 'libext2fs2'],
  'grub-mkimage': ['grub-common', 'libdevmapper1.02.1'],
  kmod: ['kmod', 'libkmod2'],
  rauc: ['rauc', 'libjson-glib-1.0-0', 'libglib2.0-0', 'libcurl3-gnutls', 'libfdisk1'],
  openssl: ['openssl'],
};
const HOST_FOLDERS = [
  '/usr/local/sbin',
  '/usr/local/bin',
  '/usr/sbin',
  '/usr/bin',
  '/sbin',
  '/bin',
];

export class Tools {
  private readonly packages: Packages;
  private readonly folders: string[] = [];
  private readonly libraries: string[] = [];

  constructor(packages: Packages) {
    this.packages = packages;
    for (const [program, [name, ...libraries]] of Object.entries(TOOLS)) {
      if (HOST_FOLDERS.some((folder) => existsSync(join(folder, program)))) continue;
      this.add(name as string);
      for (const library of libraries) this.add(library);
    }
  }

  private add(name: string): void {
    const files = this.packages.unpacked(name);
    for (const folder of ['bin', 'sbin', 'usr/bin', 'usr/sbin'])
      this.folders.push(join(files, folder));
    for (const folder of ['lib', 'usr/lib']) {
      this.libraries.push(join(files, folder, 'x86_64-linux-gnu'));
    }
  }

  environment(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
    const PATH = [...this.folders, ...HOST_FOLDERS, dirname(process.execPath)].join(delimiter);
    const LD_LIBRARY_PATH = this.libraries.filter((path) => existsSync(path)).join(delimiter);
    return {
      ...process.env,
      PATH,
      ...(LD_LIBRARY_PATH === '' ? {} : { LD_LIBRARY_PATH }),
      ...extra,
    };
  }

  /** Runs a program quietly; its words are in the error when it fails. Answers what it printed. */
  run(
    command: string,
    args: readonly string[],
    options: { cwd?: string; env?: NodeJS.ProcessEnv; argv0?: string } = {},
  ): string {
    const result = spawnSync(command, args, {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      ...options,
      env: this.environment(options.env),
    });
    if (result.status === 0) return result.stdout;
    const words = result.error?.message ?? `${result.stdout}${result.stderr}`;
    throw new Error(`${command}: ${words.trim().split('\n').slice(-12).join('\n')}`);
  }
}

export const entries = (folder: string): string[] =>
  existsSync(folder) ? readdirSync(folder) : [];
