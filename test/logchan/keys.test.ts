// Keys: both boards agree, everything that should change them does, and tags are what they must be.
import { createHash } from 'node:crypto';
import { NodeCipher } from '../../logchan/cipher.ts';
import { clusterTag, HelloAuth, parsePairingKey, sessionKeys } from '../../logchan/keys.ts';
import { HEADER_BYTES, KIND, writeHeader } from '../../logchan/wire.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';
import { KEYS, ramp } from './vectors.ts';

const test = suite('logchan/keys');
const cluster = clusterTag(KEYS.cluster);
const nonces = { mine: KEYS.lower, theirs: KEYS.higher };
const swapped = { mine: KEYS.higher, theirs: KEYS.lower };

test('both boards come to the same keys, crosswise', () => {
  const a = sessionKeys(KEYS.pairingKey, cluster, nonces);
  const b = sessionKeys(KEYS.pairingKey, cluster, swapped);
  assert.is(a.session, b.session);
  assert.equal(a.send, b.receive);
  assert.equal(a.receive, b.send);
  assert.not.equal(a.send.key, a.receive.key);
  assert.is.not(a.send.direction, a.receive.direction);
});

test('any changed input changes both keys', () => {
  const inputs = [
    sessionKeys(KEYS.pairingKey, cluster, nonces),
    sessionKeys(ramp(1, 32), cluster, nonces),
    sessionKeys(KEYS.pairingKey, clusterTag('press-5'), nonces),
    sessionKeys(KEYS.pairingKey, cluster, { ...nonces, mine: ramp(0x41, 32) }),
    sessionKeys(KEYS.pairingKey, cluster, { ...nonces, theirs: ramp(0x81, 32) }),
  ];
  const seen = new Set(
    inputs.flatMap(({ send, receive }) => [send, receive].map(({ key }) => key.join())),
  );
  assert.is(seen.size, 2 * inputs.length);
});

test('a session with oneself and a short key are our own mistakes', () => {
  const same = { mine: KEYS.lower, theirs: KEYS.lower.slice() };
  assert.throws(() => sessionKeys(KEYS.pairingKey, cluster, same), /oneself/);
  assert.throws(() => new HelloAuth(ramp(0, 31)), /32 bytes/);
});

test('key files', () => {
  const digits = Buffer.from(KEYS.pairingKey).toString('hex');
  assert.equal(parsePairingKey(KEYS.pairingKey), KEYS.pairingKey);
  assert.equal(parsePairingKey(Buffer.from(` ${digits.toUpperCase()}\n`)), KEYS.pairingKey);
  for (const bad of ['', digits.slice(1), `${digits}0`, `${digits.slice(1)}g`, 'key']) {
    assert.throws(() => parsePairingKey(Buffer.from(bad)), /64 hexadecimal digits/);
  }
  assert.throws(() => parsePairingKey(ramp(0, 33)), /32 bytes/);
});

test('cluster tags do not tell the name', () => {
  assert.is(cluster.length, 8);
  const plain = createHash('sha256').update(KEYS.cluster).digest().subarray(0, 8);
  assert.not.equal(Buffer.from(cluster), plain);
});

test('what is sealed opens only unaltered, in its direction, under its counter', () => {
  const random = seededRandom('seal');
  const { send, receive } = sessionKeys(KEYS.pairingKey, cluster, nonces);
  const [sealer, opener, wrong] = [
    new NodeCipher(send),
    new NodeCipher(send),
    new NodeCipher(receive),
  ];
  const wrongDirection = new NodeCipher({ key: send.key, direction: receive.direction });
  for (const bytes of [0, 1, 15, 16, 17, 200, 1468]) {
    const plain = random.bytes(bytes);
    const frame = new Uint8Array(HEADER_BYTES + bytes + 16);
    writeHeader(frame, KIND.sealed, 9, 77, bytes + 16);
    sealer.seal(77, frame, plain, bytes);
    const out = new Uint8Array(2000);
    assert.is(opener.open(77, frame, 0, frame.length, out), bytes);
    assert.equal(out.slice(0, bytes), plain);
    assert.is(opener.open(78, frame, 0, frame.length, out), -1);
    assert.is(wrong.open(77, frame, 0, frame.length, out), -1);
    assert.is(wrongDirection.open(77, frame, 0, frame.length, out), -1);
    assert.is(opener.open(77, frame, 0, frame.length - 1, out), -1);
    assert.is(opener.open(77, frame, 0, HEADER_BYTES + 15, out), -1);
    assert.is(opener.open(77, frame, 0, frame.length, new Uint8Array(0)), bytes === 0 ? 0 : -1);
    for (let i = 0; i < 40; i++) {
      const bit = random.int(frame.length * 8);
      const flipped = frame.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      assert.is(opener.open(77, flipped, 0, flipped.length, out), -1, `bit ${bit}`);
    }
  }
});

test.run();
