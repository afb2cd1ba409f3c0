// The one import of every test file: suites, assertions, seeded randomness, what this machine has.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { joinTemp } from './temp.ts';

export * as assert from 'uvu/assert';
export { runSeed, type SeededRandom, seededRandom } from './random.ts';
export { type Suite, suite } from './suite.ts';

joinTemp();

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** Absolute path of a file of the checkout, from code that runs in dist/. */
export function repoPath(relative: string): string {
  return join(root, relative);
}

/** Requirements for `suite.needs()`, each with its words. Looked up when asked, not on import. */
export const needs = {
  root: () => ({ met: process.getuid?.() === 0, why: 'needs root' }),
  networkNamespaces: () => ({
    met: process.getuid?.() === 0 && runs('ip', ['netns', 'list']),
    why: 'needs root and iproute2 for network namespaces',
  }),
  device: (path: string) => ({ met: existsSync(path), why: `needs ${path}` }),
  command: (name: string, debianPackage = name) => ({
    met: runs('sh', ['-c', `command -v ${name}`]),
    why: `needs ${name} (Debian package ${debianPackage})`,
  }),
};

function runs(command: string, args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}
