// Nothing of a run stays in the temporary directory, however the run ends: it is a run of the real runner over
// a file that litters, in a temporary directory of its own.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  watch,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { assert, needs, repoPath, suite } from './index.ts';

const test = suite('harness/temp');
const SLOW = { timeoutMs: 60_000 };
const RUNNER = repoPath('dist/test/harness/main.js');
const CASE = repoPath('dist/test/harness/cases/temp-stays.case.js');
const THROUGH_RUNNER = [RUNNER, 'cases/temp-stays', '--suffix', '.case.js'];

/** A temporary directory for runs, and what the case says to whoever started it. */
function place() {
  const folder = mkdtempSync(join(tmpdir(), 'p'));
  chmodSync(folder, 0o711);
  const temp = join(folder, 't');
  mkdirSync(temp);
  return { folder, temp, say: join(folder, 'said') };
}
type Place = ReturnType<typeof place>;

/** The runner begins a run within this one; a file by hand joins one, so it must not know of this one. */
function start(args: string[], { temp, say }: Place, waits = false): ChildProcess {
  const { TWINSTEP_TEMP: run, TWINSTEP_TEST_EVENTS: _, ...env } = process.env;
  const more = {
    TMPDIR: temp,
    TWINSTEP_TEST_SAY: say,
    ...(waits ? { TWINSTEP_TEST_WAIT: '1' } : {}),
    ...(args === THROUGH_RUNNER ? { TWINSTEP_TEMP: run } : {}),
  };
  return spawn(process.execPath, args, { stdio: 'ignore', env: { ...env, ...more } });
}

async function ended(child: ChildProcess): Promise<number | string | null> {
  const [code, signal] = await once(child, 'exit');
  return code ?? signal;
}

/** What the case has said, once it has: the process it leaves, and the folder. */
async function said({ folder, say }: Place): Promise<{ pid: number; litter: string }> {
  const watcher = watch(folder);
  try {
    for (;;) {
      const words = existsSync(say) ? readFileSync(say, 'utf8') : '';
      const [, pid, litter] = /^(\d+) (.+)$/.exec(words) ?? [];
      if (litter !== undefined) return { pid: Number(pid), litter };
      await once(watcher, 'change');
    }
  } finally {
    watcher.close();
  }
}

function lives(pid: number): boolean {
  try {
    return !/^\S+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

function isLeftAlone({ temp }: Place, { pid, litter }: { pid: number; litter: string }): void {
  assert.equal(readdirSync(temp), []);
  assert.not.ok(existsSync(dirname(litter)), 'its folder is still there');
  assert.not.ok(lives(pid), 'a process of the run lives on');
}

test(
  'after a run that ended, and with a file run by hand',
  async () => {
    for (const args of [THROUGH_RUNNER, [CASE]]) {
      const there = place();
      const child = start(args, there);
      const [code, left] = await Promise.all([ended(child), said(there)]);
      assert.is(code, 0);
      isLeftAlone(there, left);
    }
  },
  SLOW,
);

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)
  test(
    `after ${signal} in the middle of it`,
    async () => {
      for (const args of [THROUGH_RUNNER, [CASE]]) {
        const there = place();
        const child = start(args, there, true);
        const left = await said(there);
        assert.ok(existsSync(left.litter) && lives(left.pid));
        child.kill(signal);
        assert.is(await ended(child), code);
        isLeftAlone(there, left);
      }
    },
    SLOW,
  );

test(
  'after the shell of npm is ended between npm and the run',
  async () => {
    const there = place();
    const { TWINSTEP_TEST_EVENTS: _, ...env } = process.env;
    const shell = spawn('sh', ['-c', '"$@"; true', 'sh', process.execPath, ...THROUGH_RUNNER], {
      stdio: 'ignore',
      env: {
        ...env,
        ...{ TMPDIR: there.temp, TWINSTEP_TEST_SAY: there.say, TWINSTEP_TEST_WAIT: '1' },
        npm_lifecycle_event: 'test',
      },
    });
    const left = await said(there);
    const gone = new Promise<void>((resolve) => {
      const watcher = watch(there.temp, () => {
        if (readdirSync(there.temp).length > 0) return;
        watcher.close();
        resolve();
      });
    });
    shell.kill('SIGKILL');
    await gone;
    isLeftAlone(there, left);
  },
  SLOW,
);

test(
  'what a killed run left is swept away by the next, what a living one has is not',
  async () => {
    const there = place();
    const living = start(THROUGH_RUNNER, there, true);
    const kept = await said(there);
    assert.ok(kept.litter.startsWith(there.temp));
    rmSync(there.say);
    const killed = start(THROUGH_RUNNER, there, true);
    const { pid, litter } = await said(there);
    killed.kill('SIGKILL');
    await ended(killed);
    assert.ok(existsSync(litter) && lives(pid));
    assert.is(await ended(start(THROUGH_RUNNER, { ...there, say: '/dev/null' })), 0);
    assert.not.ok(existsSync(litter) || lives(pid));
    assert.ok(existsSync(kept.litter) && lives(kept.pid));
    living.kill('SIGINT');
    await ended(living);
    isLeftAlone(there, kept);
  },
  SLOW,
);

async function isTakenElsewhere(change: (there: Place) => Place): Promise<void> {
  const there = place();
  const other = change(there);
  const child = start(THROUGH_RUNNER, other);
  const [, { litter, pid }] = await Promise.all([ended(child), said(there)]);
  assert.ok(litter.startsWith('/tmp/ts-run-'));
  assert.not.ok(existsSync(litter) || lives(pid));
  assert.equal(readdirSync(other.temp), []);
}

test('a temporary directory whose name is too long is not taken', () =>
  isTakenElsewhere((there) => {
    const temp = join(there.temp, 'x'.repeat(100));
    mkdirSync(temp);
    return { ...there, temp };
  }));

if (needs.root().met)
  test('nor, as root, one that is closed to others', () =>
    isTakenElsewhere((there) => {
      chmodSync(there.folder, 0o700);
      return there;
    }));

test.run();
