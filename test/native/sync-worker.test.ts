// What sync-up's thread finds in a disk and in a memory, against a look at all of it byte by byte.
import { spawnSync } from 'node:child_process';
import { createCipheriv, createHash } from 'node:crypto';
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { MemoryBanks } from '../../firmware/machine/memory-banks.ts';
import {
  GuestMemory,
  MemoryDigest,
  RUN_HEAD_BYTES,
  RUN_WORDS,
  SyncWorker,
} from '../../native/index.ts';
import { assert, repoPath, type SeededRandom, seededRandom, suite } from '../harness/index.ts';

const test = suite('native/sync-worker');
const folder = mkdtempSync(join(tmpdir(), 'twinstep-sync-'));
const BLOCK = 64 << 10;
const PAGE = 4096;
const HASH = 16;
const ZEROS = Buffer.alloc(BLOCK);
/** On a host that is shared. */
const LONG = { timeoutMs: 60_000 };
const KEY = Uint8Array.from({ length: 16 }, (_, i) => i);

interface Run {
  first: number;
  count: number;
  bytes: Buffer | undefined;
}

/** Copies of the runs that the last job left. */
function runsOf(worker: SyncWorker, runs: number): Run[] {
  const table = new Uint32Array(worker.runs);
  return Array.from({ length: runs }, (_, i) => {
    const [first, count, offset, bytes] = table.slice(i * RUN_WORDS, (i + 1) * RUN_WORDS);
    assert.ok(bytes === 0 || offset! >= RUN_HEAD_BYTES);
    const data = Buffer.from(Buffer.from(worker.buffer, offset!, bytes!));
    return { first: first!, count: count!, bytes: bytes === 0 ? undefined : data };
  });
}

/** A file of holes, zeros that were written, and data; its last block may be short. */
function image(name: string, blocks: number, random: SeededRandom): string {
  const path = join(folder, name);
  const fd = openSync(path, 'w');
  for (let block = 0; block < blocks; ) {
    const count = Math.min(blocks - block, 1 + random.int(random.chance(0.2) ? 200 : 6));
    const kind = random.pick(['hole', 'hole', 'zeros', 'data', 'data']);
    for (let i = 0; i < count; i++, block++) {
      if (kind === 'zeros') writeSync(fd, ZEROS, 0, BLOCK, block * BLOCK);
      // One byte decides.
      if (kind === 'data') {
        writeSync(fd, Uint8Array.of(1 + random.int(2)), 0, 1, block * BLOCK + random.int(BLOCK));
      }
    }
  }
  ftruncateSync(fd, blocks * BLOCK - (random.chance(0.5) ? 512 : 0));
  closeSync(fd);
  return path;
}

function hashOf(block: Buffer): Buffer {
  if (block.equals(ZEROS.subarray(0, block.length))) return Buffer.alloc(HASH);
  return createHash('sha256').update(block).digest().subarray(0, HASH);
}

const blocksOf = (content: Buffer) =>
  Array.from({ length: Math.ceil(content.length / BLOCK) }, (_, i) =>
    content.subarray(i * BLOCK, (i + 1) * BLOCK),
  );

interface Surveyed {
  first: number;
  zeros: number;
  hashes: Uint8Array;
}

async function surveyAll(worker: SyncWorker, path: string): Promise<Surveyed[]> {
  const fd = openSync(path, 'r');
  const { size } = statSync(path);
  const blocks = Math.ceil(size / BLOCK);
  const all: Surveyed[] = [];
  for (let first = 0; first < blocks; ) {
    const { zeros, hashed } = await worker.survey(fd, size, first, blocks);
    assert.ok(zeros + hashed > 0);
    all.push({ first, zeros, hashes: new Uint8Array(worker.buffer, 0, hashed * HASH).slice() });
    first += zeros + hashed;
  }
  closeSync(fd);
  return all;
}

test('a survey says of every block what it hashes to', async () => {
  const random = seededRandom('survey');
  const worker = new SyncWorker();
  for (let times = 0; times < 12; times++) {
    const path = image('survey', 1 + random.int(400), random);
    const blocks = blocksOf(readFileSync(path));
    const told: Buffer[] = [];
    for (const { zeros, hashes } of await surveyAll(worker, path)) {
      for (let i = 0; i < zeros; i++) told.push(Buffer.alloc(HASH));
      for (let at = 0; at < hashes.length; at += HASH) {
        told.push(Buffer.from(hashes.subarray(at, at + HASH)));
      }
    }
    assert.equal(
      told.map((hash) => hash.toString('hex')),
      blocks.map((block) => hashOf(block).toString('hex')),
    );
  }
  worker.close();
});

test(
  'what a comparison finds makes the other disk equal, and no block of it was equal before',
  async () => {
    const random = seededRandom('compare');
    const worker = new SyncWorker();
    for (let times = 0; times < 12; times++) {
      const count = 1 + random.int(400);
      const [here, there] = [image('here', count, random), image('there', count, random)];
      truncateSync(there, statSync(here).size);
      const content = readFileSync(there);
      const own = readFileSync(here);
      const fd = openSync(here, 'r');
      for (const { first, zeros, hashes } of await surveyAll(worker, there)) {
        const end = first + zeros + hashes.length / HASH;
        for (let from = first; from < end; ) {
          const past = Math.max(0, from - first - zeros);
          const left = Math.max(0, zeros - (from - first));
          const rest = hashes.subarray(past * HASH);
          const found = await worker.compare(fd, own.length, from, left, rest);
          assert.ok(found.next > from && found.next <= end);
          from = found.next;
          for (const run of runsOf(worker, found.runs)) {
            for (let i = 0; i < run.count; i++) {
              const at = (run.first + i) * BLOCK;
              const length = Math.min(BLOCK, content.length - at);
              const block = run.bytes?.subarray(i * BLOCK, i * BLOCK + length) ?? ZEROS;
              assert.not.ok(content.subarray(at, at + length).equals(block.subarray(0, length)));
              block.copy(content, at, 0, length);
            }
          }
        }
      }
      closeSync(fd);
      assert.ok(content.equals(own));
    }
    worker.close();
  },
  LONG,
);

test('a TiB that nobody wrote is one answer, and its few blocks are all that is read', async () => {
  const path = join(folder, 'large');
  const size = 2 ** 40;
  const fd = openSync(path, 'w+');
  ftruncateSync(fd, size);
  const data = [0, 1_000_000, 1_000_001, 2 ** 24 - 1];
  for (const block of data) writeSync(fd, Uint8Array.of(7), 0, 1, block * BLOCK);
  const worker = new SyncWorker();
  let read = 0;
  let answers = 0;
  for (let first = 0; first < 2 ** 24; ) {
    const { zeros, hashed, bytesRead } = await worker.survey(fd, size, first, 2 ** 24);
    first += zeros + hashed;
    read += bytesRead;
    answers++;
  }
  assert.is(read, data.length * BLOCK);
  assert.ok(answers <= data.length + 1, `${answers} answers`);
  const { next, runs, bytesRead } = await worker.compare(fd, size, 5, 999_000, new Uint8Array(0));
  assert.equal([next, runs, bytesRead], [999_005, 0, 0]);
  closeSync(fd);
  worker.close();
});

for (const gib of [1, 9]) {
  test(`${gib} GiB: pages that nobody touched are not looked at, and stay no memory`, () =>
    onlyTouched(gib));
}

async function onlyTouched(gib: number): Promise<void> {
  const random = seededRandom('pages');
  const pages = gib << 18;
  const memory = new GuestMemory({ bytes: pages * PAGE });
  const banks = MemoryBanks.of(memory);
  const touched = new Map<number, number>();
  for (let i = 0; i < 600; i++) {
    const page = random.int(pages - 3);
    // Runs, and pages that were touched and are zeros again.
    for (let next = page; next < page + 3; next++) touched.set(next, random.int(3));
  }
  for (const [page, value] of touched) banks.setU8(page * PAGE + random.int(PAGE), value);
  const residentBefore = process.memoryUsage.rss();
  const worker = new SyncWorker();
  const found = new Map<number, number>();
  for (let from = 0; from < pages; ) {
    // Another board's memory in which nothing is.
    const none = new Uint8Array(0);
    const scan = await worker.comparePages(memory, from, pages - from, none, KEY);
    assert.is(scan.compared, 0);
    from = scan.next;
    for (const { first, count, bytes: data } of runsOf(worker, scan.runs)) {
      for (let i = 0; i < count; i++) {
        found.set(first + i, Math.max(...data!.subarray(i * PAGE, (i + 1) * PAGE)));
      }
    }
  }
  const expected = [...touched].filter(([, value]) => value > 0).sort(([a], [b]) => a - b);
  assert.equal([...found], expected);
  assert.ok(process.memoryUsage.rss() - residentBefore < 100 << 20, 'nothing became real');
  // With a bitmap those that are named, the zeros among them.
  const named = [...new Set(Array.from({ length: 500 }, () => random.int(pages)))].sort(
    (a, b) => a - b,
  );
  const bitmap = new Uint8Array(pages / 8);
  for (const page of named) bitmap[page >> 3]! |= 1 << (page & 7);
  const told: [number, number][] = [];
  let lookedAt = 0;
  for (let from = 0; from < pages; ) {
    const scan = await worker.scanPages(memory, from, bitmap);
    from = scan.next;
    lookedAt += scan.lookedAt;
    for (const { first, count, bytes: data } of runsOf(worker, scan.runs)) {
      for (let i = 0; i < count; i++) {
        const value = data === undefined ? 0 : Math.max(...data.subarray(i * PAGE, (i + 1) * PAGE));
        told.push([first + i, value]);
      }
    }
  }
  assert.equal(
    told,
    named.map((page) => [page, touched.get(page) ?? 0]),
  );
  assert.is(lookedAt, named.filter((page) => touched.has(page)).length);
  // Cleared pages are zeros, and not looked at any more.
  memory.clearPages(0, pages);
  const { zeros, hashed } = await worker.surveyPages(memory, 0, KEY);
  assert.equal([zeros, hashed], [pages, 0]);
  assert.throws(() => memory.clearPages(pages - 1, 2), /no such pages/);
  worker.close();
  memory.close();
}

type PageKind = 'hole' | 'zeros' | 'data';

/** As a guest leaves it: stretches that nobody touched, zeros that were written, data. */
function fillPages(memory: GuestMemory, pages: number, random: SeededRandom): void {
  const bytes = new Uint8Array(memory.buffer);
  for (let page = 0; page < pages; ) {
    const count = Math.min(pages - page, 1 + random.int(random.chance(0.2) ? 900 : 6));
    const kind = random.pick<PageKind>(['hole', 'hole', 'zeros', 'data', 'data']);
    for (let i = 0; i < count; i++, page++) {
      if (kind === 'zeros') bytes[page * PAGE] = 0;
      // One byte decides.
      if (kind === 'data') bytes[page * PAGE + random.int(PAGE)] = 1 + random.int(2);
    }
  }
}

/** What happens to a memory until its board is brought into step again: something, nothing, or everything. */
function change(memory: GuestMemory, pages: number, random: SeededRandom): void {
  const bytes = new Uint8Array(memory.buffer);
  for (let left = random.pick([0, 1, 40, 1000]); left > 0; left--) {
    const page = random.int(pages);
    const kind = random.pick<PageKind>(['hole', 'zeros', 'data']);
    if (kind === 'hole') memory.clearPages(page, 1 + random.int(Math.min(700, pages - page)));
    if (kind === 'zeros') bytes.fill(0, page * PAGE, (page + 1) * PAGE);
    if (kind === 'data') bytes[page * PAGE + random.int(PAGE)]! ^= 1 << random.int(8);
  }
}

const pageOf = (memory: GuestMemory, page: number) => Buffer.from(memory.buffer, page * PAGE, PAGE);

test(
  'a memory becomes as another one, whatever was in it, by the pages that differ and no other',
  async () => {
    const random = seededRandom('memories');
    const worker = new SyncWorker();
    for (let times = 0; times < 24; times++) {
      const pages = 1 + random.int(6000);
      const [here, there] = [0, 1].map(() => new GuestMemory({ bytes: pages * PAGE })) as [
        GuestMemory,
        GuestMemory,
      ];
      fillPages(here, pages, random);
      // Another history altogether, or the same one and then another.
      if (random.chance(0.3)) fillPages(there, pages, random);
      else new Uint8Array(there.buffer).set(new Uint8Array(here.buffer));
      for (const memory of [here, there]) change(memory, pages, random);
      const key = random.bytes(16);
      let sent = 0;
      for (let first = 0; first < pages; ) {
        const { zeros, hashed } = await worker.surveyPages(there, first, key);
        assert.ok(zeros + hashed > 0 && first + zeros + hashed <= pages);
        const hashes = new Uint8Array(worker.buffer, 0, hashed * HASH).slice();
        const end = first + zeros + hashed;
        for (let from = first; from < end; ) {
          const past = Math.max(0, from - first - zeros) * HASH;
          const left = Math.max(0, first + zeros - from);
          const found = await worker.comparePages(here, from, left, hashes.subarray(past), key);
          assert.ok(found.next > from && found.next <= end);
          from = found.next;
          for (const { first: start, count, bytes } of runsOf(worker, found.runs)) {
            for (let i = 0; i < count; i++, sent++) {
              const page = pageOf(there, start + i);
              const data = bytes?.subarray(i * PAGE, (i + 1) * PAGE) ?? ZEROS.subarray(0, PAGE);
              assert.not.ok(page.equals(data), `page ${start + i} was equal`);
              data.copy(page);
            }
          }
        }
        first = end;
      }
      const isEqual = Buffer.from(here.buffer).equals(Buffer.from(there.buffer));
      assert.ok(isEqual, `history ${times}, ${sent} pages sent`);
      here.close();
      there.close();
    }
    worker.close();
  },
  LONG,
);

test('the hash of a page is its GMAC under the key, that of zeros zeros; a key has its length', async () => {
  const random = seededRandom('gmac');
  const pages = 64;
  const memory = new GuestMemory({ bytes: pages * PAGE });
  const bytes = new Uint8Array(memory.buffer);
  bytes[0] = 1;
  for (let page = 1; page < pages; page += 1 + random.int(3)) {
    bytes.set(random.bytes(PAGE), page * PAGE);
  }
  const worker = new SyncWorker();
  for (const key of [random.bytes(16), random.bytes(16)]) {
    assert.equal(await worker.surveyPages(memory, 0, key), { zeros: 0, hashed: pages });
    for (let page = 0; page < pages; page++) {
      const cipher = createCipheriv('aes-128-gcm', key, Buffer.alloc(12));
      cipher.setAAD(pageOf(memory, page));
      cipher.final();
      const isZero = pageOf(memory, page).equals(ZEROS.subarray(0, PAGE));
      const expected = isZero ? Buffer.alloc(HASH) : cipher.getAuthTag();
      assert.ok(Buffer.from(worker.buffer, page * HASH, HASH).equals(expected), `page ${page}`);
    }
  }
  assert.throws(() => worker.surveyPages(memory, 0, random.bytes(15)), /key of 16 bytes/);
  const odd = random.bytes(17);
  assert.throws(() => worker.comparePages(memory, 0, 1, odd, KEY), /16 bytes each/);
  // A survey of more than there is.
  const far = await worker.comparePages(memory, 0, 2 ** 20, random.bytes(160), KEY);
  assert.is(far.next, pages);
  worker.close();
  memory.close();
});

/** As storePages wants them; `isData` as it may be said wrongly. */
function pageRun(first: number, count: number, bytes?: Uint8Array, isData = bytes !== undefined) {
  const run = Buffer.alloc(7 + (bytes?.length ?? 0));
  run.writeUInt32LE(first);
  run.writeUInt16LE(count, 4);
  run.writeUInt8(Number(isData), 6);
  if (bytes !== undefined) run.set(bytes, 7);
  return run;
}

test('pages that are stored are in the memory and in its digest, the last of them counts', async () => {
  const random = seededRandom('store-pages');
  const pages = 300;
  const memory = new GuestMemory({ bytes: pages * PAGE });
  const digest = new MemoryDigest(memory);
  const expected = Buffer.alloc(pages * PAGE);
  const worker = new SyncWorker();
  const room = Buffer.from(worker.buffer);
  for (let job = 0; job < 40; job++) {
    let filled = 0;
    for (let n = random.int(12); n > 0; n--) {
      const count = random.int(10);
      const first = random.int(pages - count + 1);
      const kind = random.pick(['zeros', 'data', 'zeros as data']);
      const data = kind === 'data' ? random.bytes(count * PAGE) : Buffer.alloc(count * PAGE);
      filled += pageRun(first, count, kind === 'zeros' ? undefined : data).copy(room, filled);
      expected.set(data, first * PAGE);
    }
    await worker.storePages(digest, filled);
    const anew = new MemoryDigest(memory);
    const all = new Uint8Array(Math.ceil(pages / 64) * 8).fill(0xff);
    assert.is(digest.update(new Uint8Array(all.length)), anew.update(all));
    anew.close();
    const found = Buffer.alloc(expected.length);
    memory.read(0, found);
    assert.ok(found.equals(expected), `job ${job}`);
  }
  const bad = {
    'a head that is cut': pageRun(0, 1).subarray(0, 6),
    'bytes that are cut': pageRun(0, 2, new Uint8Array(2 * PAGE - 1)),
    'no bytes at all': pageRun(0, 1, undefined, true),
    'pages beyond the end': pageRun(pages - 1, 2, new Uint8Array(2 * PAGE)),
    'zeros beyond the end': pageRun(0xffffffff, 0xffff),
  };
  for (const [what, run] of Object.entries(bad)) {
    const why = await worker.storePages(digest, run.copy(room)).then(
      () => 'stored',
      (error: Error) => error.message,
    );
    assert.match(why, /EINVAL.*write/, what);
  }
  const before = Buffer.alloc(expected.length);
  memory.read(0, before);
  assert.ok(before.equals(expected), 'what is no run writes nothing');
  assert.throws(() => worker.storePages(digest, room.length + 1), /bytes/);
  digest.close();
  assert.throws(() => worker.storePages(digest, 0), /closed/);
  worker.close();
  memory.close();
});

test('a process that ends in the middle of a job ends as it wants to', () => {
  const path = join(folder, 'many');
  const fd = openSync(path, 'w+');
  writeSync(fd, seededRandom('many').bytes(64 * BLOCK));
  closeSync(fd);
  const addon = pathToFileURL(repoPath('dist/native/index.js')).href;
  const script = `
    const { SyncWorker } = await import('${addon}');
    const { openSync } = await import('node:fs');
    const fd = openSync('${path}', 'r');
    const workers = Array.from({ length: 8 }, () => new SyncWorker());
    const jobs = workers.map((worker) => worker.survey(fd, ${64 * BLOCK}, 0, 64));
    if (process.argv[1] === 'closes') for (const worker of workers) worker.close();
    if (process.argv[1] === 'waits') await Promise.race(jobs);
    process.exit(7);
  `;
  for (let times = 0; times < 5; times++) {
    for (const how of ['leaves', 'closes', 'waits']) {
      const flags = ['--input-type=module', '-e', script, how];
      const { status, signal, stderr } = spawnSync(process.execPath, flags, { encoding: 'utf8' });
      assert.equal([status, signal], [7, null], `${how}: ${stderr}`);
    }
  }
});

test('a file that became shorter is told with the block; one job at a time; closed is closed', async () => {
  const random = seededRandom('short');
  const path = join(folder, 'short');
  const fd = openSync(path, 'w+');
  writeSync(fd, random.bytes(4 * BLOCK));
  const worker = new SyncWorker();
  ftruncateSync(fd, 2 * BLOCK);
  // Holes end with the file: what is behind is no hole to whoever knows the size.
  const error = await worker.survey(fd, 4 * BLOCK, 1, 4).catch((reason) => reason);
  assert.equal([error.code, error.block], ['E_SHORT', 2]);
  const under = worker.survey(fd, 2 * BLOCK, 0, 2);
  assert.throws(() => worker.survey(fd, 2 * BLOCK, 0, 2), /under way/);
  worker.close();
  assert.is((await under).hashed, 2, 'a job under way is still answered');
  assert.throws(() => worker.survey(fd, 2 * BLOCK, 0, 2), /closed/);
  worker.close();
  closeSync(fd);
});

test.run();
