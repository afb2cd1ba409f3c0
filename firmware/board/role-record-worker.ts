// The thread of role-record.ts: does one order after the other.
import { parentPort, workerData } from 'node:worker_threads';
import { RoleRecordStore } from '../../watchdog/role-record-store.ts';
import { systemWords } from '../host/errors.ts';
import type { RecordAnswer, RecordOrder } from './role-record.ts';
import { goFirst } from './thread-priority.ts';

// A takeover waits for this thread.
goFirst();

const store = new RoleRecordStore((workerData as { folder: string }).folder);

function carryOut(order: Exclude<RecordOrder, { order: 'end' }>): RecordAnswer {
  if (order.order === 'load') {
    try {
      return { kind: 'loaded', loaded: store.load(order.wallSeconds) };
    } catch (error) {
      return { kind: 'unreadable', error: systemWords(error) };
    }
  }
  const begunMs = performance.now();
  let trouble: string | null = null;
  try {
    store.write(order.record);
  } catch (error) {
    trouble = systemWords(error);
  }
  const tookMs = performance.now() - begunMs;
  return { kind: 'written', record: order.record, error: trouble, tookMs };
}

parentPort?.on('message', (order: RecordOrder) => {
  if (order.order === 'end') process.exit(0);
  parentPort?.postMessage(carryOut(order));
});
