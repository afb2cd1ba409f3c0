// Pages of a closed slice: what is packed is unpacked, in parts that fit a message, and bytes that are
// no pages of this guest are refused in words.
import { packPages, unpackPages } from '../../firmware/lockstep/slice-pages.ts';
import { MemoryBanks } from '../../firmware/machine/memory-banks.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('lockstep/slice-pages');
const PAGES = 256;
const PAGE_BYTES = 4096;

test('any set of pages comes out as it went in, parts below 256 KiB', () => {
  const random = seededRandom('pages');
  for (const chance of [0, 0.01, 0.5, 1]) {
    const memory = random.bytes(PAGES * PAGE_BYTES);
    const dirty = new Uint8Array(PAGES / 8 + 8);
    const wanted = Array.from({ length: PAGES }, (_, n) => n).filter(() => random.chance(chance));
    for (const page of wanted) dirty[page >> 3] = dirty[page >> 3]! | (1 << (page & 7));
    // A bitmap of whole words may go on behind the memory.
    dirty[PAGES / 8] = 0xff;
    const parts = packPages({ memory: new MemoryBanks([memory]), takeDirty: () => dirty });
    assert.ok(parts.length >= 1 && parts.every(({ length }) => length <= 250 << 10));
    const pages = new Map<number, Uint8Array>();
    for (const part of parts) assert.is(unpackPages(part, memory.length, pages), undefined);
    assert.equal([...pages.keys()], wanted);
    for (const [page, bytes] of pages)
      assert.equal(bytes, memory.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES));
  }
});

test('bytes that are no pages of this guest are refused', () => {
  const pages = new Map<number, Uint8Array>();
  assert.match(unpackPages(new Uint8Array(4095), 1 << 20, pages) ?? '', /4095 bytes of pages/);
  const beyond = new Uint8Array(4100);
  new DataView(beyond.buffer).setUint32(0, 256, true);
  assert.match(unpackPages(beyond, 1 << 20, pages) ?? '', /page 256, beyond its memory/);
  new DataView(beyond.buffer).setUint32(0, 0xffffffff, true);
  assert.match(unpackPages(beyond, 1 << 20, pages) ?? '', /beyond/);
  assert.is(pages.size, 0);
});

test.run();
