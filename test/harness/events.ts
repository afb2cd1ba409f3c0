// What a test file tells the runner, one JSON line an event on file descriptor 3. A file run by
// hand has no such descriptor and says nothing here; uvu's own output is then what one reads.
import { writeSync } from 'node:fs';

export type TestEvent =
  | { type: 'start'; suite: string; test: string; timeoutMs: number; hook?: true }
  | { type: 'pass'; suite: string; test: string; ms: number }
  | { type: 'fail'; suite: string; test: string; why: string }
  | { type: 'skip'; suite: string; test: string; why: string }
  | { type: 'end' };

export const EVENTS_FD = 3;
export const EVENTS_ENV = 'TWINSTEP_TEST_EVENTS';

export function emit(event: TestEvent): void {
  if (process.env[EVENTS_ENV] !== '1') {
    if (event.type === 'fail') process.exitCode = 1;
    return;
  }
  writeSync(EVENTS_FD, `${JSON.stringify(event)}\n`);
}
