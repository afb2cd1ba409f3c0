// The compiled program where any user of the machine can read it: for tests that run it as another user, in a
// clone that is closed to others (below root's home, say). Without npm packages.
import { chmodSync, copyFileSync, cpSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repoPath } from './index.ts';
import { isOpen } from './temp.ts';

const ADDON = `native/build/${process.env.TWINSTEP_ADDON ?? 'Release'}/twinstep.node`;
const PARTS = [
  'package.json',
  'dist/firmware',
  'dist/logchan',
  'dist/watchdog',
  'dist/native',
  ADDON,
];

export interface ForOthers {
  /** Absolute path of a file of the checkout, in the copy. */
  path(relative: string): string;
  /** The Node that others can start. */
  readonly node: string;
}

let made: ForOthers | undefined;

/** Made once for a test file; gone with the run. */
export function forOthers(): ForOthers {
  made ??= make();
  return made;
}

function make(): ForOthers {
  const folder = mkdtempSync(join(tmpdir(), 'others-'));
  chmodSync(folder, 0o755);
  if (!isOpen(folder)) throw new Error(`${folder} is closed to other users: set TMPDIR`);
  for (const part of PARTS) cpSync(repoPath(part), join(folder, part), { recursive: true });
  let node = process.execPath;
  if (!isOpen(node)) {
    node = join(folder, 'node');
    copyFileSync(process.execPath, node);
  }
  return { node, path: (relative) => join(folder, relative) };
}
