// Compiles what a test needs (guests, C++ test programs) into .cache/compiled/, once for each content:
// the name of the result contains a hash of the commands and of everything they read.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { repoPath } from './index.ts';

export interface Recipe {
  /** Names the result, for people. */
  name: string;
  /** Files the commands read, as repository paths. */
  inputs: readonly string[];
  /** Commands in order, run in the checkout; `out` is an empty folder. */
  commands(out: string): readonly (readonly [command: string, ...args: string[]])[];
  /** The file in `out` that is wanted. */
  result: string;
}

/** Path of the result. Throws with the compiler's words. */
export function compile(recipe: Recipe): string {
  const cache = repoPath('.cache/compiled');
  const folder = join(cache, `${recipe.name}-${fingerprint(recipe)}`);
  const result = join(folder, recipe.result);
  if (existsSync(result)) return result;
  const building = `${folder}.${process.pid}`;
  rmSync(building, { recursive: true, force: true });
  mkdirSync(building, { recursive: true });
  for (const [command, ...args] of recipe.commands(building)) {
    // Not under the sanitizer that the test itself may run under.
    const env = { ...process.env, LD_PRELOAD: '' };
    const run = spawnSync(command, args, { cwd: repoPath('.'), encoding: 'utf8', env });
    if (run.error) throw new Error(`${recipe.name}: ${command}: ${run.error.message}`);
    if (run.status !== 0) throw new Error(`${recipe.name}: ${command} failed:\n${run.stderr}`);
  }
  dropOlder(cache, recipe.name);
  try {
    renameSync(building, folder);
  } catch (error) {
    // Another test file was faster; its result is the same.
    if (!existsSync(result)) throw error;
    rmSync(building, { recursive: true, force: true });
  }
  return result;
}

/** All files of a folder of the checkout whose names match, as repository paths. */
export function filesIn(folder: string, pattern: RegExp): string[] {
  return readdirSync(repoPath(folder))
    .filter((name) => pattern.test(name))
    .sort()
    .map((name) => `${folder}/${name}`);
}

function fingerprint({ commands, inputs }: Recipe): string {
  const hash = createHash('sha256');
  hash.update(JSON.stringify(commands('')));
  for (const input of inputs) {
    hash
      .update(input)
      .update('\0')
      .update(readFileSync(repoPath(input)))
      .update('\0');
  }
  return hash.digest('hex').slice(0, 16);
}

/** Results of earlier contents; those still being built have a longer name. */
function dropOlder(cache: string, name: string): void {
  for (const entry of readdirSync(cache)) {
    const rest = entry.startsWith(`${name}-`) ? entry.slice(name.length + 1) : '';
    if (/^[0-9a-f]{16}$/.test(rest)) rmSync(join(cache, entry), { recursive: true, force: true });
  }
}
