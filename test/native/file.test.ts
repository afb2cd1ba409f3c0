// Locks and holes, by descriptor.
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { lockFile, punchHole } from '../../native/index.ts';
import { assert, repoPath, suite } from '../harness/index.ts';

const test = suite('native/file');

const folder = mkdtempSync(join(tmpdir(), 'twinstep-file-'));
const path = join(folder, 'file');
const configuration = process.env.TWINSTEP_ADDON ?? 'Release';
const addon = repoPath(`native/build/${configuration}/twinstep.node`);
test.after(() => rmSync(folder, { recursive: true }));
test.before.each(() => writeFileSync(path, new Uint8Array(1 << 20).fill(7)));

test('a lock keeps out other openings of the file, also in this process, until closed', () => {
  const [a, b] = [openSync(path, 'r+'), openSync(path, 'r+')];
  assert.is(lockFile(a, true), true);
  assert.is(lockFile(a, true), true, 'its own is no obstacle');
  assert.is(lockFile(b, true), false);
  assert.is(lockFile(b, false), false);
  closeSync(a);
  assert.is(lockFile(b, false), true);
  const c = openSync(path, 'r');
  assert.is(lockFile(c, false), true, 'readers share');
  assert.is(lockFile(c, true), false);
  closeSync(b);
  closeSync(c);
});

test('the lock of a killed process is gone with it', () => {
  const script = `
    const fd = require('node:fs').openSync(${JSON.stringify(path)}, 'r+');
    if (require(${JSON.stringify(addon)}).lockFile(fd, true)) process.kill(process.pid, 'SIGKILL');`;
  assert.is(spawnSync(process.execPath, ['-e', script]).signal, 'SIGKILL');
  const fd = openSync(path, 'r+');
  assert.is(lockFile(fd, true), true);
  closeSync(fd);
});

test('a hole reads as zeros, costs nothing, and leaves its neighbours', async () => {
  const fd = openSync(path, 'r+');
  const before = statSync(path);
  assert.is(await punchHole(fd, 4096 + 100, 500_000), true);
  closeSync(fd);
  const bytes = readFileSync(path);
  assert.ok(bytes.subarray(0, 4196).every((byte) => byte === 7));
  assert.ok(bytes.subarray(4196, 504_196).every((byte) => byte === 0));
  assert.ok(bytes.subarray(504_196).every((byte) => byte === 7));
  assert.is(statSync(path).size, before.size);
  assert.ok(statSync(path).blocks < before.blocks);
});

const errorOf = async (work: () => unknown) => {
  try {
    await work();
  } catch (error) {
    return error as Error & { code?: string };
  }
  return undefined;
};

test('failures carry the code Node uses', async () => {
  const readOnly = openSync(path, 'r');
  assert.is((await errorOf(() => punchHole(readOnly, 0, 512)))?.code, 'EBADF');
  closeSync(readOnly);
  assert.is((await errorOf(() => lockFile(readOnly, true)))?.code, 'EBADF');
  assert.match((await errorOf(() => lockFile(9999, true)))?.message ?? '', /^EBADF: .*lockFile$/);
  const fd = openSync(path, 'r+');
  assert.is((await errorOf(() => punchHole(fd, 0, 0)))?.code, 'EINVAL');
  closeSync(fd);
});

test('arguments are checked', async () => {
  for (const fd of [-1, 1.5, 2 ** 31, '0', undefined, null, 1n, Number.NaN]) {
    assert.throws(() => lockFile(fd as number, true), /fd must be a whole number/);
    assert.throws(() => punchHole(fd as number, 0, 1), /fd must be a whole number/);
  }
  assert.throws(() => lockFile(0, 1 as never), /isExclusive/);
  assert.throws(() => punchHole(0, -1, 1), /offset/);
  assert.throws(() => punchHole(0, 0, 2 ** 53), /bytes/);
});

test('a worker may end while holes are being punched', async () => {
  for (let round = 0; round < 20; round++) {
    const worker = new Worker(
      `const { punchHole } = require(${JSON.stringify(addon)});
       const fd = require('node:fs').openSync(${JSON.stringify(path)}, 'r+');
       for (let i = 0; i < 50; i++) punchHole(fd, i * 4096, 4096).catch(() => {});
       if (${round % 2}) process.exit(0);
       require('node:worker_threads').parentPort.postMessage('busy');`,
      { eval: true },
    );
    worker.on('message', () => worker.terminate());
    await new Promise((resolve) => worker.once('exit', resolve));
  }
});

test.run();
