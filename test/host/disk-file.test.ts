// The disk replica against a model disk, against a second opener, and against every way in which an
// image file can be wrong.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DiskOperation, DiskRequest } from '../../firmware/devices/contracts.ts';
import { DiskError, type DiskErrorCode } from '../../firmware/host/disk-errors.ts';
import { type DiskCompletion, DiskFile } from '../../firmware/host/disk-file.ts';
import { assert, type SeededRandom, seededRandom, suite } from '../harness/index.ts';
import { forOthers } from '../harness/others.ts';

const test = suite('host/disk-file');

const SECTORS = 256;
const folder = mkdtempSync(join(tmpdir(), 'twinstep-disk-'));
const image = join(folder, 'image');
test.after(() => rmSync(folder, { recursive: true }));
test.before.each(() => writeFileSync(image, new Uint8Array(SECTORS * 512)));

/** An open disk, its answers, and its troubles. */
class Subject {
  readonly answers = new Map<number, DiskCompletion>();
  readonly troubles: DiskError[] = [];
  readonly order: number[] = [];
  private nextId = 1;
  private readonly disk: DiskFile;
  private readonly waiting = new Map<number, (completion: DiskCompletion) => void>();

  private constructor(disk: DiskFile) {
    this.disk = disk;
  }

  static async open(isReadOnly = false, path = image): Promise<Subject> {
    let subject: Subject | undefined;
    const disk = await DiskFile.open({
      path,
      isReadOnly,
      onCompletion: (completion) => subject!.answered(completion),
      onTrouble: (error) => subject!.troubles.push(error),
    });
    subject = new Subject(disk);
    return subject;
  }

  get file(): DiskFile {
    return this.disk;
  }

  submit(operation: DiskOperation, sector = 0, sectors = 0, data?: Uint8Array): DiskRequest {
    const request: DiskRequest = {
      kind: 'disk-request',
      disk: 3,
      id: this.nextId++,
      operation,
      offset: sector * 512,
      bytes: sectors * 512,
      data,
    };
    this.disk.submit(request);
    return request;
  }

  ask(operation: DiskOperation, sector = 0, sectors = 0, data?: Uint8Array) {
    const { id } = this.submit(operation, sector, sectors, data);
    return new Promise<DiskCompletion>((resolve) => this.waiting.set(id, resolve));
  }

  private answered(completion: DiskCompletion): void {
    assert.not.ok(this.answers.has(completion.id), 'answered once');
    assert.is(completion.disk, 3);
    this.answers.set(completion.id, completion);
    this.order.push(completion.id);
    this.waiting.get(completion.id)?.(completion);
  }
}

const filled = (sectors: number, value: number) => new Uint8Array(sectors * 512).fill(value);

test('writes, reads, flushes, and the file has it', async () => {
  const disk = await Subject.open();
  assert.equal([disk.file.sectors, disk.file.isReadOnly], [SECTORS, false]);
  assert.equal(await disk.ask('write', 5, 2, filled(2, 7)), {
    kind: 'disk-completion',
    disk: 3,
    id: 1,
    status: 'ok',
    data: undefined,
  });
  assert.is((await disk.ask('flush')).status, 'ok');
  assert.equal(
    (await disk.ask('read', 4, 4)).data,
    new Uint8Array([...filled(1, 0), ...filled(2, 7), ...filled(1, 0)]),
  );
  await disk.file.close();
  assert.equal(new Uint8Array(readFileSync(image).subarray(2560, 3584)), filled(2, 7));
  const { reads, writes, flushes, readBytes, writtenBytes, failed } = disk.file.counters;
  assert.equal([reads, writes, flushes, readBytes, writtenBytes, failed], [1, 1, 1, 2048, 1024, 0]);
});

test('discard and write-zeroes give zeros and give the space back', async () => {
  const mib = 2048;
  writeFileSync(image, new Uint8Array(4 * mib * 512).fill(9));
  const disk = await Subject.open();
  const before = statSync(image).blocks;
  await disk.ask('discard', 0, mib);
  await disk.ask('write-zeroes', mib + 3, mib);
  const { data } = await disk.ask('read', 0, 3 * mib);
  assert.ok(data!.subarray(0, mib * 512).every((byte) => byte === 0));
  assert.ok(data!.subarray(mib * 512, (mib + 3) * 512).every((byte) => byte === 9));
  assert.ok(data!.subarray((mib + 3) * 512, (2 * mib + 3) * 512).every((byte) => byte === 0));
  assert.is(data!.at((2 * mib + 3) * 512), 9);
  await disk.file.close();
  assert.is(statSync(image).size, 4 * mib * 512);
  assert.ok(statSync(image).blocks < before, 'holes');
});

/** Random requests, many at once; a model that works strictly in order must agree. */
async function storm(disk: Subject, random: SeededRandom): Promise<void> {
  const model = new Uint8Array(SECTORS * 512);
  const expected = new Map<number, Uint8Array>();
  for (let i = 0; i < 1500; i++) {
    const count = 1 + random.int(8);
    const sector = random.int(SECTORS - count);
    const [from, to] = [sector * 512, (sector + count) * 512];
    const operation = random.pick(['read', 'read', 'write', 'write', 'discard', 'flush'] as const);
    if (operation === 'write') {
      const data = filled(count, random.int(256));
      model.set(data, from);
      disk.submit('write', sector, count, data);
    } else if (operation === 'read') {
      expected.set(disk.submit('read', sector, count).id, model.slice(from, to));
    } else if (operation === 'discard') {
      model.fill(0, from, to);
      disk.submit('discard', sector, count);
    } else disk.submit('flush');
    if (random.chance(0.02)) await new Promise(setImmediate);
  }
  await disk.file.close();
  assert.is(disk.answers.size, 1500);
  for (const [id, data] of expected) assert.equal(disk.answers.get(id)?.data, data, `read ${id}`);
  assert.equal(new Uint8Array(readFileSync(image)), model);
}

test('many at once are as one after the other', async () => {
  const disk = await Subject.open();
  await storm(disk, seededRandom('storm'));
  assert.equal(disk.troubles, []);
  assert.ok(disk.file.counters.waited > 100, 'there were overlaps');
  const inOrder = disk.order.every((id, index) => id === index + 1);
  assert.not.ok(inOrder, 'they really were done at the same time');
});

test('close waits for what is in flight and may be called twice; then nothing is taken', async () => {
  const disk = await Subject.open();
  for (let i = 0; i < 20; i++) disk.submit('write', i % 3, 1, filled(1, i));
  assert.is(disk.file.inFlight, 20);
  await Promise.all([disk.file.close(), disk.file.close()]);
  assert.is(disk.answers.size, 20);
  assert.is(disk.file.inFlight, 0);
  assert.throws(() => disk.submit('flush'), /after close/);
  const open = await Subject.open();
  assert.throws(() => open.submit('write', 0, 2, filled(1, 0)), /without its data/);
  await open.file.close();
});

async function demandError(code: DiskErrorCode, words: RegExp, path = image, isReadOnly = false) {
  try {
    await (await Subject.open(isReadOnly, path)).file.close();
  } catch (error) {
    assert.instance(error, DiskError);
    const { code: found, message } = error as DiskError;
    assert.is(found, code, message);
    assert.match(message, words);
    assert.ok(message.includes(path) && !message.includes('\n'), message);
    return;
  }
  assert.unreachable(`no ${code}`);
}

test("an image is one writer's, or many readers'", async () => {
  const writer = await Subject.open();
  await demandError('E_DISK_BUSY', /in use by another program/);
  await demandError('E_DISK_BUSY', /in use/, image, true);
  await writer.file.close();
  const readers = [await Subject.open(true), await Subject.open(true)];
  await demandError('E_DISK_BUSY', /in use/);
  for (const reader of readers) {
    assert.is((await reader.ask('write', 0, 1, filled(1, 1))).status, 'io-error');
    assert.is((await reader.ask('discard', 0, 1)).status, 'io-error');
    assert.match(reader.troubles[0]?.message ?? '', /opened read-only/);
    assert.is((await reader.ask('read', 0, 1)).status, 'ok');
    await reader.file.close();
  }
  await (await Subject.open()).file.close();
});

test('files that are no disk are refused in words', async () => {
  await demandError('E_DISK_MISSING', /no such file/, join(folder, 'nothere'));
  await demandError('E_DISK_MISSING', /no such file/, join(image, 'below'));
  await demandError('E_DISK_KIND', /directory/, folder);
  await demandError('E_DISK_KIND', /not a regular file/, folder, true);
  await demandError('E_DISK_KIND', /not a regular file/, '/dev/null');
  const pipe = join(folder, 'pipe');
  assert.is(spawnSync('mkfifo', [pipe]).status, 0);
  await demandError('E_DISK_KIND', /not a regular file/, pipe, true);
  for (const [bytes, words] of [
    [0, /is empty/],
    [511, /511 bytes are no multiple of 512/],
    [513, /513 bytes/],
  ] as const) {
    truncateSync(image, bytes);
    await demandError('E_DISK_SIZE', words);
  }
});

test('an image cut short while open, and requests beyond its end, are errors with words', async () => {
  const disk = await Subject.open();
  truncateSync(image, 10 * 512);
  assert.is((await disk.ask('read', 8, 2)).status, 'ok');
  assert.is((await disk.ask('read', 9, 2)).status, 'io-error');
  assert.is((await disk.ask('read', SECTORS - 1, 2)).status, 'io-error');
  assert.equal(
    disk.troubles.map(({ code }) => code),
    ['E_DISK_SHORT', 'E_DISK_FAILED'],
  );
  assert.is(disk.file.counters.failed, 2);
  await disk.file.close();
});

/** Runs a script on a file system of its own, mounted at `folder`/mnt; what it printed. */
function onFileSystem(options: string, prepare: string, user: string[], script: string): string {
  const { node, path } = forOthers();
  const modules = JSON.stringify(path('dist/firmware/host/disk-file.js'));
  const body = `import(${modules}).then(async ({ DiskFile }) => { ${script} })
    .catch((error) => console.log(error.code, error.message));`;
  const shell = `mkdir -p "$0" && mount -t tmpfs -o ${options} none "$0" && cd "$0" && ${prepare} && exec "$@"`;
  const result = spawnSync(
    'unshare',
    [
      ...(process.getuid?.() === 0 ? ['--mount'] : ['--map-root-user', '--mount']),
      ...['sh', '-c', shell, join(folder, 'mnt'), ...user, node, '-e', body],
    ],
    { encoding: 'utf8' },
  );
  return result.stdout.trim() || result.stderr;
}

const OPEN = `
  const disk = await DiskFile.open({
    path: 'image',
    isReadOnly: false,
    onCompletion: ({ id, status }) => console.log(id, status),
    onTrouble: ({ code, message }) => console.log(code, message),
  });`;
const canMount =
  spawnSync('unshare', [...(process.getuid?.() === 0 ? [] : ['-r']), '-m', 'true']).status === 0;

if (canMount) {
  test('a full file system: the request fails with words, the disk goes on', () => {
    const printed = onFileSystem(
      'size=128k',
      'truncate -s 1M image',
      [],
      `${OPEN}
      const write = (id, offset, bytes) => disk.submit({ kind: 'disk-request', disk: 0, id,
        operation: 'write', offset, bytes, data: new Uint8Array(bytes) });
      write(1, 0, 65536);
      write(2, 0, 524288);
      write(3, 0, 512);
      await disk.close();`,
    );
    assert.equal(printed.split('\n'), [
      '1 ok',
      'E_DISK_NO_SPACE disk image: no space left on its file system',
      '2 io-error',
      '3 ok',
    ]);
  });

  test('read-only file systems and forbidden files say so', () => {
    const readOnly = 'truncate -s 1M image && mount -o remount,ro none "$PWD"';
    const ro = onFileSystem('size=1m', readOnly, [], `${OPEN} await disk.close();`);
    assert.match(ro, /^E_DISK_READ_ONLY disk image: lies on a read-only file system/);
    if (process.getuid?.() !== 0) return;
    const nobody = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'];
    const forbid = 'truncate -s 1M image && chmod 444 image';
    const no = onFileSystem('size=1m', forbid, nobody, `${OPEN} await disk.close();`);
    assert.match(no, /^E_DISK_PERMISSION disk image: no permission/);
  });
} else test.skip('full and read-only file systems', 'needs a mount namespace');

test.run();
