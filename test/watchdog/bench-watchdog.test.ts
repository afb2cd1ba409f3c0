// The stand-in for a hardware watchdog: it really kills, and only whom it was given.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BenchWatchdog } from '../../watchdog/bench-watchdog.ts';
import { assert, repoPath, suite } from '../harness/index.ts';
import { until } from './pty.ts';

const test = suite('watchdog/bench-watchdog');
let folder = '';
test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'twinstep-dog-'));
});
test.after.each(() => rmSync(folder, { recursive: true, force: true }));

const DOG_MS = 400;

/** Runs a bench board to its end in a process group of its own. */
async function board(mode: string, statusFile: string) {
  const script = repoPath('dist/test/watchdog/bench-board.js');
  const child = spawn(process.execPath, [script, mode, statusFile, String(DOG_MS)], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  let armedMs = 0;
  child.stdout.on('data', (bytes) => {
    if (out === '') armedMs = performance.now();
    out += bytes;
  });
  const signal = await new Promise<string | null>((resolve) =>
    child.once('close', (_code, by) => resolve(by)),
  );
  const [first = '{}', second = '{}'] = out.trim().split('\n');
  const lived = performance.now() - armedMs;
  return { signal, lived, ...JSON.parse(first), ...JSON.parse(second) } as {
    signal: string | null;
    lived: number;
    caused: boolean;
    dog: number;
    pets?: number;
  };
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test(
  'a healthy board is petted, lives, and an ordered stop disarms',
  async () => {
    const { signal, caused, dog, pets = 0 } = await board('healthy', join(folder, 'status'));
    assert.is(signal, null);
    assert.is(caused, false);
    assert.ok(pets > 10, `${pets} pets`);
    await until('the stand-in is gone', () => !alive(dog));
  },
  { timeoutMs: 20_000 },
);

for (const mode of ['stuck-vcpu', 'blocked-loop', 'dead-disk']) {
  test(
    `${mode}: no pet, a real kill, and the next start knows who did it`,
    async () => {
      const status = join(folder, 'status');
      const died = await board(mode, status);
      assert.is(died.signal, 'SIGKILL');
      assert.ok(died.lived > 300 && died.lived < 300 + 150 + DOG_MS + 500, `${died.lived} ms`);
      const next = await board('healthy', status);
      assert.is(next.caused, true);
    },
    { timeoutMs: 20_000 },
  );
}

test('the stand-in kills nobody but the group it was given', () => {
  for (const group of [0, 1, -5, 1.5, Number.NaN]) {
    assert.throws(
      () => new BenchWatchdog({ group, timeoutMs: 1000, statusFile: 'x' }),
      /not a group/,
    );
  }
});

test.run();
