// Guest memory: bounds, sharing between threads, and a lifetime no order of closing can break.
import { once } from 'node:events';
import { constants, type PerformanceEntry, PerformanceObserver } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';
import { GuestMemory } from '../../native/index.ts';
import { assert, repoPath, suite } from '../harness/index.ts';

const test = suite('native/guest-memory');
const MIB = 1 << 20;
const GIB = 1024 * MIB;

/** A thread that attaches, writes `value` at 0, tells, and on any message reports byte 1 and ends. */
const WORKER = `
  const { parentPort, workerData } = require('node:worker_threads');
  const { GuestMemory } = require(workerData.addon);
  const memory = new GuestMemory({ token: workerData.token });
  const bytes = new Uint8Array(memory.buffer);
  bytes[0] = workerData.value;
  parentPort.postMessage('attached');
  parentPort.once('message', () => {
    parentPort.postMessage(bytes[1]);
    if (workerData.closes) memory.close();
    parentPort.close();
  });
`;

function startWorker(token: number, value: number, closes = true): Worker {
  const configuration = process.env.TWINSTEP_ADDON ?? 'Release';
  const addon = repoPath(`native/build/${configuration}/twinstep.node`);
  return new Worker(WORKER, { eval: true, workerData: { addon, token, value, closes } });
}

test('is zeroed, of the asked size, and the same buffer on every read', () => {
  const memory = new GuestMemory({ bytes: 2 * MIB });
  const bytes = new Uint8Array(memory.buffer);
  assert.is(bytes.length, 2 * MIB);
  assert.ok(bytes.every((byte) => byte === 0));
  assert.is(memory.buffer, memory.buffer);
  memory.close();
});

test('refuses sizes that are no memory, in words', () => {
  for (const bytes of [0, 1, 4095, 4097, 2 ** 36 + 4096, 2 ** 50]) {
    assert.throws(
      () => new GuestMemory({ bytes }),
      (error: unknown) => error instanceof RangeError && /multiple of 4096/.test(error.message),
    );
  }
  for (const bytes of [-4096, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '4096', null, 1n]) {
    assert.throws(() => new GuestMemory({ bytes: bytes as number }), /whole number/);
  }
  assert.throws(() => new (GuestMemory as new () => unknown)(), /needs \{ bytes \}/);
});

test('is read and written by offset, and nothing outside', () => {
  const memory = new GuestMemory({ bytes: 8 * GIB });
  const far = 7 * GIB - 3;
  memory.write(far, Uint8Array.of(1, 2, 3, 4, 5));
  const found = new Uint8Array(8);
  memory.read(far - 1, found);
  assert.equal([...found], [0, 1, 2, 3, 4, 5, 0, 0]);
  assert.is(new Uint8Array(memory.banks[2]!)[far - 6 * GIB], 1);
  memory.write(8 * GIB, new Uint8Array(0));
  for (const at of [8 * GIB - 7, 8 * GIB, 2 ** 53 - 1]) {
    assert.throws(() => memory.read(at, found), /8 bytes at \d+ of 8589934592/);
    assert.throws(() => memory.write(at, found), RangeError);
  }
  assert.throws(() => memory.read(-1, found), /whole number/);
  assert.throws(() => memory.read(0, 'bytes' as never), /Uint8Array/);
  memory.close();
  assert.throws(() => memory.read(0, found), /closed/);
});

test('a thread that only reads and writes it collects no garbage for it', async () => {
  const majors: string[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries() as (PerformanceEntry & { detail?: { kind: number } })[])
      if (entry.detail?.kind === constants.NODE_PERFORMANCE_GC_MAJOR) majors.push('major');
  });
  observer.observe({ entryTypes: ['gc'] });
  const count = async () => {
    await new Promise((resolve) => setTimeout(resolve, 10));
    return majors.splice(0).length;
  };
  await count();
  const memory = new GuestMemory({ bytes: 4 * GIB });
  memory.write(4 * GIB - 4096, new Uint8Array(4096).fill(1));
  memory.read(0, new Uint8Array(4096));
  assert.is(await count(), 0);
  assert.is(memory.banks.length, 2);
  assert.is(await count(), 2, 'what is avoided is there no more: banks could be made at once');
  memory.close();
  observer.disconnect();
});

test('takes the largest size without touching it', () => {
  const memory = new GuestMemory({ bytes: 64 * GIB });
  const { banks } = memory;
  const last = new Uint8Array(banks.at(-1)!);
  last[last.length - 1] = 7;
  assert.is(last.at(-1), 7);
  const end = (64 * GIB) / 4096;
  assert.equal(memory.realPages(end - 1), { first: end - 1, end });
  memory.close();
  assert.is(last.length, 0);
});

test('above 3 GiB it comes in banks, the same for every mapping', () => {
  const memory = new GuestMemory({ bytes: 7 * GIB });
  const other = new GuestMemory({ token: memory.token });
  assert.is(other.bytes, 7 * GIB);
  assert.is(memory.banks, memory.banks);
  assert.equal(
    other.banks.map(({ byteLength }) => byteLength / GIB),
    [3, 3, 1],
  );
  assert.throws(() => memory.buffer, /several banks/);
  for (const [at, bank] of memory.banks.entries()) {
    const bytes = new Uint8Array(bank);
    [bytes[0], bytes[bytes.length - 1]] = [at + 1, at + 101];
  }
  for (const [at, bank] of other.banks.entries()) {
    const bytes = new Uint8Array(bank);
    assert.equal([bytes[0], bytes.at(-1)], [at + 1, at + 101]);
  }
  memory.close();
  assert.throws(() => memory.banks, /closed/);
  assert.throws(() => memory.bytes, /closed/);
  other.close();
});

test('says which pages were ever touched, and not those given back', () => {
  const memory = new GuestMemory({ bytes: 5 * GIB });
  const pages = (5 * GIB) / 4096;
  assert.equal(memory.realPages(0), { first: pages, end: pages });
  const far = (4 * GIB) / 4096;
  new Uint8Array(memory.banks[1]!)[GIB] = 1;
  const { first, end } = memory.realPages(0);
  assert.ok(first <= far && end > far);
  assert.is(memory.realPages(far).first, far);
  assert.is(memory.realPages(end).first, pages);
  assert.is(memory.realPages(pages + 5).first, pages);
  memory.clearPages(far, 1);
  assert.is(new Uint8Array(memory.banks[1]!)[GIB], 0);
  memory.close();
  assert.throws(() => memory.realPages(0), /closed/);
});

test('a second mapping sees the same bytes and outlives the first', () => {
  const first = new GuestMemory({ bytes: MIB });
  const second = new GuestMemory({ token: first.token });
  new Uint8Array(first.buffer)[12345] = 99;
  first.close();
  assert.is(new Uint8Array(second.buffer)[12345], 99);
  const third = new GuestMemory({ token: second.token });
  assert.is(new Uint8Array(third.buffer)[12345], 99);
  second.close();
  third.close();
});

test('closing empties the views that are left and may be repeated', () => {
  const memory = new GuestMemory({ bytes: MIB });
  const bytes = new Uint8Array(memory.buffer);
  memory.close();
  memory.close();
  assert.is(bytes.length, 0);
  assert.throws(() => memory.buffer, /closed/);
  assert.throws(() => memory.token, /closed/);
});

test('a token is good exactly as long as some mapping is', () => {
  const memory = new GuestMemory({ bytes: MIB });
  const { token } = memory;
  const next = new GuestMemory({ bytes: MIB });
  assert.ok(next.token > token, 'tokens are never reused');
  next.close();
  assert.throws(() => new GuestMemory({ token: token + 1000 }), /no guest memory has token/);
  memory.close();
});

test('threads share it, in either order of leaving', async () => {
  for (const mainClosesFirst of [true, false]) {
    const memory = new GuestMemory({ bytes: MIB });
    const bytes = new Uint8Array(memory.buffer);
    const workers = [startWorker(memory.token, 11), startWorker(memory.token, 11, false)];
    await Promise.all(workers.map((worker) => once(worker, 'message')));
    assert.is(bytes[0], 11);
    bytes[1] = 42;
    if (mainClosesFirst) memory.close();
    for (const worker of workers) {
      const answer = once(worker, 'message');
      const exit = once(worker, 'exit');
      worker.postMessage('report');
      assert.equal(await answer, [42]);
      assert.equal(await exit, [0]);
    }
    if (!mainClosesFirst) {
      assert.is(bytes[0], 11);
      memory.close();
    }
  }
});

test('a thread ended in the middle leaves the others their memory', async () => {
  const memory = new GuestMemory({ bytes: MIB });
  const worker = startWorker(memory.token, 5);
  await once(worker, 'message');
  await worker.terminate();
  assert.is(new Uint8Array(memory.buffer)[0], 5);
  memory.close();
});

test('foreign objects are not memory', () => {
  const { close } = GuestMemory.prototype as { close: () => void };
  assert.throws(() => close.call({}));
  assert.throws(() => Reflect.get(GuestMemory.prototype, 'buffer', {}));
});

test('a thousand memories come and go without being kept', () => {
  for (let i = 0; i < 1000; i++) new GuestMemory({ bytes: 64 * MIB }).close();
});

test.run();
