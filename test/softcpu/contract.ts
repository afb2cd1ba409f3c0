// A suite of the engine's contract, run again in a process of its own with another engine under it (under-test.ts).
import { spawnSync } from 'node:child_process';
import { assert, repoPath, runSeed } from '../harness/index.ts';

export const CONTRACT_MS = 400_000;

/** `test/softcpu/NAME.test.ts` over `engine`, a name of under-test.ts. Throws with what it printed. */
export function runContract(name: string, engine: string): void {
  const env = {
    ...process.env,
    TWINSTEP_ENGINE: engine,
    // What it has to tell, it tells by its exit code and its words.
    TWINSTEP_TEST_EVENTS: '',
    TWINSTEP_SEED: String(runSeed()),
  };
  const run = spawnSync(
    process.execPath,
    ['--enable-source-maps', repoPath(`dist/test/softcpu/${name}.test.js`)],
    { encoding: 'utf8', env, maxBuffer: 1 << 26 },
  );
  assert.is(run.status, 0, `${run.stdout}${run.stderr}`.slice(-4000));
}
