// The engine on counted branches, with counters that behave as processors and kernels may
// (native/vtx/test/counted-test.cc), on this machine's own KVM; in emulated processors, whose KVM is a
// whole one, inside.ts runs the same.
import { probeKvm } from '../../native/index.ts';
import { needs, suite } from '../harness/index.ts';
import { runProgram } from '../softcpu/native.ts';
import { COUNTER_TESTS, counterProgram } from './counters.ts';

const test = suite('vtx/counted');
const probe = probeKvm();
test.needs({ met: probe.isUsable, why: `needs a KVM that works here (${probe.words.join('; ')})` });
test.needs(needs.command('g++'));

for (const [name, words] of Object.entries(COUNTER_TESTS))
  test(words, () => runProgram(counterProgram(), name), { timeoutMs: 180_000 });

test.run();
