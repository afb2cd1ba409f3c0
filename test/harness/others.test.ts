// What a test runs as another user is where that user can read it, also in a clone that only root may enter, with
// a Node that lies there, too: a copy of what is compiled is closed, and the case runs in it.
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdtempSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert, needs, repoPath, suite } from './index.ts';
import { isOpen } from './temp.ts';

const test = suite('harness/others');

if (needs.root().met)
  test(
    'in a closed clone',
    () => {
      // As mkdtemp makes it, for root alone.
      const clone = mkdtempSync(join(tmpdir(), 'clone-'));
      const addon = `native/build/${process.env.TWINSTEP_ADDON ?? 'Release'}/twinstep.node`;
      for (const part of ['package.json', 'dist', addon])
        cpSync(repoPath(part), join(clone, part), { recursive: true });
      symlinkSync(repoPath('node_modules'), join(clone, 'node_modules'));
      const node = join(clone, 'node');
      copyFileSync(process.execPath, node);
      assert.not.ok(isOpen(node));
      const { TWINSTEP_TEMP: _, TWINSTEP_TEST_EVENTS: __, TMPDIR: ___, ...env } = process.env;
      const file = join(clone, 'dist/test/harness/cases/others.case.js');
      const run = spawnSync(node, [file], { encoding: 'utf8', env, cwd: clone });
      assert.is(run.status, 0, run.stdout + run.stderr);
    },
    { timeoutMs: 120_000 },
  );
else test.skip('in a closed clone', 'needs root');

test('every test that runs something as another user does it so', () => {
  const files = readdirSync(repoPath('test'), { recursive: true, encoding: 'utf8' });
  const asOthers = files
    // What runs in an emulated board finds its own users there.
    .filter((file) => /\.ts$/.test(file) && !/^(appliance|boards)\//.test(file))
    .map((file) => ({ file, text: readFileSync(repoPath(`test/${file}`), 'utf8') }))
    .filter(({ text }) => /'--reuid|process\.setuid\(/.test(text));
  assert.ok(asOthers.length >= 4);
  // Or it loads everything before it becomes somebody else.
  for (const { file, text } of asOthers)
    assert.match(text, /forOthers\(\)|The modules are loaded while it is root/, file);
});

test.run();
