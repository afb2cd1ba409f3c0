// Debian packages without root: apt with package lists of its own, so that neither the machine's
// state nor its missing lists matter. apt verifies signatures and hashes; dpkg-deb unpacks.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

export class DebianError extends Error {}

export class Debian {
  private readonly folder: string;
  private readonly options: string[];

  /** `folder` holds lists and downloads; made when missing. */
  constructor(folder: string) {
    this.folder = folder;
    const state = join(folder, 'state');
    const cache = join(folder, 'cache');
    for (const path of [join(state, 'lists/partial'), join(cache, 'archives/partial')]) {
      mkdirSync(path, { recursive: true });
    }
    this.options = [
      `Dir::State=${state}`,
      `Dir::State::lists=${join(state, 'lists')}`,
      'Dir::State::status=/dev/null',
      `Dir::Cache=${cache}`,
      'APT::Sandbox::User=',
      'Acquire::Languages=none',
    ].flatMap((option) => ['-o', option]);
  }

  update(): void {
    this.run('apt-get', [...this.options, '-qq', 'update']);
  }

  /** Names the package depends on directly. */
  dependsOn(name: string): string[] {
    const text = this.run('apt-cache', [...this.options, 'depends', '--important', name]);
    return [...text.matchAll(/^\s*Depends: (\S+)$/gm)].map((match) => match[1] as string);
  }

  /** Names of packages that fit a regular expression. */
  search(expression: string): string[] {
    const text = this.run('apt-cache', [...this.options, '--names-only', 'search', expression]);
    return [...text.matchAll(/^(\S+) - /gm)].map((match) => match[1] as string);
  }

  /** Downloads and unpacks one package; the folder with its files. */
  unpack(name: string): string {
    const downloads = join(this.folder, 'debs', name);
    const files = join(this.folder, 'files', name);
    for (const folder of [downloads, files]) {
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder, { recursive: true });
    }
    this.run('apt-get', [...this.options, '-qq', 'download', name], downloads);
    const deb = readdirSync(downloads).find((file) => file.endsWith('.deb'));
    if (deb === undefined) throw new DebianError(`apt-get download ${name} left no package`);
    this.run('dpkg-deb', ['-x', join(downloads, deb), files]);
    return files;
  }

  private run(command: string, args: string[], cwd = this.folder): string {
    const result = spawnSync(command, args, { cwd, encoding: 'utf8', maxBuffer: 1 << 26 });
    if (result.error !== undefined) {
      throw new DebianError(`${command} is missing: this needs a Debian machine`);
    }
    if (result.status !== 0) {
      throw new DebianError(`${command} failed: ${result.stderr.trim() || result.stdout.trim()}`);
    }
    return result.stdout;
  }
}
