// The engine over KVM fulfils the contract of the software engine: the very same tests, run again with
// the other engine under them.
import { spawnSync } from 'node:child_process';
import { probeKvm } from '../../native/index.ts';
import { assert, repoPath, runSeed, suite } from '../harness/index.ts';

const test = suite('vtx/conformance');
const probe = probeKvm();
test.needs({ met: probe.isUsable, why: `needs a KVM that works here (${probe.words.join('; ')})` });

for (const name of ['icount', 'state', 'kick', 'dirty', 'slicing']) {
  test(
    `softcpu/${name}, in single steps of hardware`,
    () => {
      const env = {
        ...process.env,
        TWINSTEP_ENGINE: 'vtx-steps',
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
    },
    { timeoutMs: 400_000 },
  );
}

test.run();
