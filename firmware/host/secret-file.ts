// Who may read a secret. Its owner alone; in a folder that hands its group on (setgid), as the appliance has for
// board and console, the members of that group as well. Nobody else, and nobody but the owner writes.
import { statSync } from 'node:fs';
import { dirname } from 'node:path';

const SETGID = 0o2000;

/** The mode in which to make one there. */
export function secretMode(path: string): number {
  return (statSync(dirname(path)).mode & SETGID) === 0 ? 0o600 : 0o640;
}

/** Null: it is one. */
export function secretTrouble(path: string): string | null {
  const { mode, gid } = statSync(path);
  const folder = statSync(dirname(path));
  const isShared = (folder.mode & SETGID) !== 0 && folder.gid === gid;
  return (mode & (isShared ? 0o037 : 0o077)) === 0 ? null : 'can be read by others: chmod 600';
}
