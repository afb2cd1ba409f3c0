// The program of native/vtx/test/counted-test.cc, for this machine and for the emulated ones, and what its tests are called.
import { compile, filesIn } from '../harness/compile.ts';

/** Where an emulated machine has it. */
export const COUNTER_PROGRAM = '/bin/counted-test';

export const COUNTER_TESTS = {
  windows: 'an interrupt window is no unit, neither in a free run nor in the last stretch',
  'windows-in-steps': 'a window a free run asked for ends no step behind it',
  overshoot: 'a run beyond its target is told at whatever exit it ends',
  'short-alarms': 'an alarm the host refuses, or might, is not waited for',
  'two-engines': 'what another guest of the thread did is not counted',
  near: 'a run to a limit of its own choosing ends at a position before it, without a last stretch',
  'resume-flag': 'an interrupt does not show what a processor left of RF',
};

export function counterProgram(): string {
  const configuration = process.env.TWINSTEP_ADDON ?? 'Release';
  const objects = `native/build/${configuration}/obj.target/twinstep`;
  const inputs = [
    ...filesIn('native/vtx/test', /^counted-test\.cc$/),
    ...filesIn(`${objects}/softcpu`, /\.o$/),
    ...filesIn(`${objects}/vtx`, /\.o$/),
  ];
  const sanitizers = configuration === 'Debug' ? ['-fsanitize=address,undefined'] : [];
  const flags = ['-std=c++20', '-O1', '-msse4.2', '-mno-avx', '-Wall', '-Wextra', '-Inative'];
  return compile({
    name: `counted-test-${configuration}`,
    inputs,
    commands: (out) => [['g++', ...flags, ...sanitizers, ...inputs, '-o', `${out}/counted-test`]],
    result: 'counted-test',
  });
}
