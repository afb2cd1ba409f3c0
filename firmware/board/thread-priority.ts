// The threads that decide go before all others of this machine: a stall of 30 ms makes a board doubt
// itself, and the guest is a thread that always wants to run. They are idle most of the time.
//
// The main thread alone is not enough: it hands work to the thread pool and waits, inside the C
// library, until a pool thread that it woke before has got a processor. So do garbage collection and
// compilation. Whatever runs before there is a guest goes first, the main thread before the others;
// the guest's thread comes later and is an ordinary one.
import { readdirSync, readFileSync } from 'node:fs';
import { watchdog as native } from '../../native/index.ts';

const PRIORITY = { main: 10, helper: 5 } as const;

/** All threads of this process. Null, or why not. */
export function raiseAllPriorities(): string | null {
  const why = goFirst(0, PRIORITY.main);
  if (why !== null) return why;
  for (const thread of threads()) {
    if (thread === process.pid) continue;
    // One that has ended meanwhile needs nothing.
    const trouble = goFirst(thread, PRIORITY.helper);
    if (trouble !== null && !trouble.includes('No such process')) return trouble;
  }
  return null;
}

/** As this process would call them: /proc may be that of a process namespace further out. */
function threads(): number[] {
  return readdirSync('/proc/self/task').flatMap((name) => {
    try {
      const status = readFileSync(`/proc/self/task/${name}/status`, 'latin1');
      return Number(/^NSpid:.*?(\d+)$/m.exec(status)?.[1] ?? name);
    } catch {
      return [];
    }
  });
}

/** The calling thread. */
export function goFirst(thread = 0, priority: number = PRIORITY.helper): string | null {
  try {
    native.goFirst(thread, priority);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}
