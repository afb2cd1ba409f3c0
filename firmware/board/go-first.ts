// The threads that decide go before all others of this machine: a stall of 30 ms makes a board doubt
// itself, and the guest is a thread that always wants to run. They are idle most of the time.
//
// The main thread alone is not enough: it hands work to the thread pool and waits, inside the C
// library, until a pool thread that it woke before has got a processor. So do garbage collection and
// compilation. Whatever runs before there is a guest goes first, the main thread before the others;
// the guest's thread comes later and is an ordinary one.
import { readdirSync } from 'node:fs';
import { watchdog as native } from '../../native/index.ts';

const PRIORITY = { main: 10, helper: 5 } as const;

/** All threads of this process. Null, or why not. */
export function goFirstAll(): string | null {
  const threads = readdirSync('/proc/self/task').map(Number);
  for (const thread of threads) {
    const why = goFirst(thread, thread === process.pid ? PRIORITY.main : PRIORITY.helper);
    // One that has ended meanwhile needs nothing.
    if (why !== null && !why.includes('No such process')) return why;
  }
  return null;
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
