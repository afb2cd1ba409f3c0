// The threads that decide go before all others of this machine: a stall of 30 ms makes a board doubt
// itself, and the guest is a thread that always wants to run. They are idle most of the time.
import { watchdog as native } from '../../native/index.ts';

const PRIORITY = 10;

/** Of the calling thread. Null, or why not. */
export function goFirst(): string | null {
  try {
    native.goFirst(PRIORITY);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}
