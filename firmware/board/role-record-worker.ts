// The thread of role-record.ts: does one order after the other.
import { randomInt } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { RoleRecordStore } from '../../watchdog/role-record-store.ts';
import { systemWords } from '../host/errors.ts';
import type { RecordAnswer, RecordOrder } from './role-record.ts';
import { goFirst } from './thread-priority.ts';

// A takeover waits for this thread.
goFirst();

/** Where the numbers of a board without a record begin: at no number it had before, with room above. */
const FRESH_MAX = 2 ** 30;

const store = new RoleRecordStore((workerData as { folder: string }).folder);

function carryOut(order: Exclude<RecordOrder, { order: 'end' }>): RecordAnswer {
  if (order.order === 'load') {
    try {
      return { kind: 'loaded', loaded: store.load(randomInt(1, FRESH_MAX)) };
    } catch (error) {
      return { kind: 'unreadable', error: systemWords(error) };
    }
  }
  if (order.order === 'count') {
    const { boot } = order;
    return { kind: 'counted', boot, error: troubleOf(() => store.countStart(boot)) };
  }
  const begunMs = performance.now();
  const trouble = troubleOf(() => store.write(order.record));
  const tookMs = performance.now() - begunMs;
  return { kind: 'written', record: order.record, error: trouble, tookMs };
}

/** Of a write to the disk, in words, or null. */
function troubleOf(write: () => void): string | null {
  try {
    write();
    return null;
  } catch (error) {
    return systemWords(error);
  }
}

parentPort?.on('message', (order: RecordOrder) => {
  if (order.order === 'end') process.exit(0);
  parentPort?.postMessage(carryOut(order));
});
