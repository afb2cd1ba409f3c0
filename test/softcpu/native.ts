// The C++ test programs of native/softcpu/test, linked against the very objects the addon consists of
// (so the sanitizer build tests the sanitizer objects), and run with their output in hand.
import { spawnSync } from 'node:child_process';
import { compile, filesIn } from '../harness/compile.ts';
import { assert } from '../harness/index.ts';

const FOLDER = 'native/softcpu/test';
const SANITIZERS = ['-fsanitize=address,undefined', '-fno-sanitize-recover=undefined'];

/** Links the sources whose names match into a program. */
export function nativeProgram(name: string, sources: RegExp): string {
  const configuration = process.env.TWINSTEP_ADDON ?? 'Release';
  const objects = filesIn(`native/build/${configuration}/obj.target/twinstep/softcpu`, /\.o$/);
  const own = filesIn(FOLDER, sources);
  const headers = [...filesIn(FOLDER, /\.h$/), ...filesIn('native/softcpu', /\.h$/)];
  const more = configuration === 'Debug' ? SANITIZERS : [];
  return compile({
    name: `${name}-${configuration}`,
    inputs: [...own, ...headers, ...objects],
    commands: (out) => [
      [
        'g++',
        ...['-std=c++20', '-O1', '-g', '-msse4.2', '-mno-avx', '-Wall', '-Wextra', '-Inative'],
        ...more,
        ...own,
        ...objects,
        ...['-o', `${out}/${name}`],
      ],
    ],
    result: name,
  });
}

/** Runs it to its end; fails with all it said unless it exits with 0. */
export function runProgram(program: string, ...args: string[]): string {
  const env = { ...process.env, LD_PRELOAD: '' };
  const run = spawnSync(program, args, { encoding: 'utf8', env, maxBuffer: 1 << 26 });
  const said = `${run.stdout}${run.stderr}`;
  if (run.status !== 0) {
    const how = run.signal === null ? `exited with ${run.status}` : `was ended by ${run.signal}`;
    assert.unreachable(`${program} ${args.join(' ')} ${how}\n${said.slice(0, 8000)}`);
  }
  return said;
}
