// Which processes hang on which: what must be ended when a board loses its power.
import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

type Running = ChildProcess & { readonly pid: number };

export const isRunning = (child: ChildProcess | undefined): child is Running =>
  child?.pid !== undefined && child.exitCode === null && child.signalCode === null;

/** Children of a process, oldest first. */
export function childrenOf(parent: number): number[] {
  return living()
    .filter((process) => process.parent === parent)
    .map(({ pid }) => pid);
}

/** Children before their own children. */
export function descendantsOf(ancestor: number): number[] {
  const all = living();
  const found: number[] = [];
  for (let turn = [ancestor]; turn.length > 0; found.push(...turn))
    turn = all.filter(({ parent }) => turn.includes(parent)).map(({ pid }) => pid);
  return found;
}

export function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

interface Living {
  readonly pid: number;
  readonly parent: number;
  readonly started: number;
}

/** Oldest first. */
function living(): Living[] {
  const found: Living[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      // Behind the name: state, parent, ... start time.
      const [state, ...more] = readFileSync(`/proc/${entry}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ');
      if (state !== 'Z')
        found.push({ pid: Number(entry), parent: Number(more[0]), started: Number(more[18]) });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // It has ended meanwhile.
      if (code !== 'ENOENT' && code !== 'ESRCH') throw error;
    }
  }
  return found.sort((a, b) => a.started - b.started || a.pid - b.pid);
}
