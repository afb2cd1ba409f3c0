// State encoding: one value, one encoding; what is written is read; bytes from hell never throw.

import type { StateValue } from '../../firmware/devices/contracts.ts';
import { decodeState, encodeState } from '../../firmware/lockstep/state-codec.ts';
import { assert, type SeededRandom, seededRandom, suite } from '../harness/index.ts';

const test = suite('lockstep/state-codec');

function randomValue(random: SeededRandom, depth = 0): StateValue {
  const choice = random.int(depth > 3 ? 6 : 8);
  switch (choice) {
    case 0:
      return random.pick([null, true, false]);
    case 1:
      return random.pick([0, -1, 0.1, 2 ** 40, -(2 ** 52), Number.MAX_VALUE, random.u32()]);
    case 2:
      return random.bigint(random.int(64) + 1) * random.pick([1n, -1n]);
    case 3:
      return random.pick(['', 'irq', 'Grüße', '\u0000']);
    case 4:
    case 5:
      return random.bytes(random.int(20));
    case 6:
      return Array.from({ length: random.int(5) }, () => randomValue(random, depth + 1));
    default:
      return Object.fromEntries(
        Array.from({ length: random.int(5) }, () => [
          `field${random.int(100)}`,
          randomValue(random, depth + 1),
        ]),
      );
  }
}

test('what is written is read', () => {
  const random = seededRandom('state');
  for (let round = 0; round < 2000; round++) {
    const value = randomValue(random);
    assert.equal(decodeState(encodeState(value)), value);
  }
});

test('the order of fields does not matter', () => {
  assert.equal(
    encodeState({ b: 1, a: { d: 2n, c: null } }),
    encodeState({ a: { c: null, d: 2n }, b: 1 }),
  );
  assert.equal(encodeState(-0), encodeState(0));
});

test('different values differ', () => {
  const values: StateValue[] = [
    0,
    0n,
    false,
    null,
    '',
    '0',
    new Uint8Array(1),
    [],
    [0],
    {},
    -1n,
    1n,
  ];
  const encoded = new Set(values.map((value) => Buffer.from(encodeState(value)).toString('hex')));
  assert.is(encoded.size, values.length);
});

test('what no state may hold is our own error', () => {
  assert.throws(() => encodeState(Number.NaN), /NaN/);
  assert.throws(() => encodeState({ a: undefined as unknown as null }), /undefined/);
});

test('cut, longer and mutated bytes never throw', () => {
  const random = seededRandom('mutate');
  for (let round = 0; round < 5000; round++) {
    const bytes = Buffer.from(encodeState(randomValue(random)));
    const cut = bytes.subarray(0, random.int(bytes.length));
    assert.is(decodeState(cut), undefined);
    assert.is(decodeState(Buffer.concat([bytes, Buffer.of(0)])), undefined);
    bytes[random.int(bytes.length)] = random.int(256);
    decodeState(bytes);
    decodeState(random.bytes(random.int(40)));
  }
});

test('a value of another field order is refused', () => {
  const bytes = Buffer.from(encodeState({ a: 1, b: 2 }));
  const swapped = Buffer.from(bytes);
  swapped[swapped.indexOf('a'.charCodeAt(0))] = 'b'.charCodeAt(0);
  assert.is(decodeState(swapped), undefined);
});

test('nesting beyond reason is refused', () => {
  const deep = Buffer.concat([Buffer.from(Array(100).fill([8, 1]).flat()), Buffer.of(0)]);
  assert.is(decodeState(deep), undefined);
});

test.run();
