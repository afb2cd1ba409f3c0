// The BR2_EXTERNAL tree as data: files, symbols, fragments. Reading only.
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
export const TREE = join(ROOT, 'buildroot');

export interface TreeFile {
  /** Below the tree, with slashes. */
  readonly path: string;
  readonly text: string;
  readonly isExecutable: boolean;
}

/** One option of a fragment or defconfig. `value` null: "is not set". */
export interface Option {
  readonly file: string;
  readonly line: number;
  readonly name: string;
  readonly value: string | null;
  /** The comment directly above, empty without one. */
  readonly reason: string;
}

/** What Git does not keep, and what is not Buildroot's. */
const SKIPPED = new Set(['source', 'tools']);

/** Every regular file of a tree; links are left out, they are checked where they are used. */
export function filesOf(tree: string, below = ''): TreeFile[] {
  return readdirSync(join(tree, below), { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = below === '' ? entry.name : `${below}/${entry.name}`;
      if (below === '' && SKIPPED.has(entry.name)) return [];
      if (entry.isDirectory()) return filesOf(tree, path);
      if (!entry.isFile()) return [];
      const isExecutable = (lstatSync(join(tree, path)).mode & 0o100) !== 0;
      return [{ path, text: readFileSync(join(tree, path), 'utf8'), isExecutable }];
    });
}

export function isShell(file: TreeFile): boolean {
  return /^#!\/bin\/sh\n/.test(file.text) || file.text.startsWith('# shellcheck shell=sh\n');
}

/** The options of a Kconfig file, with the comment above each. */
export function optionsOf(file: TreeFile): Option[] {
  const options: Option[] = [];
  let reason = '';
  file.text.split('\n').forEach((text, index) => {
    const set = /^([A-Z][A-Za-z0-9_]*)=(.+)$/.exec(text);
    const unset = /^# ([A-Z][A-Za-z0-9_]*) is not set$/.exec(text);
    if (set !== null || unset !== null) {
      const name = (set?.[1] ?? unset?.[1]) as string;
      options.push({ file: file.path, line: index + 1, name, value: set?.[2] ?? null, reason });
      reason = '';
    } else {
      reason = text.startsWith('# ') ? text.slice(2) : '';
    }
  });
  return options;
}

/** Files of the tree that a file names by $(BR2_EXTERNAL_TWINSTEP_PATH) or the same in Kconfig. */
export function namedFiles(file: TreeFile): string[] {
  return [...file.text.matchAll(/\$\(?BR2_EXTERNAL_TWINSTEP_PATH\)?\/([\w./*-]+)/g)].map(
    ([, path]) => path as string,
  );
}

export function hashesOf(file: TreeFile): { algorithm: string; hash: string; name: string }[] {
  return file.text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [algorithm = '', hash = '', name = ''] = line.split(/ {2}/);
      return { algorithm, hash, name };
    });
}
