// Who watches what the guest writes: every sync-up its own set, whatever becomes of another.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DiskReplica, REPLICA_BLOCK_BYTES } from '../../firmware/host/disk-replica.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('host/disk-replica');
let folder = '';
let disk: DiskReplica;

test.before.each(async () => {
  folder = mkdtempSync(join(tmpdir(), 'twinstep-replica-'));
  const path = join(folder, 'disk.img');
  writeFileSync(path, new Uint8Array(4 * REPLICA_BLOCK_BYTES));
  disk = await DiskReplica.open({
    ...{ path, isReadOnly: false, nowMs: () => 0 },
    onTrouble: (words) => assert.unreachable(words),
  });
});
test.after.each(async () => {
  await disk.close();
  rmSync(folder, { recursive: true });
});

const write = (block: number) =>
  new Promise<void>((resolve) => {
    const data = new Uint8Array(512).fill(1);
    const offset = block * REPLICA_BLOCK_BYTES;
    const where = { disk: 0, id: 1, offset, bytes: data.length };
    disk.request({ kind: 'disk-request', operation: 'write', ...where, data }, () => resolve());
  });

test('a sync-up that ends does not blind the one that replaced it', async () => {
  const old = disk.watch();
  await write(0);
  const next = disk.watch();
  await write(1);
  // A stopped sync-up ends in its own time: now.
  disk.unwatch(old);
  await write(2);
  assert.equal([next.take(), next.take(), next.take()], [1, 2, undefined]);
  assert.equal([old.take(), old.take(), old.take()], [0, 1, undefined]);
  disk.unwatch(next);
  await write(3);
  assert.is(next.take(), undefined);
});

test.run();
