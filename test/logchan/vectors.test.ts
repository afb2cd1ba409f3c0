// The files, the naive encoder and the real reader agree on every vector.
import { readdirSync } from 'node:fs';
import { NodeCipher } from '../../logchan/cipher.ts';
import { clusterTag, HelloAuth, sessionKeys } from '../../logchan/keys.ts';
import { FORMAT_VERSION } from '../../logchan/limits.ts';
import { emptyBody, readBody } from '../../logchan/sections.ts';
import { emptyHeader, KIND, readHeader, readHello } from '../../logchan/wire.ts';
import { assert, repoPath, suite } from '../harness/index.ts';
import { join } from './naive-wire.ts';
import {
  bytesOf,
  KEYS,
  rewriteVectors,
  vectorBytes,
  vectorFile,
  vectors,
  vectorsChecksum,
  vectorText,
} from './vectors.ts';

const test = suite('logchan/vectors');
const cluster = clusterTag(KEYS.cluster);
const auth = new HelloAuth(KEYS.pairingKey);
const keys = sessionKeys(KEYS.pairingKey, cluster, { mine: KEYS.higher, theirs: KEYS.lower });

/** What a board with the higher nonce makes of a frame: a reason, or 'ok'. */
function verdictOnFrame(bytes: Uint8Array): string {
  const header = emptyHeader();
  const reason = readHeader(bytes, 0, bytes.length, header);
  if (reason !== undefined) return reason;
  if (header.kind === KIND.hello) {
    const hello = readHello(bytes, header, cluster, (signed, mac) => auth.verify(signed, mac));
    return typeof hello === 'string' ? hello : 'ok';
  }
  const plain = new Uint8Array(9000);
  const cipher = new NodeCipher(keys.receive);
  const opened = cipher.open(header.counter, bytes, 0, header.bodyEnd, plain);
  if (opened < 0) return 'forged';
  return readBody(plain, opened, emptyBody()) ?? 'ok';
}

if (process.env.REWRITE === '1') rewriteVectors();

test('every vector has its file and every file its vector', () => {
  const files = readdirSync(repoPath('test/vectors/logchan')).sort();
  assert.equal(files, vectors.map(({ name }) => `${name}.hex`).sort());
  for (const vector of vectors) {
    assert.is(vectorFile(vector.name), vectorText(vector), vector.name);
    assert.equal(vectorBytes(vector.name), bytesOf(vector));
  }
});

test('good ones are read, bad ones refused for their reason', () => {
  for (const { name, level, reason } of vectors) {
    const bytes = vectorBytes(name);
    const verdict =
      level === 'frame'
        ? verdictOnFrame(bytes)
        : (readBody(bytes, bytes.length, emptyBody()) ?? 'ok');
    assert.is(verdict, reason ?? 'ok', name);
  }
});

test('sealed vectors open to the body they list', () => {
  for (const { name, body } of vectors) {
    if (body === undefined) continue;
    const bytes = vectorBytes(name);
    const header = emptyHeader();
    assert.is(readHeader(bytes, 0, bytes.length, header), undefined);
    assert.is(header.session, keys.session);
    const plain = new Uint8Array(9000);
    const cipher = new NodeCipher(keys.receive);
    const opened = cipher.open(header.counter, bytes, 0, header.bodyEnd, plain);
    assert.equal(plain.slice(0, opened), new Uint8Array(join(body)), name);
  }
});

test('the format version is pinned to these vectors', () => {
  // A changed checksum with an unchanged version is a format changed in secret.
  assert.equal([FORMAT_VERSION, vectorsChecksum()], [1, '1ebca190da41ab75']);
});

test.run();
