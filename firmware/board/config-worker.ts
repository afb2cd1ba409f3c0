// The thread of config-watch.ts: one look at the file, its versions and its trial; ends a trial whose time is
// over.
import { statSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { problemsOf, versionOf } from './config/load.ts';
import { ConfigStore, now } from './config/store.ts';
import { type Held, hashOf, RETURNED, trialVerdict } from './config/versions.ts';
import type { ConfigLook, ConfigOrder } from './config-watch.ts';
import type { TrialFacts } from './status.ts';

const { file, order } = workerData as ConfigOrder;
const store = new ConfigStore(file);

function look(): ConfigLook {
  const { returned, trouble } = store.settle();
  try {
    const held = store.held();
    const { current } = held;
    const version = current === null ? null : versionOf(file, current, statSync(file).mtimeMs);
    const [newest] = held.old;
    const gone = newest?.by === RETURNED ? hashOf(newest.text) : null;
    return { file: version, trial: trialFacts(held), gone, returned, trouble };
  } catch (error) {
    return { file: null, trial: null, gone: null, returned, trouble: (error as Error).message };
  }
}

function trialFacts(held: Held): TrialFacts | null {
  const { trial } = held;
  const verdict = trialVerdict(held, now());
  if (trial === null || verdict.is !== 'waits') return null;
  const { by, minutes, toHash: hash } = trial;
  return { by, minutes, leftMs: verdict.leftMs, hash };
}

parentPort?.postMessage(order === 'look' ? look() : await problemsOf(file));
