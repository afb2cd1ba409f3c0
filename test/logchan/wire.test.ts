// The header and the call: both directions against the naive encoder, and every way to be wrong.
import { clusterTag, HelloAuth } from '../../logchan/keys.ts';
import { COUNTER_MAX, NONCE_BYTES } from '../../logchan/limits.ts';
import {
  emptyHeader,
  HEADER_BYTES,
  HELLO_FRAME_BYTES,
  type Hello,
  KIND,
  readHeader,
  readHello,
  readU48,
  readU64,
  writeHeader,
  writeHello,
  writeU48,
  writeU64,
} from '../../logchan/wire.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';
import { join, naiveHeader, naiveHello } from './naive-wire.ts';
import { KEYS, vectorBytes } from './vectors.ts';

const test = suite('logchan/wire');
const auth = new HelloAuth(KEYS.pairingKey);
const cluster = clusterTag(KEYS.cluster);
const sign = (signed: Uint8Array) => auth.sign(signed);
const verify = (signed: Uint8Array, mac: Uint8Array) => auth.verify(signed, mac);

function read(bytes: Uint8Array): Hello | string {
  const header = emptyHeader();
  return readHeader(bytes, 0, bytes.length, header) ?? readHello(bytes, header, cluster, verify);
}

test('headers equal the naive ones, and come back', () => {
  const random = seededRandom('headers');
  for (let i = 0; i < 2000; i++) {
    const fields = {
      kind: random.pick([KIND.hello, KIND.sealed]),
      session: random.u32(),
      counter: Number(random.bigint(random.int(49))),
      bodyBytes: random.int(200),
    };
    const at = random.int(50);
    const bytes = new Uint8Array(at + HEADER_BYTES + fields.bodyBytes + 7).fill(0xa5);
    writeHeader(bytes.subarray(at), fields.kind, fields.session, fields.counter, fields.bodyBytes);
    assert.equal(Buffer.from(bytes.subarray(at, at + HEADER_BYTES)), join(naiveHeader(fields)));
    const header = emptyHeader();
    assert.is(readHeader(bytes, at, bytes.length, header), undefined);
    assert.equal(header, {
      kind: fields.kind,
      session: fields.session,
      counter: fields.counter,
      bodyStart: at + HEADER_BYTES,
      bodyEnd: at + HEADER_BYTES + fields.bodyBytes,
    });
  }
});

test('a counter that does not fit is our own mistake', () => {
  const bytes = new Uint8Array(HEADER_BYTES);
  writeHeader(bytes, KIND.sealed, 1, COUNTER_MAX, 16);
  assert.is(readU48(bytes, 8), COUNTER_MAX);
  assert.throws(() => writeHeader(bytes, KIND.sealed, 1, COUNTER_MAX + 1, 16), /exhausted/);
});

test('hellos equal the naive ones, and come back', () => {
  const random = seededRandom('hellos');
  for (let i = 0; i < 500; i++) {
    const hello: Hello = {
      cluster,
      nonce: random.bytes(NONCE_BYTES),
      echo: random.chance(0.5) ? random.bytes(NONCE_BYTES) : new Uint8Array(NONCE_BYTES),
      established: random.chance(0.5),
      frameBytesMax: 1280 + random.int(0x10000 - 1280),
    };
    const bytes = new Uint8Array(HELLO_FRAME_BYTES).fill(0xa5);
    assert.is(writeHello(bytes, hello, sign), HELLO_FRAME_BYTES);
    const naive = join(naiveHello({ ...hello, ...KEYS, cluster: KEYS.cluster }));
    assert.equal(Buffer.from(bytes), naive);
    assert.equal(read(bytes), hello);
  }
});

test('a hello cut at any length is short, padded it is whole', () => {
  const bytes = vectorBytes('hello-answer');
  const whole = read(bytes);
  for (let length = 0; length < bytes.length; length++) {
    assert.is(read(bytes.slice(0, length)), 'short');
  }
  const padded = new Uint8Array(bytes.length + 20);
  padded.set(bytes);
  assert.equal(read(padded), whole);
});

test('a hello read from a Buffer is a copy of it', () => {
  const bytes = Buffer.from(vectorBytes('hello-answer'));
  const hello = read(bytes);
  const before = JSON.stringify(hello);
  bytes.fill(0);
  assert.is(JSON.stringify(hello), before);
});

test('one flipped bit at any place is refused', () => {
  const bytes = vectorBytes('hello-answer');
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = bytes.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
    assert.type(read(flipped), 'string', `bit ${bit}`);
  }
});

test('numbers keep all their bits', () => {
  const bytes = new Uint8Array(8);
  for (const value of [0, 1, 0xffff, 0x10000, 2 ** 32 - 1, 2 ** 32, 2 ** 48 - 1]) {
    writeU48(bytes, 0, value);
    assert.is(readU48(bytes, 0), value);
  }
  for (const value of [0, 2 ** 32, 2 ** 48, Number.MAX_SAFE_INTEGER]) {
    writeU64(bytes, 0, value);
    assert.is(readU64(bytes, 0), value);
    assert.is(Number(Buffer.from(bytes).readBigUInt64BE()), value);
  }
});

test.run();
