// The stream between two boards: what is written is read, in any pieces a writer gives; whatever else
// comes is a reason, never an exception.

import type { Entry } from '../../firmware/lockstep/entry.ts';
import {
  type Item,
  ItemReader,
  ItemWriter,
  STREAM_PIECE_BYTES_MAX,
} from '../../firmware/lockstep/item-stream.ts';
import { decodeLiveState, encodeLiveState } from '../../firmware/lockstep/live-state.ts';
import { assert, type SeededRandom, seededRandom, suite } from '../harness/index.ts';

const test = suite('lockstep/item-stream');

function randomItems(random: SeededRandom, count: number): Item[] {
  let position = 0n;
  let life = 1;
  return Array.from({ length: count }, (): Item => {
    if (random.chance(0.05)) {
      position = 0n;
      const entropySeed = random.bytes(32);
      const multiplier = random.bigint(40) + 1n;
      const epochSeconds = random.int(2 ** 31);
      return { kind: 'life', birth: { number: ++life, epochSeconds, entropySeed, multiplier } };
    }
    if (random.chance(0.05)) {
      const offsetNs = random.bigint(60) * (random.chance(0.5) ? 1n : -1n);
      return { kind: 'line', offsetNs };
    }
    position += random.bigint(20);
    const frame = random.bytes(random.int(1500));
    const body: Entry['body'] = random.chance(0.5)
      ? { kind: 'net-rx', nic: random.int(4), frame }
      : { kind: 'digest', state: random.bigint(64), memory: random.bigint(64) };
    return { kind: 'entry', entry: { position, body } };
  });
}

function write(items: readonly Item[], random: SeededRandom): Uint8Array[] {
  const writer = new ItemWriter();
  const pieces: Uint8Array[] = [];
  for (const item of items) {
    if (item.kind === 'entry') writer.append(item.entry);
    else if (item.kind === 'line') writer.line(item.offsetNs);
    else writer.life(item.birth);
    if (random.chance(0.2)) pieces.push(...writer.take());
  }
  pieces.push(...writer.take());
  assert.ok(writer.isEmpty);
  assert.is(writer.entries, items.filter(({ kind }) => kind === 'entry').length);
  return pieces;
}

test('items come out as they went in', () => {
  const random = seededRandom('round trip');
  for (let round = 0; round < 20; round++) {
    const items = randomItems(random, 1 + random.int(200));
    const reader = new ItemReader();
    const read = write(items, random).flatMap((piece) => reader.push(piece));
    assert.is(reader.problem, undefined);
    assert.equal(read, items);
  }
});

test('pieces have memory of their own and a bounded size', () => {
  const random = seededRandom('pieces');
  const writer = new ItemWriter();
  for (let i = 0; i < 1000; i++) {
    writer.append({ position: 0n, body: { kind: 'net-rx', nic: 0, frame: random.bytes(1500) } });
  }
  const pieces = writer.take();
  assert.ok(pieces.length > 4);
  for (const piece of pieces) {
    assert.ok(piece.length <= STREAM_PIECE_BYTES_MAX);
    assert.is(piece.buffer.byteLength, piece.length);
  }
});

test('noise, cuts and flipped bits are read or refused, never thrown', () => {
  const random = seededRandom('noise');
  for (let round = 0; round < 300; round++) {
    const pieces = write(randomItems(random, 20), random);
    const reader = new ItemReader();
    for (const piece of pieces) {
      const how = random.int(20);
      if (how === 0) reader.push(random.bytes(random.int(100)));
      else if (how === 1) reader.push(piece.subarray(0, random.int(piece.length)));
      else if (how === 2) piece[random.int(piece.length)]! ^= 1 << random.int(8);
      reader.push(piece);
    }
    if (reader.problem !== undefined) assert.equal(reader.push(pieces[0]!), [], 'nothing after it');
  }
});

test('a life that no leader would begin is refused', () => {
  for (const bytes of [
    [2, 1, 1, 0, ...new Uint8Array(32)], // a clock that stands still
    [2, 1, 1, 1, ...new Uint8Array(31)],
    [2, ...[255, 255, 255, 255, 127], 1, 1, ...new Uint8Array(32)],
    [0],
    [3],
    [3, 0x80, 0],
    [4],
  ]) {
    const reader = new ItemReader();
    assert.equal(reader.push(Uint8Array.from(bytes)), []);
    assert.type(reader.problem, 'string');
  }
});

test('the state of a running machine is refused when one bit of it differs', () => {
  const random = seededRandom('state');
  const birth = { number: 3, epochSeconds: 7, entropySeed: random.bytes(32), multiplier: 1n };
  const outputs = { sequence: 9n, hash: 1, unmarked: 2 };
  const machine = { version: 1, engine: random.bytes(50) } as never;
  const bytes = encodeLiveState({ birth, machine, outputs });
  assert.equal(decodeLiveState(bytes), { birth, machine, outputs });
  for (let at = 0; at < bytes.length; at++) {
    const altered = bytes.slice();
    altered[at]! ^= 1 << random.int(8);
    assert.throws(
      () => decodeLiveState(altered),
      (error: { code: string }) => error.code === 'E_CHECKPOINT',
    );
    assert.throws(() => decodeLiveState(bytes.subarray(0, at)));
  }
});

test.run();
