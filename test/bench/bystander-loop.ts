// One of the bystanders (bystanders.ts): a process on a processor of its own that goes before everything else there, sleeps
// a millisecond at a time, and prints each time it was kept from waking: when that ended and how long it was, milliseconds.
import { watchdog as native } from '../../native/index.ts';

const PRIORITY = 50;
const SLEEP_MS = 1;
const TOLD_MS = 5;

native.goFirst(0, PRIORITY);
const never = new Int32Array(new SharedArrayBuffer(4));
const nowMs = () => Number(process.hrtime.bigint()) / 1e6;
for (let lastMs = nowMs(); ; ) {
  Atomics.wait(never, 0, 0, SLEEP_MS);
  const now = nowMs();
  const gapMs = now - lastMs - SLEEP_MS;
  if (gapMs > TOLD_MS) process.stdout.write(`${now.toFixed(1)} ${gapMs.toFixed(1)}\n`);
  lastMs = now;
}
