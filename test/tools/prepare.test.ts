// What a machine lacks is one plain line: what it is, and how to get it. A clone of nothing but the tools, on a
// PATH that has what a test puts there.
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert, repoPath, suite } from '../harness/index.ts';

const test = suite('tools/prepare');

const WELL = { npm: 'exit 0', 'g++': 'exit 0', make: 'exit 0', python3: 'exit 0' } as const;
type Programs = { readonly [Name in keyof typeof WELL]?: string };

interface Outcome {
  status: number | null;
  /** What it said, but for the progress of the steps. */
  lines: string[];
  folder: string;
}

function prepare(programs: Programs, nodeArgs: string[] = []): Outcome {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-prepare-'));
  for (const file of ['package.json', 'package-lock.json', 'test/tools', 'native/binding.gyp'])
    cpSync(repoPath(file), join(folder, file), { recursive: true });
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  for (const [name, script] of Object.entries(programs)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  const args = [...nodeArgs, join(folder, 'test/tools/prepare.cjs')];
  const env = { PATH: bin, HOME: folder };
  const run = spawnSync(process.execPath, args, { encoding: 'utf8', env, cwd: folder });
  const lines = run.stderr.split('\n').filter((line) => line !== '' && !/ \.\.\. /.test(line));
  return { status: run.status, lines: [...lines, ...run.stdout.split('\n').slice(0, -1)], folder };
}

function says(outcome: Outcome, ...words: (string | RegExp)[]): void {
  assert.is(outcome.status, 1);
  assert.is(outcome.lines.length, 1, outcome.lines.join('\n'));
  for (const word of words) assert.match(outcome.lines[0]!, word);
}

for (const name of Object.keys(WELL) as (keyof typeof WELL)[]) {
  test(`without ${name}`, () => {
    const { [name]: _, ...others } = WELL;
    says(prepare(others), `twinstep: ${name} (`, ' is missing.', `apt-get install ${name}`);
  });
}

test('all that is missing is told at once', () => {
  says(
    prepare({ npm: 'exit 0' }),
    /g\+\+ .*make .*python3 .* are missing/,
    /apt-get install g\+\+ make python3$/,
  );
});

test('a compiler and a Python that are too old, or there but broken', () => {
  const old = 'case "$*" in *c++20*) exit 1;; esac\necho 9.4.0';
  says(prepare({ ...WELL, 'g++': old }), 'g++ 9.4.0 cannot compile C++20; 10 or newer is needed');
  says(prepare({ ...WELL, python3: 'exit 127' }), 'python3 (', ' is missing');
});

test('a Node that is too old, or not for this machine', () => {
  const as = (property: string, value: unknown): string[] => {
    const code = `Object.defineProperty(process, '${property}', { value: ${JSON.stringify(value)} })`;
    const file = join(mkdtempSync(join(tmpdir(), 'twinstep-as-')), 'as.cjs');
    writeFileSync(file, code);
    return ['--require', file];
  };
  for (const node of ['12.22.9', '18.19.0', '20.16.0', '21.7.3', '22.8.0'])
    says(
      prepare(WELL, as('versions', { node })),
      'Node 22.9.0 or newer (or 20.17.0 and newer of Node 20) is needed',
      `this is ${node}: get it from https://nodejs.org/`,
    );
  says(prepare(WELL, as('arch', 'arm64')), 'Linux on x86-64 is needed, this is linux on arm64');
});

test('what an old Node reads is written for it', () => {
  for (const file of ['prepare.cjs', 'node-range.cjs']) {
    const text = readFileSync(repoPath(`test/tools/${file}`), 'utf8').replace(/^\s*\/\/.*$/gm, '');
    assert.not.match(text, /\?\?|\?\.|#[a-z]+\b|\bawait\b|^import /m, file);
  }
});

test('a step that cannot reach the network, or has no space, says so in its one line', () => {
  const failing = (words: string) => ({
    ...WELL,
    npm: `[ "$1" = ci ] || exit 0\n${words}\nexit 1`,
  });
  const offline = prepare(failing('echo "npm error code ENOTFOUND" >&2'));
  says(offline, 'npm packages: it needs the network', '.cache/prepare.log');
  const log = readFileSync(join(offline.folder, '.cache/prepare.log'), 'utf8');
  assert.match(log, 'npm error code ENOTFOUND');
  says(
    prepare(failing('echo "npm error gyp ERR! stack Error: connect ETIMEDOUT 1.2.3.4:443" >&2')),
    'needs the network',
  );
  says(
    prepare(failing('echo "npm error cc1plus: error: x.s: No space left on device" >&2')),
    'the disk is full',
  );
});

test('what nobody foresaw is shown as it is', () => {
  const { status, lines } = prepare({ ...WELL, npm: '[ "$1" = ci ] || exit 0\necho odd\nexit 1' });
  assert.is(status, 1);
  assert.equal(lines, ['odd', 'twinstep: npm packages: failed, see above']);
});

test.run();
