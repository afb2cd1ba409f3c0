// The chunk container: pushed in any pieces it gives the same chunks; every cut and every flipped
// bit ends reading at the last good chunk with the reason.
import {
  ChunkReader,
  chunkProblemText,
  encodeChunk,
  encodeMagic,
} from '../../firmware/lockstep/chunks.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('lockstep/chunks');
const random = seededRandom('chunks');
const CHUNKS = [0, 1, 100, 5000].map((length, kind) => ({ kind, payload: random.bytes(length) }));
const FILE = Buffer.concat([
  encodeMagic('TSTEST', 3),
  ...CHUNKS.map(({ kind, payload }) => encodeChunk(kind, payload)),
]);

function readAll(pieces: Iterable<Uint8Array>): { reader: ChunkReader; chunks: unknown[] } {
  const reader = new ChunkReader('TSTEST', 3);
  const chunks: unknown[] = [];
  for (const piece of pieces) {
    reader.push(piece);
    for (let chunk = reader.next(); chunk !== undefined; chunk = reader.next()) chunks.push(chunk);
  }
  return { reader, chunks };
}

test('whole, byte by byte, and in random pieces', () => {
  const pieces: Uint8Array[][] = [[FILE], [...FILE].map((byte) => Uint8Array.of(byte))];
  for (let round = 0; round < 20; round++) {
    const cuts: Uint8Array[] = [];
    for (let at = 0; at < FILE.length; ) {
      const end = at + 1 + random.int(2000);
      cuts.push(FILE.subarray(at, end));
      at = end;
    }
    pieces.push(cuts);
  }
  for (const cuts of pieces) {
    const { reader, chunks } = readAll(cuts);
    assert.equal(chunks, CHUNKS);
    assert.is(reader.problem, undefined);
    assert.is(reader.goodBytes, FILE.length);
    assert.is(reader.leftBytes, 0);
  }
});

test('cut anywhere: the chunks before the cut are whole', () => {
  for (let length = 0; length < FILE.length; length += 1 + random.int(40)) {
    const { reader, chunks } = readAll([FILE.subarray(0, length)]);
    assert.equal(chunks, CHUNKS.slice(0, chunks.length));
    assert.is(reader.problem, undefined);
    assert.is(reader.goodBytes + reader.leftBytes, length);
  }
});

test('one flipped bit is found, wherever it is', () => {
  for (let at = 0; at < FILE.length; at += at < 200 ? 1 : 37) {
    for (let bit = 0; bit < 8; bit++) {
      const bytes = Buffer.from(FILE);
      bytes[at] = (bytes[at] as number) ^ (1 << bit);
      const { reader, chunks } = readAll([bytes]);
      // A longer length may also make the reader wait for bytes that never come.
      assert.ok(reader.problem !== undefined || reader.leftBytes > 0, `bit ${bit} of byte ${at}`);
      assert.equal(chunks, CHUNKS.slice(0, chunks.length));
    }
  }
});

test('each problem in words', () => {
  assert.is(readAll([Buffer.alloc(20)]).reader.problem, 'magic');
  assert.is(readAll([encodeMagic('TSTEST', 4)]).reader.problem, 'version');
  assert.match(chunkProblemText('magic', 'log', 0), 'not a log');
  assert.match(chunkProblemText('version', 'checkpoint', 0), 'another version');
  assert.match(chunkProblemText('checksum', 'log', 77), 'damaged at byte 77');
});

test('too large a chunk is our own error, a claimed one is refused', () => {
  assert.throws(() => encodeChunk(1, new Uint8Array((4 << 20) + 1)), /chunk of/);
  const head = Buffer.alloc(12);
  head.writeUInt32LE(0xffffffff, 4);
  assert.is(readAll([encodeMagic('TSTEST', 3), head]).reader.problem, 'length');
});

test.run();
