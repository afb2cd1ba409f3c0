// Are the translator's tests worth anything? Each wrong edit is compiled and linked against the objects of the
// addon, and a program that compares with the interpreter or with the host CPU must see it.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { compile, filesIn } from '../harness/compile.ts';
import { assert, needs, repoPath, suite } from '../harness/index.ts';
import { TRANSLATED } from './oracle.ts';
import { MUTATIONS, type Mutation } from './translate-mutations.ts';

const test = suite('softcpu/translate-mutation');
test.needs(needs.command('g++'));

const OBJECTS = filesIn('native/build/Release/obj.target/twinstep/softcpu', /\.o$/);
const FLAGS = ['-std=c++20', '-O2', '-fexceptions', '-msse4.2', '-mno-avx', '-fPIC'];
const RUN_MS = 120_000;

/** Programs that may see it, the quickest first. */
const WATCHERS: readonly [program: string, sources: RegExp, ...args: string[]][] = [
  ['translate-test', /^translate-test.*\.cc$/, '1', '20000'],
  ['oracle', /^oracle.*\.cc$/, '--family', TRANSLATED.join(), '--count', '60000', '--translate'],
  ['core-test', /^core-.*\.cc$/, '--translate'],
  ['sys-test', /^sys-test.*\.cc$/, '--translate'],
  ['sys-fuzz', /^sys-fuzz\.cc$/, '1', '300'],
];

/** A watcher without the engine, compiled once. */
function partOf(name: string, sources: RegExp): string {
  const folder = 'native/softcpu/test';
  const own = filesIn(folder, sources);
  return compile({
    name: `mutant-${name}`,
    inputs: [...own, ...filesIn(folder, /\.h$/), ...filesIn('native/softcpu', /\.h$/)],
    commands: (out) => [
      ['g++', ...FLAGS, '-Inative', '-r', '-nostdlib', ...own, '-o', `${out}/${name}.o`],
    ],
    result: `${name}.o`,
  });
}

/** The folder's objects of the engine: those that the edit reaches, and the names of all others. */
function mutated({ file, from, to }: Mutation, folder: string): string[] {
  const text = readFileSync(repoPath(`native/softcpu/${file}`), 'utf8');
  assert.ok(text.includes(from), `${file} has no "${from}": the mutation is out of date`);
  const isHeader = file.endsWith('.h');
  const sources = isHeader ? filesIn('native/softcpu', /^translate.*\.cc$/) : [file];
  for (const source of isHeader ? sources : []) {
    writeFileSync(join(folder, basename(source)), readFileSync(repoPath(source)));
  }
  writeFileSync(
    join(folder, file),
    text.replace(from, () => to),
  );
  const objects = sources.map((source) => {
    const object = join(folder, basename(source).replace(/cc$/, 'o'));
    gcc([...FLAGS, '-Inative/softcpu', '-c', join(folder, basename(source)), '-o', object]);
    return object;
  });
  const ours = new Set(objects.map((object) => basename(object)));
  return [...objects, ...OBJECTS.filter((object) => !ours.has(basename(object)))];
}

function gcc(args: readonly string[]): void {
  const run = spawnSync('g++', args, { cwd: repoPath('.'), encoding: 'utf8' });
  assert.is(run.status, 0, run.stderr);
}

/** The first watcher that sees it, or undefined. */
function seenBy(objects: readonly string[], folder: string): string | undefined {
  for (const [name, sources, ...args] of WATCHERS) {
    const program = join(folder, name);
    gcc([partOf(name, sources), ...objects, '-o', program]);
    const run = spawnSync(program, args, { encoding: 'utf8', timeout: RUN_MS, killSignal: 9 });
    if (run.status !== 0) return `${name}: ${whatOf(run.stdout, run.signal, run.status)}`;
  }
  return undefined;
}

function whatOf(said: string, signal: string | null, status: number | null): string {
  return said.split('\n')[0] || (signal ?? `exit code ${status}`);
}

test(
  'nothing is seen where nothing is wrong',
  () =>
    within((folder) => {
      assert.is(seenBy(OBJECTS, folder), undefined);
    }),
  { timeoutMs: 20 * 60_000 },
);

for (const mutation of MUTATIONS) {
  if (mutation.unseen !== undefined) {
    test.skip(mutation.name, mutation.unseen);
    continue;
  }
  test(
    mutation.name,
    () =>
      within((folder) => {
        const seen = seenBy(mutated(mutation, folder), folder);
        assert.ok(seen !== undefined, 'nobody sees it');
        if (process.env.TWINSTEP_TOLD) console.log(`  ${mutation.name} | ${seen}`);
      }),
    { timeoutMs: 20 * 60_000 },
  );
}

function within(body: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'mutant-'));
  mkdirSync(folder, { recursive: true });
  try {
    body(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test.run();
