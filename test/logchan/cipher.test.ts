// The native cipher computes what the plain one does, and looks at nothing outside its buffers.

import { NodeCipher } from '../../logchan/cipher.ts';
import { clusterTag, DIRECTION, sessionKeys } from '../../logchan/keys.ts';
import { nativeCipher } from '../../logchan/native-cipher.ts';
import { HEADER_BYTES, KIND, writeHeader } from '../../logchan/wire.ts';
import { FrameCipher } from '../../native/index.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';
import { KEYS, vectorBytes, vectors } from './vectors.ts';

const test = suite('logchan/cipher');
const keys = sessionKeys(KEYS.pairingKey, clusterTag(KEYS.cluster), {
  mine: KEYS.lower,
  theirs: KEYS.higher,
});

function frameFor(bytes: number, counter: number): Uint8Array {
  const frame = new Uint8Array(HEADER_BYTES + bytes + 16).fill(0xa5);
  writeHeader(frame, KIND.sealed, 1, counter, bytes + 16);
  return frame;
}

test('seals to the same bytes and opens what the other sealed', () => {
  const random = seededRandom('native cipher');
  const [plainOne, native] = [new NodeCipher(keys.send), nativeCipher(keys.send)];
  for (let i = 0; i < 400; i++) {
    const bytes = random.pick([0, 1, 15, 16, 17, 31, 64, 1000, 8968, random.int(2000)]);
    const counter = 1 + Number(random.bigint(random.int(48)));
    const body = random.bytes(bytes + random.int(5));
    const [a, b] = [frameFor(bytes, counter), frameFor(bytes, counter)];
    plainOne.seal(counter, a, body, bytes);
    native.seal(counter, b, body, bytes);
    assert.is(Buffer.compare(a, b), 0, `${bytes} bytes, counter ${counter}`);
    for (const cipher of [plainOne, native]) {
      const at = random.int(20);
      const amid = new Uint8Array(at + a.length + 9);
      amid.set(a, at);
      const out = new Uint8Array(9000);
      assert.is(cipher.open(counter, amid, at, at + a.length, out), bytes);
      assert.is(Buffer.compare(out.subarray(0, bytes), body.subarray(0, bytes)), 0);
    }
  }
});

test('refuses what the other refuses', () => {
  const random = seededRandom('native refuses');
  const native = nativeCipher(keys.send);
  const out = new Uint8Array(9000);
  const sealed = vectors.filter(({ name }) => /^(sealed|bad-tag|bad-counter)/.test(name));
  for (const { name } of sealed) {
    const frame = vectorBytes(name);
    const counter = Number(`0x${Buffer.from(frame.subarray(8, 14)).toString('hex')}`);
    const opens = native.open(counter, frame, 0, frame.length, out);
    assert.is(opens >= 0, !name.startsWith('bad'), name);
    for (let i = 0; i < 60; i++) {
      const flipped = frame.slice();
      const bit = random.int(frame.length * 8);
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      assert.is(native.open(counter, flipped, 0, flipped.length, out), -1);
    }
    for (let end = 0; end < frame.length; end++)
      assert.is(native.open(counter, frame, 0, end, out), -1);
    assert.is(native.open(counter + 1, frame, 0, frame.length, out), -1);
  }
});

test('says no to buffers that are too small and arguments that are none', () => {
  const native = new FrameCipher(keys.send.key, DIRECTION.fromLower);
  const frame = frameFor(100, 5);
  const plain = new Uint8Array(100);
  const wrong: (() => unknown)[] = [
    () => native.seal(5, frame, plain, 101),
    () => native.seal(5, frame.subarray(0, 131), plain, 100),
    () => native.seal(-1, frame, plain, 100),
    () => native.seal(2 ** 48, frame, plain, 100),
    () => native.seal(5, frame, plain, Number.NaN),
    () => native.open(5, frame, 10, 5, plain),
    () => native.open(5, frame, 0, 133, plain),
    () => native.open(5, frame, -1, 132, plain),
    () => native.open(5, new Uint16Array(66) as never, 0, 132, plain),
    () => native.open(5, {} as never, 0, 132, plain),
    () => new FrameCipher(new Uint8Array(31), 1),
    () => new FrameCipher('key' as never, 1),
  ];
  for (const [i, call] of wrong.entries()) assert.throws(call, undefined, `case ${i}`);
  assert.is(native.open(5, frame, 0, 132, plain.subarray(0, 99)), -1, 'no room for the plain text');
});

test('a detached buffer is an empty one', () => {
  const native = new FrameCipher(keys.send.key, DIRECTION.fromLower);
  const frame = frameFor(100, 5);
  structuredClone(frame.buffer, { transfer: [frame.buffer as ArrayBuffer] });
  assert.throws(() => native.seal(5, frame, new Uint8Array(100), 100), /no room/);
});

test.run();
