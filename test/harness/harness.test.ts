// The harness is what everything else is believed by, so each promise of it is broken on purpose
// (cases/) and the real runner must notice. uvu alone would let most of these pass.
import { spawnSync } from 'node:child_process';
import { assert, repoPath, seededRandom, suite } from './index.ts';

const test = suite('harness');

interface Verdict {
  status: number | null;
  out: string;
  lastLine: string;
}

function runCase(name: string, ...more: string[]): Verdict {
  const main = repoPath('dist/test/harness/main.js');
  const args = [
    '--enable-source-maps',
    main,
    `cases/${name}\\.case`,
    '--suffix',
    '.case.js',
    ...more,
  ];
  const { TWINSTEP_SEED: _, ...env } = process.env;
  const run = spawnSync(process.execPath, args, { encoding: 'utf8', env, timeout: 20_000 });
  const out = run.stdout + run.stderr;
  return { status: run.status, out, lastLine: out.trimEnd().split('\n').at(-1) ?? '' };
}

function expect(name: string, status: number, lastLine: string, ...words: string[]): void {
  test(
    name,
    () => {
      const verdict = runCase(name);
      assert.is(verdict.lastLine, lastLine, verdict.out);
      assert.is(verdict.status, status);
      for (const word of words)
        assert.ok(verdict.out.includes(word), `says "${word}"\n${verdict.out}`);
    },
    { timeoutMs: 30_000 },
  );
}

expect('passes', 0, '2 passed, 0 failed, 0 skipped');
expect('fails', 1, '2 passed, 1 failed, 0 skipped', 'fails: bad');
expect(
  'hangs',
  1,
  '0 passed, 1 failed, 0 skipped',
  'hangs: waits for ever',
  'not finished after 200 ms',
);
expect(
  'blocks',
  1,
  '0 passed, 1 failed, 0 skipped',
  'blocks: spins for ever',
  'blocked event loop',
);
expect('no-tests', 1, '0 passed, 1 failed, 0 skipped', 'no test ran');
expect('empty-suite', 1, '0 passed, 1 failed, 0 skipped', 'no test ran');
expect('no-run', 1, '1 passed, 1 failed, 0 skipped', 'forgets', '.run() was never called');
expect('before-hook', 1, '0 passed, 2 failed, 0 skipped', '(before hook)', 'set-up broke');
expect('after-hook', 1, '1 passed, 1 failed, 0 skipped', '(after hook)', 'tear-down broke');
expect('each-hook', 1, '0 passed, 1 failed, 0 skipped', 'clean-up broke');
expect('non-error', 1, '1 passed, 2 failed, 0 skipped', 'rejects with nothing', 'no Error: words');
expect('late-throw', 1, '1 passed, 1 failed, 0 skipped', 'too late');
expect('open-handle', 1, '1 passed, 1 failed, 0 skipped', 'open handles');
expect('early-exit', 1, '0 passed, 1 failed, 0 skipped', 'early exit: ends the process');
expect('skips', 0, '1 passed, 0 failed, 2 skipped', 'skipped 1: needs a moon', 'needs patience');
// Beside a good file, so that the total alone cannot give it away.
expect('(passes|no-tests)', 1, '2 passed, 1 failed, 0 skipped', 'no test ran');
expect('(passes|empty-suite)', 1, '2 passed, 1 failed, 0 skipped', 'no test ran');
expect('matches-no-file', 1, '0 passed, 1 failed, 0 skipped', 'nothing matches');

test(
  'the seed is printed, can be given, and decides the numbers',
  () => {
    const numbers = (verdict: Verdict) => /numbers (\d+ \d+)/.exec(verdict.out)?.[1];
    const first = runCase('seed');
    assert.match(first.out, /seed 1\b/);
    assert.is(numbers(first), numbers(runCase('seed', '--seed', '1')));
    const other = runCase('seed', '--seed', '7');
    assert.match(other.out, /seed 7\b/);
    assert.is.not(numbers(other), numbers(first));
  },
  { timeoutMs: 30_000 },
);

test('seeded numbers stay in their ranges and fill them', () => {
  const random = seededRandom('ranges');
  const seen = new Set<number>();
  for (let i = 0; i < 1000; i++) {
    const value = random.int(10);
    assert.ok(Number.isInteger(value) && value >= 0 && value < 10);
    seen.add(value);
    assert.ok(random.float() < 1);
    assert.ok(random.bigint(40) < 1n << 40n);
  }
  assert.is(seen.size, 10);
  assert.is(random.bytes(33).length, 33);
});

test.run();
