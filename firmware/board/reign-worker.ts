// The thread of reign-keeper.ts: does one order after the other.
import { parentPort, workerData } from 'node:worker_threads';
import { GenerationStore } from '../../watchdog/generation-store.ts';
import { goFirst } from './go-first.ts';
import type { KeeperAnswer, KeeperOrder } from './reign-keeper.ts';

// A takeover waits for this thread.
goFirst();

const store = new GenerationStore((workerData as { folder: string }).folder);

function carryOut(order: Exclude<KeeperOrder, { order: 'end' }>): KeeperAnswer {
  if (order.order === 'load') {
    try {
      return { kind: 'loaded', loaded: store.load(order.wallSeconds) };
    } catch (error) {
      return { kind: 'unreadable', error: (error as Error).message };
    }
  }
  const begunMs = performance.now();
  let trouble: string | null = null;
  try {
    store.write(order.record);
  } catch (error) {
    trouble = (error as Error).message;
  }
  const tookMs = performance.now() - begunMs;
  return { kind: 'written', record: order.record, error: trouble, tookMs };
}

parentPort?.on('message', (order: KeeperOrder) => {
  if (order.order === 'end') process.exit(0);
  parentPort?.postMessage(carryOut(order));
});
