// The landing algorithm on any machine: the software engine poses as a processor whose branch counter
// rings late (native/vtx/test).
import { compile, filesIn } from '../harness/compile.ts';
import { needs, runSeed, suite } from '../harness/index.ts';
import { runProgram } from '../softcpu/native.ts';

const test = suite('vtx/landing');
test.needs(needs.command('g++'));

test(
  'every target is hit exactly, whatever the skid; what is too late is refused',
  () => {
    const configuration = process.env.TWINSTEP_ADDON ?? 'Release';
    const objects = `native/build/${configuration}/obj.target/twinstep`;
    const inputs = [
      ...filesIn('native/vtx/test', /^landing-test\.cc$/),
      ...filesIn(`${objects}/softcpu`, /\.o$/),
      ...filesIn(`${objects}/vtx`, /^(landing|step-policy)\.o$/),
    ];
    const sanitizers = configuration === 'Debug' ? ['-fsanitize=address,undefined'] : [];
    const flags = ['-std=c++20', '-O1', '-msse4.2', '-mno-avx', '-Wall', '-Wextra', '-Inative'];
    const program = compile({
      name: `landing-test-${configuration}`,
      inputs,
      commands: (out) => [['g++', ...flags, ...sanitizers, ...inputs, '-o', `${out}/landing-test`]],
      result: 'landing-test',
    });
    runProgram(program, String(runSeed()), configuration === 'Debug' ? '1' : '3');
  },
  { timeoutMs: 180_000 },
);

test.run();
