// Random and mutated bytes through every parser, the native cipher, and whole endpoints. Parsers must
// not throw, must name a known reason or succeed, and must not look beyond the bytes they were given: each input is parsed twice, among
// zeros and among ones, and both verdicts and everything read must be the same.
import { readFileSync } from 'node:fs';
import { EntryDecoder } from '../../firmware/lockstep/entry-codec.ts';
import { type CipherFactory, NodeCipher } from '../../logchan/cipher.ts';
import { Endpoint } from '../../logchan/endpoint.ts';
import { clusterTag, HelloAuth } from '../../logchan/keys.ts';
import { TAG_BYTES } from '../../logchan/limits.ts';
import { nativeCipher } from '../../logchan/native-cipher.ts';
import { DROP_REASONS } from '../../logchan/reasons.ts';
import { emptyBody, LANES, readBody } from '../../logchan/sections.ts';
import { emptyHeader, HEADER_BYTES, KIND, readHeader, readHello } from '../../logchan/wire.ts';
import { assert, repoPath, type SeededRandom } from '../harness/index.ts';
import { KEYS, vectorBytes, vectors } from './vectors.ts';

const cluster = clusterTag(KEYS.cluster);
const auth = new HelloAuth(KEYS.pairingKey);
const verify = (signed: Uint8Array, mac: Uint8Array) => auth.verify(signed, mac);
const accepting = () => true;

const seeds = vectors.map(({ name, level }) => ({ level, bytes: vectorBytes(name) }));

/** A mutation of a golden vector, or noise. */
export function mutate(random: SeededRandom, bytes: Uint8Array): Uint8Array {
  if (random.chance(0.05)) return random.bytes(random.int(200));
  let out: Uint8Array = bytes.slice(
    0,
    random.chance(0.2) ? random.int(bytes.length + 1) : bytes.length,
  );
  for (let edits = random.int(4); edits > 0 && out.length > 0; edits--) {
    const at = random.int(out.length);
    const how = random.int(5);
    if (how === 0) out[at] = random.u32();
    else if (how === 1) out[at] = (out[at] as number) ^ (1 << random.int(8));
    else if (how === 2) out[at] = random.pick([0, 1, 2, 0x7f, 0x80, 0xff]);
    else if (how === 3) out = splice(out, at, random.bytes(random.int(9)), random.int(9));
    else out = splice(out, at, bytes.slice(random.int(bytes.length)), 0);
  }
  return out;
}

function splice(bytes: Uint8Array, at: number, insert: Uint8Array, remove: number): Uint8Array {
  const tail = bytes.slice(Math.min(bytes.length, at + remove));
  return new Uint8Array(Buffer.concat([bytes.slice(0, at), insert, tail]));
}

/** Everything a parser says about bytes[at, at + length) of a buffer, as text. */
function readFrame(bytes: Uint8Array, at: number, end: number, check: typeof verify): string {
  const header = emptyHeader();
  const reason = readHeader(bytes, at, end, header);
  if (reason !== undefined) return reason;
  assert.ok(header.bodyStart >= at && header.bodyEnd <= end);
  header.bodyStart -= at;
  header.bodyEnd -= at;
  if (header.kind !== KIND.hello) return JSON.stringify(header);
  const hello = readHello(bytes.subarray(at, end), header, cluster, check);
  return typeof hello === 'string' ? hello : JSON.stringify({ header, hello });
}

function readInside(bytes: Uint8Array, at: number, end: number): string {
  const body = emptyBody();
  const inside = bytes.subarray(at);
  const reason = readBody(inside, end - at, body);
  if (reason !== undefined) return reason;
  for (const data of body.data) assert.ok(!data.present || data.end <= end - at);
  const seen = body.hasSeen ? [body.seenCounter, body.heldUs] : [];
  const acks = body.acks.map((ack) =>
    ack.present ? [{ ...ack, ranges: [...ack.ranges.subarray(0, 2 * ack.rangeCount)] }] : [],
  );
  const data = body.data.map((part) => (part.present ? part : []));
  return JSON.stringify([seen, acks, data, body.ask, body.probe, body.probed, body.bye]);
}

function amid(bytes: Uint8Array, filler: number, read: typeof readInside): string {
  const room = new Uint8Array(bytes.length + 64).fill(filler);
  room.set(bytes, 32);
  return read(room, 32, 32 + bytes.length);
}

/** Feeds `rounds` inputs to the parsers; the number of verdicts of each kind. */
export function fuzzParsers(random: SeededRandom, rounds: number): Map<string, number> {
  const verdicts = new Map<string, number>();
  for (let round = 0; round < rounds; round++) {
    const seed = random.pick(seeds);
    const bytes = mutate(random, seed.bytes);
    const check = random.chance(0.5) ? accepting : verify;
    const read: typeof readInside =
      seed.level === 'body' ? readInside : (b, at, end) => readFrame(b, at, end, check);
    const verdict = amid(bytes, 0x00, read);
    assert.is(
      amid(bytes, 0xff, read),
      verdict,
      `looks beyond ${Buffer.from(bytes).toString('hex')}`,
    );
    const kind = verdict in DROP_REASONS ? verdict : 'ok';
    assert.ok(kind !== 'ok' || /^[[{]/.test(verdict), verdict);
    verdicts.set(kind, (verdicts.get(kind) ?? 0) + 1);
  }
  return verdicts;
}

/** Lets everything through: what an endpoint must survive if its peer itself is broken. */
const openCipher: CipherFactory = () => ({
  seal: (_, frame, plain, bytes) => frame.set(plain.subarray(0, bytes), HEADER_BYTES),
  open: (_, frame, start, end, plain) => {
    const bytes = end - start - HEADER_BYTES - TAG_BYTES;
    if (bytes < 0 || bytes > plain.length) return -1;
    plain.set(frame.subarray(start + HEADER_BYTES, end - TAG_BYTES));
    return bytes;
  },
});

/**
 * Two endpoints whose frames are mutated past all authentication: nothing may throw, nothing may be
 * taken that is no entry, and they must meet again. Returns how often a session broke.
 */
export function fuzzEndpoints(random: SeededRandom, rounds: number): number {
  let nowUs = 0;
  let broken = 0;
  const make = () =>
    new Endpoint(
      {
        pairingKey: KEYS.pairingKey,
        cluster: KEYS.cluster,
        random: (count) => random.bytes(count),
        paths: [{ frameBytesMax: 1500 }],
        makeCipher: openCipher,
        buffers: { send: [SMALL, SMALL], receive: [SMALL, SMALL] },
      },
      nowUs,
    );
  const ends = [make(), make()] as const;
  const out = new Uint8Array(1500);
  const passOn = (from: Endpoint, to: Endpoint, mutates: boolean) => {
    for (let bytes = from.write(0, out, nowUs); bytes > 0; bytes = from.write(0, out, nowUs)) {
      const frame = out.slice(0, bytes);
      const sent = mutates && random.chance(0.2) ? mutateBody(random, frame) : frame;
      to.receive(0, sent, 0, sent.length, nowUs);
    }
  };
  for (let round = 0; round < rounds; round++) {
    nowUs += random.int(3000);
    for (const [i, end] of ends.entries()) {
      end.tick(nowUs);
      const lane = random.pick(LANES);
      const length = 1 + random.int(900);
      const haste = random.pick(['none', 'urgent', 'passing'] as const);
      if (end.fits(lane, length)) end.append(lane, random.bytes(length), haste, nowUs);
      while (end.take(random.pick(LANES)) !== undefined);
      passOn(end, ends[1 - i] as Endpoint, true);
      for (let event = end.takeEvent(); event; event = end.takeEvent()) {
        if (event.type === 'down' && event.why === 'protocol') broken++;
      }
    }
  }
  const limitUs = nowUs + 2_000_000;
  const settled = () =>
    ends.every((end) => end.isUp && end.session?.name === ends[0].session?.name);
  while (!settled()) {
    assert.ok(nowUs < limitUs, 'two endpoints never met again');
    nowUs += 1000;
    for (const [i, end] of ends.entries()) {
      end.tick(nowUs);
      passOn(end, ends[1 - i] as Endpoint, false);
    }
  }
  return broken;
}

const entrySeeds = readFileSync(repoPath('test/vectors/entries/log.hex'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => new Uint8Array(Buffer.from(line.replace(/#.*/, '').replaceAll(' ', ''), 'hex')));

/** Feeds `rounds` inputs to the decoder of log entries; the number of verdicts of each kind. */
export function fuzzEntries(random: SeededRandom, rounds: number): Map<string, number> {
  const verdicts = new Map<string, number>();
  const readEntry = (bytes: Uint8Array, at: number, end: number): string => {
    const decoder = new EntryDecoder();
    const decoded = decoder.decode(bytes.subarray(at, end));
    if (decoded.ok) {
      assert.ok(decoded.bytes >= 1 && decoded.bytes <= end - at);
      return JSON.stringify(decoded, plainly);
    }
    // What was refused has left no trace: the next entry is read as by a decoder that is new.
    const sound = random.pick(entrySeeds);
    const after = JSON.stringify(decoder.decode(sound), plainly);
    assert.is(after, JSON.stringify(new EntryDecoder().decode(sound), plainly));
    return decoded.reason;
  };
  for (let round = 0; round < rounds; round++) {
    const bytes = mutate(random, random.pick(entrySeeds));
    const verdict = amid(bytes, 0x00, readEntry);
    const hex = () => Buffer.from(bytes).toString('hex');
    assert.ok(amid(bytes, 0xff, readEntry) === verdict, `looks beyond ${hex()}`);
    const kind = verdict.startsWith('{') ? 'ok' : verdict;
    assert.ok(['ok', 'cut', 'kind', 'aux', 'range'].includes(kind), verdict);
    verdicts.set(kind, (verdicts.get(kind) ?? 0) + 1);
  }
  return verdicts;
}

function plainly(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return `${value}n`;
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value;
}

/**
 * Frames whole, altered, cut and misplaced through the native cipher and the plain one, which must agree. Buffers are
 * exactly as long as they say, so that the sanitizer build sees a byte too many. How often each verdict.
 */
export function fuzzCipher(
  random: SeededRandom,
  rounds: number,
): { opened: number; refused: number } {
  const key = { key: random.bytes(32), direction: 1 } as const;
  const [native, plainOne] = [nativeCipher(key), new NodeCipher(key)];
  const tally = { opened: 0, refused: 0 };
  for (let round = 0; round < rounds; round++) {
    const bytes = random.int(random.pick([4, 200, 9000]));
    const counter = 1 + random.int(random.pick([1000, 2 ** 48 - 1]));
    const sealed = random.bytes(HEADER_BYTES + bytes + TAG_BYTES);
    const plain = random.bytes(bytes);
    native.seal(counter, sealed, plain, bytes);
    let frame: Uint8Array = sealed;
    if (random.chance(0.5)) frame = mutate(random, sealed);
    const start = random.chance(0.8) ? 0 : random.int(frame.length + 1);
    const end = random.chance(0.8) ? frame.length : start + random.int(frame.length - start + 1);
    const room = random.chance(0.8) ? bytes : random.int(bytes + 1);
    const out = [new Uint8Array(room), new Uint8Array(room)] as const;
    const told = random.chance(0.9) ? counter : 1 + random.int(1000);
    const opened = native.open(told, frame, start, end, out[0]);
    assert.is(opened, plainOne.open(told, frame, start, end, out[1]));
    if (opened < 0) tally.refused++;
    else {
      assert.is(Buffer.compare(out[0].subarray(0, opened), plain), 0);
      tally.opened++;
    }
  }
  return tally;
}

const SMALL = { bytes: 20_000, messages: 50 };

/** A frame with its header's length mended, so that the mutation reaches the sections. */
function mutateBody(random: SeededRandom, frame: Uint8Array): Uint8Array {
  const body = mutate(random, frame.subarray(HEADER_BYTES));
  const mended = new Uint8Array(Buffer.concat([frame.subarray(0, HEADER_BYTES), body]));
  mended[14] = body.length >> 8;
  mended[15] = body.length;
  return mended;
}
