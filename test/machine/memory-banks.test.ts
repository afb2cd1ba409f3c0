// Memory in banks against a flat one: the same bytes, wherever an access lies, over one bank boundary or more.
import { MemoryBanks } from '../../firmware/machine/memory-banks.ts';
import { GIB, HIGH_RAM_BASE, LOW_RAM_MAX, memoryMap } from '../../firmware/machine/memory-map.ts';
import { Ram } from '../../firmware/machine/ram.ts';
import { GuestMemory } from '../../native/index.ts';
import { assert, type SeededRandom, seededRandom, suite } from '../harness/index.ts';

const test = suite('machine/memory-banks');

function inBanks(bytes: number, bankBytes: number): MemoryBanks {
  const banks: Uint8Array[] = [];
  for (let at = 0; at < bytes; at += bankBytes)
    banks.push(new Uint8Array(Math.min(bankBytes, bytes - at)));
  return new MemoryBanks(banks);
}

/** Both must answer alike, or both refuse. */
function alike(ours: () => unknown, flat: () => unknown): void {
  const of = (what: () => unknown) => {
    try {
      return what();
    } catch {
      return 'refused';
    }
  };
  assert.equal(of(ours), of(flat));
}

function range(flat: Uint8Array, at: number, bytes: number): Uint8Array {
  if (at + bytes > flat.length) throw new RangeError();
  return flat.subarray(at, at + bytes);
}

type Pair = { memory: MemoryBanks; flat: Uint8Array; view: DataView };
const ACTIONS: ((pair: Pair, at: number, random: SeededRandom) => void)[] = [
  ({ memory, view }, at) =>
    alike(
      () => memory.u8(at),
      () => view.getUint8(at),
    ),
  ({ memory, view }, at) =>
    alike(
      () => memory.u16(at),
      () => view.getUint16(at, true),
    ),
  ({ memory, view }, at) =>
    alike(
      () => memory.u32(at),
      () => view.getUint32(at, true),
    ),
  ({ memory, view }, at, random) => {
    const value = random.int(2 ** 8);
    alike(
      () => memory.setU8(at, value),
      () => view.setUint8(at, value),
    );
  },
  ({ memory, view, flat }, at, random) => {
    const value = random.int(2 ** 16);
    if (at + 2 <= flat.length)
      alike(
        () => memory.setU16(at, value),
        () => view.setUint16(at, value, true),
      );
  },
  ({ memory, view, flat }, at, random) => {
    const value = random.int(2 ** 32);
    if (at + 4 <= flat.length)
      alike(
        () => memory.setU32(at, value),
        () => view.setUint32(at, value, true),
      );
  },
  ({ memory, flat }, at, random) => {
    const bytes = random.int(60);
    alike(
      () => memory.copy(at, bytes),
      () => range(flat, at, bytes).slice(),
    );
  },
  ({ memory, flat }, at, random) => {
    const from = random.bytes(random.int(60));
    alike(
      () => memory.write(at, from),
      () => range(flat, at, from.length).set(from),
    );
  },
  ({ memory, flat }, at, random) => {
    const [bytes, value] = [random.int(60), random.int(256)];
    alike(
      () => memory.fill(at, bytes, value),
      () => void range(flat, at, bytes).fill(value),
    );
  },
];

test('any accesses leave the bytes that a flat memory has', () => {
  const random = seededRandom('memory banks');
  for (let round = 0; round < 60; round++) {
    const [bankBytes, bytes] = [8 + random.int(40), 1 + random.int(200)];
    const flat = new Uint8Array(bytes);
    const pair = { memory: inBanks(bytes, bankBytes), flat, view: new DataView(flat.buffer) };
    assert.is(pair.memory.bytes, bytes);
    for (let n = 0; n < 400; n++) random.pick(ACTIONS)(pair, random.int(bytes + 4), random);
    assert.equal(pair.memory.copy(0, bytes), flat);
  }
});

test('what leads outside is refused, and nothing moves', () => {
  const memory = inBanks(100, 48);
  for (const at of [-1, 97, 100, 144, 2 ** 40]) {
    for (const bytes of [4, 60]) {
      assert.throws(() => memory.write(at, new Uint8Array(bytes).fill(7)), RangeError);
      assert.throws(() => memory.fill(at, bytes, 7), RangeError);
      assert.throws(() => memory.copy(at, bytes), RangeError);
    }
  }
  for (const at of [-1, 100, 144]) assert.throws(() => memory.u8(at), /./);
  assert.equal(memory.copy(0, 100), new Uint8Array(100));
  assert.throws(() => new MemoryBanks([new Uint8Array(8), new Uint8Array(9)]), /unlike/);
  assert.throws(() => new MemoryBanks([]), RangeError);
});

test('a guest of 8 GiB: RAM at its boundaries, and only touched pages are gone through', () => {
  const native = new GuestMemory({ bytes: 8 * GIB });
  const memory = MemoryBanks.of(native);
  const written: string[] = [];
  const onWrite = (address: number, bytes: number) =>
    written.push(`${address.toString(16)}+${bytes}`);
  const ram = new Ram({ memory, onWrite });
  assert.is(ram.bytes, 8 * GIB);
  const highest = HIGH_RAM_BASE + 5 * GIB;
  assert.equal(memoryMap(8 * GIB).at(-1), { base: HIGH_RAM_BASE, count: 5 * GIB, kind: 'ram' });
  assert.not.ok(ram.writeU32(LOW_RAM_MAX - 2, 1), 'the banks meet there, the addresses do not');
  // Between the second bank and the third, addresses go on.
  const border = HIGH_RAM_BASE + 3 * GIB;
  assert.ok(ram.writeU64(border - 3, 0x0102_0304_0506_07));
  assert.is(ram.readU64(border - 3), 0x0102_0304_0506_07);
  assert.is(ram.readU32(border - 1), 0x0203_0405);
  assert.is(ram.readU16(border - 1), 0x0405);
  assert.ok(ram.write(border - 2, Uint8Array.of(9, 8, 7, 6)));
  assert.equal(ram.copy(border - 3, 6), Uint8Array.of(7, 9, 8, 7, 6, 2));
  assert.equal(
    native.banks.map((bank) => bank.byteLength / GIB),
    [3, 3, 2],
  );
  assert.equal([...new Uint8Array(native.banks[2]!, 0, 3)], [7, 6, 2]);
  assert.ok(ram.fill(highest - 4096, 4096, 5));
  assert.not.ok(ram.writeU8(highest, 1));
  assert.not.ok(ram.has(highest - 1, 2));
  assert.equal(written.at(0), `${(border - 3).toString(16)}+8`);
  const first = (6 * GIB) / 4096;
  const touched = [...memory.touched()];
  // Huge pages of a host may make more of it real, but never gigabytes.
  assert.ok(touched.some((range) => range.first <= first && range.end > first));
  assert.ok(touched.some(({ end }) => end === (8 * GIB) / 4096));
  assert.ok(touched.reduce((sum, range) => sum + range.end - range.first, 0) < 4096);
  native.close();
});

test.run();
