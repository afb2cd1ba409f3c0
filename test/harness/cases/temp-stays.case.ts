// Leaves a folder behind, and a process that goes on writing into it; waits for ever if told to.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert, suite } from '../index.ts';

const test = suite('temp-stays');

test(
  'litters',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'twinstep-litter-'));
    const child = spawn(
      'sh',
      ['-c', 'while mkdir -p "$0/again/$$"; do echo >"$0/on"; done', folder],
      {
        detached: true,
        stdio: 'ignore',
      },
    );
    child.unref();
    const { TWINSTEP_TEST_SAY: say, TWINSTEP_TEST_WAIT: wait } = process.env;
    if (say !== undefined) writeFileSync(say, `${child.pid} ${folder}`);
    if (wait !== undefined) await new Promise((resolve) => setTimeout(resolve, 60_000));
    assert.ok(existsSync(folder));
  },
  { timeoutMs: 70_000 },
);

test.run();
