// Dirty pages: every page that changed is reported, once a change, and nothing else is.
import { assert, seededRandom, suite } from '../harness/index.ts';
import { GUESTS, loadGuest, needsGcc } from './guest.ts';
import { TestMachine } from './machine.ts';
import * as raw from './raw.ts';
import { on } from './under-test.ts';
import { lifeOf } from './walk.ts';

const test = suite('softcpu/dirty');
test.needs(needsGcc());

const PAGE = 4096;

function taken(machine: TestMachine): number[] {
  const bitmap = new Uint8Array(machine.bytes.length / PAGE / 8);
  machine.engine.takeDirtyPages(bitmap);
  return Array.from({ length: bitmap.length * 8 }, (_, page) => page).filter(
    (page) => ((bitmap[page >> 3] ?? 0) >> (page & 7)) & 1,
  );
}

function changedPages(before: Uint8Array, after: Uint8Array): number[] {
  const pages: number[] = [];
  for (let at = 0; at < before.length; at += PAGE) {
    const [a, b] = [before.subarray(at, at + PAGE), after.subarray(at, at + PAGE)];
    if (Buffer.compare(a, b) !== 0) pages.push(at / PAGE);
  }
  return pages;
}

/** Runs raw code to its HLT and says which pages it dirtied; `code` writes values that differ. */
function dirtiedBy(...code: (readonly number[])[]): number[] {
  const machine = new TestMachine(raw.rawGuest(...code, raw.halt));
  taken(machine);
  assert.is(machine.run(1_000_000n), 'halt');
  const pages = taken(machine);
  assert.equal(taken(machine), []);
  machine.close();
  return pages;
}

test('exactly the pages written', () => {
  const value = raw.movEax(0x11223344);
  assert.equal(dirtiedBy(value, raw.loadEax(0x50000)), []);
  assert.equal(dirtiedBy(value, raw.storeEax(0x10000), raw.storeEax(0x12ffc)), [0x10, 0x12]);
  assert.equal(dirtiedBy(value, raw.storeEax(0x40ffe)), [0x40, 0x41]);
  assert.equal(dirtiedBy(value, raw.movEsp(0x31000), raw.pushEax), [0x30]);
  assert.equal(
    dirtiedBy(value, raw.movEdi(0x20ff0), raw.movEcx(0x1100), raw.repStosb),
    [0x20, 0x21, 0x22],
  );
  assert.equal(dirtiedBy(raw.increment(0x60000)), [0x60]);
  assert.equal(dirtiedBy([0xdd, 0x35, 0xf0, 0x2f, 0x07, 0]), [0x72, 0x73]); // fnsave [0x72ff0]
  assert.equal(dirtiedBy([0x0f, 0xab, 0x05, 0, 0, 9, 0]), [0x90]); // bts [0x90000], eax
});

test('a page written again after it was taken is dirty again', () => {
  const store = raw.forever(raw.increment(0x10000), raw.increment(0x20000));
  const machine = new TestMachine(raw.rawGuest(store));
  machine.run(30n);
  taken(machine);
  for (let n = 0; n < 5; n++) {
    machine.run(machine.icount + 3n);
    assert.equal(taken(machine), [0x10, 0x20]);
    assert.equal(taken(machine), []);
  }
  machine.close();
});

test('pages written by devices count, also partly, and only where there is memory', () => {
  const machine = new TestMachine();
  taken(machine);
  machine.engine.memoryWritten(0x5fff, 2);
  machine.engine.memoryWritten(0x9000, 0x1000);
  machine.engine.memoryWritten(0xb000, 0);
  machine.engine.memoryWritten(machine.bytes.length, 0x2000);
  machine.engine.memoryWritten(machine.bytes.length - 1, 0x2000);
  assert.equal(taken(machine), [5, 6, 9, machine.bytes.length / PAGE - 1]);
  machine.close();
});

test('the bitmap is added to, never cleared', () => {
  const machine = new TestMachine(undefined, 24 * PAGE);
  const bitmap = new Uint8Array(3).fill(0x81);
  machine.engine.memoryWritten(PAGE, 1);
  machine.engine.takeDirtyPages(bitmap);
  assert.equal([...bitmap], [0x83, 0x81, 0x81]);
  machine.close();
});

for (const name of GUESTS) {
  const random = seededRandom(`dirty ${name}`);
  test(
    `${name}: every page that changes between random positions is reported`,
    () => {
      const end = lifeOf(loadGuest(name));
      const machine = new TestMachine(loadGuest(name));
      taken(machine);
      let reported = 0;
      let changed = 0;
      while (machine.icount < end) {
        const before = machine.bytes.slice();
        const stop = machine.run(machine.icount + 1n + (random.bigint(60) % (end / 8n)));
        const dirty = new Set(taken(machine));
        const differing = changedPages(before, machine.bytes);
        for (const page of differing) {
          assert.ok(dirty.has(page), `page ${page} changed before ${machine.icount}`);
        }
        reported += dirty.size;
        changed += differing.length;
        if (stop !== 'limit') break;
      }
      // Some pages are written with what they held already; most are not.
      assert.ok(changed > 0 && reported < changed * 2 + 16, `${reported} for ${changed}`);
      machine.close();
    },
    { timeoutMs: on.timeoutMs },
  );
}

test.run();
