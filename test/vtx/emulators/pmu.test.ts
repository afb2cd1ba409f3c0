// What `npm run test:vtx -- --pmu` stands on, without a network: the PMU of the patch compiled alone, the patch
// on the source where that is here, and what the scripts say where Debian cannot be had.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compile } from '../../harness/compile.ts';
import { assert, needs, repoPath, suite } from '../../harness/index.ts';
import { runProgram } from '../../softcpu/native.ts';

const test = suite('vtx/emulators');
test.needs(needs.command('g++'));
const keys = '/usr/share/keyrings/debian-archive-keyring.gpg';
test.needs({ met: existsSync(keys), why: 'needs Debian and its keyring' });

const HERE = 'test/vtx/emulators';
const PATCH = `${HERE}/bochs-pmu.patch`;

test('the PMU counts branches, overflows, and says so late', () => {
  const own = ['pmu-test.cc', 'bochs-stub.h'].map((name) => `${HERE}/${name}`);
  const flags = ['-std=c++20', '-O1', '-Wall', '-Wextra', '-fsanitize=address,undefined'];
  const program = compile({
    name: 'bochs-pmu-test',
    inputs: [...own, PATCH],
    commands: (out) => [
      ...['pmu.h', 'pmu.cc'].map((name) => [...takeFrom(name), `${out}/${name}`] as const),
      ['touch', ...['bochs.h', 'cpu.h', 'apic.h', 'msr.h'].map((name) => `${out}/${name}`)],
      ['g++', ...flags, ...includes(out), `${out}/pmu.cc`, own[0]!, '-o', `${out}/pmu-test`],
    ],
    result: 'pmu-test',
  });
  runProgram(program);
});

/** A file that the patch makes, lines with a plus before them; the last argument is where it goes. */
function takeFrom(name: string): readonly [string, ...string[]] {
  const lines = `/^+++ b.cpu.${name}$/,/^--- /{/^+++/d;s/^+//p}`;
  return ['sh', '-c', `sed -n '${lines}' ${PATCH} >"$0"`];
}

const includes = (out: string) => ['-I', out, '-I', HERE, '-include', `${HERE}/bochs-stub.h`];

test('the patch names its licence before it changes a line', () => {
  const [head = ''] = readFileSync(repoPath(PATCH), 'utf8').split('\n--- ');
  assert.match(head, /GNU Lesser General Public License, version 2 or/);
});

/** Debian's tools, of which apt-get does this; apt-cache knows a source when there is one in `folder`. */
function withApt(script: string, folder = mkdtempSync(join(tmpdir(), 'twinstep-apt-'))) {
  command(join(folder, 'apt-get'), script);
  command(join(folder, 'apt-cache'), `[ ! -e ${folder}/out/source/*.xz ] || echo "Package: bochs"`);
  const env = { ...process.env, PATH: `${folder}:${process.env.PATH}` };
  const build = repoPath(`${HERE}/build-bochs.sh`);
  return spawnSync('sh', [build, join(folder, 'out')], { encoding: 'utf8', env });
}

function command(path: string, script: string): void {
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
}

const MIRROR = 'echo http://mirror.example/debian/';

for (const [what, apt, words] of [
  ['knows no mirror', 'exit 0', /bochs cannot be had: apt knows no mirror of Debian/],
  [
    'hears nothing from it',
    `[ "$1" = indextargets ] && ${MIRROR} && exit; echo "E: no network" >&2; exit 100`,
    /bochs cannot be had: E: no network/,
  ],
  [
    'finds no such source',
    `[ "$1" = indextargets ] && ${MIRROR}; exit 0`,
    /bochs cannot be had: no bochs among the sources of trixie at http:\/\/mirror.example/,
  ],
] as const) {
  test(`where apt ${what}, the build says so and ends with 3`, () => {
    const { status, stderr } = withApt(apt);
    assert.match(stderr, words);
    assert.is(status, 3);
  });
}

test('a source that is not 3.0 is refused by its name', () => {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-apt-'));
  mkdirSync(join(folder, 'bochs-9/cpu'), { recursive: true });
  mkdirSync(join(folder, 'out/source'), { recursive: true });
  const tarball = join(folder, 'out/source/bochs_9.orig.tar.xz');
  spawnSync('tar', ['-cJf', tarball, '-C', folder, 'bochs-9']);
  const { status, stderr } = withApt(`[ "$1" = indextargets ] && ${MIRROR}; exit 0`, folder);
  assert.match(
    stderr,
    /^the patch for Bochs 3.0 does not fit bochs_9.orig.tar.xz: \d+ files differ/,
  );
  assert.is(status, 3);
});

test.run();
