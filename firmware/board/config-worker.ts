// The thread of config-watch.ts: one look at the file, its versions and its trial; ends a trial whose time is
// over.
import { statSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { problemsOf, versionOf } from './config/load.ts';
import { ConfigStore, now } from './config/store.ts';
import { type Held, hashOf, RETURNED, trialVerdict } from './config/versions.ts';
import type { ConfigLook } from './config-watch.ts';
import type { TrialFacts } from './status.ts';

const store = new ConfigStore((workerData as { file: string }).file);

async function look(): Promise<ConfigLook> {
  const { returned, trouble } = store.settle();
  const problems = await problemsOf(store.file);
  try {
    const held = store.held();
    const { current } = held;
    const { file } = store;
    const version = current === null ? null : versionOf(file, current, statSync(file).mtimeMs);
    const [newest] = held.old;
    const gone = newest?.by === RETURNED ? hashOf(newest.text) : null;
    return { file: version, problems, trial: trialFacts(held), gone, returned, trouble };
  } catch (error) {
    const { message } = error as Error;
    return { file: null, problems, trial: null, gone: null, returned, trouble: message };
  }
}

function trialFacts(held: Held): TrialFacts | null {
  const { trial } = held;
  const verdict = trialVerdict(held, now());
  if (trial === null || verdict.is !== 'waits') return null;
  const { by, minutes, toHash: hash } = trial;
  return { by, minutes, leftMs: verdict.leftMs, hash };
}

parentPort?.postMessage(await look());
