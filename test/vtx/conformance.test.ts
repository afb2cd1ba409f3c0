// The engine over KVM fulfils the contract of the software engine: the very same tests, run again with
// the other engine under them.
import { probeKvm } from '../../native/index.ts';
import { suite } from '../harness/index.ts';
import { CONTRACT_MS, runContract } from '../softcpu/contract.ts';

const test = suite('vtx/conformance');
const probe = probeKvm();
test.needs({ met: probe.isUsable, why: `needs a KVM that works here (${probe.words.join('; ')})` });

for (const name of ['icount', 'state', 'kick', 'dirty', 'slicing']) {
  test(`softcpu/${name}, in single steps of hardware`, () => runContract(name, 'vtx-steps'), {
    timeoutMs: CONTRACT_MS,
  });
}

test.run();
