// A takeover between two processes with guests on this machine's own KVM, in single steps. At exits and
// in emulated processors: `npm run test:vtx`.
import { probeKvm } from '../../native/index.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';
import { needsGcc } from '../softcpu/guest.ts';
import { takeOverBetweenProcesses } from './pair.ts';

const test = suite('vtx/pair');
const probe = probeKvm();
test.needs({ met: probe.isUsable, why: `needs a KVM that works here (${probe.words.join('; ')})` });
test.needs(needsGcc());

const random = seededRandom('pair');

for (let n = 0; n < 2; n++) {
  test(
    `takeover ${n + 1}: SIGKILL of the primary, the backup goes on behind the last entry it holds`,
    async () => {
      const { problems } = await takeOverBetweenProcesses({
        ...{ engine: 'vtx-steps', seed: random.int(1000), sliceMax: 1_600 },
        ...{ killAfter: 1 + random.int(40), rounds: 40, timeoutMs: 110_000 },
      });
      assert.equal(problems, []);
    },
    { timeoutMs: 120_000 },
  );
}

test.run();
