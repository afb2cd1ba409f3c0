// Who watches what the guest writes: every sync-up its own set, whatever becomes of another.
import { mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DiskReplica, REPLICA_BLOCK_BYTES } from '../../firmware/host/disk-replica.ts';
import { HOLD_ERRORS_MS } from '../../firmware/host/held-errors.ts';
import { assert, suite } from '../harness/index.ts';
import { until } from '../watchdog/pty.ts';

const test = suite('host/disk-replica');
/** A second, and what a busy machine adds. */
const SOON_MS = 10_000;
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

test('a file that is deleted, moved or cut is noticed within a second, and when it is back', async () => {
  const { path } = disk;
  const aside = `${path}.aside`;
  const told = (pattern: RegExp) =>
    until(String(pattern), () => pattern.test(disk.displaced ?? ''), SOON_MS);
  const isWell = () => until('well again', () => disk.displaced === null, SOON_MS);
  assert.is(disk.displaced, null);
  renameSync(path, aside);
  await told(/disk .*disk\.img: no such file/);
  await write(0);
  renameSync(aside, path);
  await isWell();
  truncateSync(path, 512);
  await told(/became shorter/);
  truncateSync(path, 4 * REPLICA_BLOCK_BYTES);
  await isWell();
});

test('another file in its place is taken when there is no guest, and only then', async () => {
  const { path } = disk;
  rmSync(path);
  await until('gone', () => disk.displaced !== null, SOON_MS);
  const refused = await disk.reopen().catch((error: Error) => error.message);
  assert.match(String(refused), /no such file/);
  await write(1);
  writeFileSync(path, new Uint8Array(4 * REPLICA_BLOCK_BYTES).fill(7));
  await until('another', () => /another file/.test(disk.displaced ?? ''), SOON_MS);
  assert.is((await disk.readBlock(0))[0], 0, 'goes on with what it has');
  await disk.reopen();
  assert.is(disk.displaced, null);
  assert.is((await disk.readBlock(0))[0], 7);
});

test('after trouble the block that failed tells when the disk is well again, and no news comes meanwhile', async () => {
  const path = join(folder, 'failing.img');
  const bytes = 4 * REPLICA_BLOCK_BYTES;
  writeFileSync(path, new Uint8Array(bytes).fill(5));
  const told: string[] = [];
  const options = { path, isReadOnly: false, nowMs: () => 0 };
  const failing = await DiskReplica.open({ ...options, onTrouble: (words) => told.push(words) });
  truncateSync(path, REPLICA_BLOCK_BYTES);
  await failing.readBlock(3).catch(() => {});
  for (let times = 0; times < 3; times++) await failing.tryAgain();
  assert.match(failing.trouble!, 'became shorter');
  assert.is(told.length, 1);
  // What works elsewhere shows nothing of the block that failed, as long as it is only a trial.
  truncateSync(path, bytes);
  const trial = failing.tryAgain();
  await failing.writeBlock(3, new Uint8Array(REPLICA_BLOCK_BYTES).fill(7));
  await trial;
  assert.is(failing.trouble, null);
  assert.is((await failing.readBlock(3))[0], 7, 'a block written meanwhile is not written over');
  await failing.close();
});

test('an error waits while another board may do better, shows as trouble meanwhile, and not for ever', async () => {
  const path = join(folder, 'held.img');
  const bytes = 4 * REPLICA_BLOCK_BYTES;
  writeFileSync(path, new Uint8Array(bytes));
  let now = 0;
  let holds = true;
  const told: string[] = [];
  const replica = await DiskReplica.open({
    ...{ path, isReadOnly: false, nowMs: () => now, onTrouble: () => {} },
    holdsErrors: () => holds,
  });
  const read = (name: string, block: number) => {
    const where = { disk: 0, id: 1, offset: block * REPLICA_BLOCK_BYTES, bytes: 512 };
    const request = { kind: 'disk-request', operation: 'read', ...where, data: undefined } as const;
    replica.request(request, (status) => told.push(`${name} ${status}`));
    return replica.idle();
  };
  truncateSync(path, REPLICA_BLOCK_BYTES);
  await read('first', 3);
  await read('second', 2);
  await read('third', 0);
  assert.equal(told, ['third ok']);
  assert.match(replica.trouble!, 'became shorter', 'what works elsewhere is no proof');
  holds = false;
  await until('told', () => told.length === 3, SOON_MS);
  assert.equal(told.splice(0), ['third ok', 'first io-error', 'second io-error']);
  holds = true;
  await read('bounded', 3);
  assert.equal(told, []);
  now += HOLD_ERRORS_MS;
  await until('told in the end', () => told.length === 1, SOON_MS);
  await read('last', 3);
  replica.tellErrors();
  assert.equal(told, ['bounded io-error', 'last io-error']);
  await replica.close();
});

test.run();
