// One session facing a peer that has the keys and breaks the rules: by defect, for an attacker has
// no keys. What cannot be ends the session; what is merely malformed is as good as lost.
import { NodeCipher } from '../../logchan/cipher.ts';
import { DEFAULT_BUFFERS } from '../../logchan/endpoint.ts';
import { clusterTag, sessionKeys } from '../../logchan/keys.ts';
import { BULK_ACK_FRAMES, KEEPALIVE_US, REPLAY_WINDOW_FRAMES } from '../../logchan/limits.ts';
import { emptyBody, LANE, readBody } from '../../logchan/sections.ts';
import { Session } from '../../logchan/session.ts';
import { emptyHeader, HEADER_BYTES, readHeader } from '../../logchan/wire.ts';
import { assert, suite } from '../harness/index.ts';
import { join, type NaiveSection, naiveSeal } from './naive-wire.ts';
import { KEYS } from './vectors.ts';

const test = suite('logchan/session');
const keys = sessionKeys(KEYS.pairingKey, clusterTag(KEYS.cluster), {
  mine: KEYS.higher,
  theirs: KEYS.lower,
});
const full = { ack: 0, lane: 0, bytes: 1 << 20, messages: 1000 };

function makeSession(buffers = DEFAULT_BUFFERS): Session {
  const makeCipher = (key: ConstructorParameters<typeof NodeCipher>[0]) => new NodeCipher(key);
  return new Session(
    { keys, makeCipher, buffers, paths: [{ up: true, frameBytesMax: 1500 }], active: 0 },
    0,
  );
}

/** Gives the session a frame of its peer with these sections; the reason it was dropped for. */
function hear(session: Session, counter: number, sections: NaiveSection[], nowUs = 0) {
  const { frame } = naiveSeal(
    { ...KEYS, mine: KEYS.lower, theirs: KEYS.higher, counter },
    sections,
  );
  const bytes = new Uint8Array(join(frame));
  const header = emptyHeader();
  assert.is(readHeader(bytes, 0, bytes.length, header), undefined);
  return session.receive(0, bytes, 0, header, nowUs);
}

/** The next frame the session sends, opened. */
function next(session: Session, nowUs: number) {
  const frame = new Uint8Array(1500);
  const bytes = session.write(0, frame, nowUs);
  if (bytes === 0) return undefined;
  const header = emptyHeader();
  readHeader(frame, 0, bytes, header);
  const plain = new Uint8Array(1500);
  const opened = new NodeCipher(keys.send).open(header.counter, frame, 0, bytes, plain);
  const body = emptyBody();
  assert.is(readBody(plain, opened, body), undefined);
  return { bytes, body, counter: header.counter, header: frame.slice(0, HEADER_BYTES) };
}

const dataOf = (...bytes: number[]) => ({ data: Uint8Array.from(bytes), lane: 0, offset: 0 });

test('claims that cannot be end the session', () => {
  const impossible: [string, NaiveSection[]][] = [
    ['a counter never sent was seen', [{ seen: 5, heldUs: 0 }]],
    ['the next counter to be sent was seen', [{ seen: 1, heldUs: 0 }]],
    ['bytes never sent are acknowledged', [{ ...full, ack: 1 }]],
    ['bytes never sent were received behind a gap', [{ ...full, ranges: [[5, 6]] }]],
    ['data beyond the credit', [{ data: Uint8Array.of(1), lane: 0, offset: 8 << 20 }]],
    ['a message of no bytes', [dataOf(0)]],
    ['a length in more bytes than it needs', [dataOf(0x81, 0)]],
    ['bulk that is no row of messages', [{ ...dataOf(0), lane: 1 }]],
  ];
  for (const [what, sections] of impossible) {
    const session = makeSession();
    assert.is(hear(session, 1, sections), undefined);
    assert.is(session.outcome, 'broken', what);
  }
  const sound = makeSession();
  hear(sound, 1, [{ seen: 0, heldUs: 0 }, full, dataOf(1, 9)]);
  assert.is(sound.outcome, undefined);
  assert.equal(sound.in[LANE.log].take(), Uint8Array.of(9));
});

test('a malformed body has no effect at all', () => {
  const session = makeSession();
  assert.is(hear(session, 1, [dataOf(1, 9), { probe: 0 }]), 'range');
  assert.is(session.outcome, undefined);
  assert.is(session.in[LANE.log].take(), undefined);
  assert.is(hear(session, 2, [dataOf(1, 9)]), undefined);
  assert.equal(session.in[LANE.log].take(), Uint8Array.of(9));
});

test('a counter counts once, and not long after', () => {
  const session = makeSession();
  assert.is(hear(session, 1, []), undefined);
  assert.is(hear(session, 1, []), 'replayed');
  assert.is(hear(session, REPLAY_WINDOW_FRAMES + 1, []), undefined);
  assert.is(hear(session, 2, []), undefined, 'late by just less than the window');
  assert.is(hear(session, 1, []), 'stale');
});

test('the first frame gives credit, every keepalive repeats it', () => {
  const session = makeSession();
  const first = next(session, 0);
  assert.ok(first?.body.acks.every(({ present, creditBytes }) => present && creditBytes > 0));
  assert.ok(next(session, 1)?.body.probe === 1500, 'and the path is probed');
  assert.is(next(session, 2), undefined);
  assert.is(next(session, KEEPALIVE_US - 1), undefined);
  const second = next(session, KEEPALIVE_US);
  assert.ok(second?.body.acks.every(({ present }) => present));
  assert.is(second?.counter, 3);
});

test('what is seen is acknowledged in the same frame, and asked questions are answered at once', () => {
  const session = makeSession();
  while (next(session, 0) !== undefined);
  hear(session, 7, [{ data: Uint8Array.of(1, 5), lane: 1, offset: 0 }], 100);
  assert.is(next(session, 100), undefined, 'bulk data waits a little for more');
  hear(session, 8, [{ ask: true }], 150);
  const answer = next(session, 190);
  assert.equal([answer?.body.seenCounter, answer?.body.heldUs], [8, 40]);
  assert.equal(
    answer?.body.acks.map(({ offset }) => offset),
    [0, 2],
  );
  assert.is(next(session, 190), undefined);
});

test('bulk data is acknowledged every few frames, and the count starts anew', () => {
  const session = makeSession();
  while (next(session, 0) !== undefined);
  for (let frame = 1; frame <= 3 * BULK_ACK_FRAMES; frame++) {
    hear(session, frame, [{ data: Uint8Array.of(1, 5), lane: 1, offset: 2 * (frame - 1) }], 10);
    const answer = next(session, 10);
    assert.is(answer !== undefined, frame % BULK_ACK_FRAMES === 0, `after ${frame} frames`);
  }
});

test('a quarter of the buffer taken is worth a frame at once', () => {
  const small = { bytes: 4096, messages: 16 };
  const session = makeSession({ send: [small, small], receive: [small, small] });
  hear(session, 1, [dataOf(1, 9, 1, 9, 1, 9, 1, 9)]);
  while (next(session, 0) !== undefined);
  for (let taken = 1; taken <= 4; taken++) {
    assert.is(next(session, 1), undefined, `${taken - 1} taken`);
    session.in[LANE.log].take();
  }
  assert.is(next(session, 1)?.body.acks[LANE.log].creditMessages, 16);
});

test('pacing holds back what nobody waits for, and nothing else', () => {
  const session = makeSession();
  hear(session, 1, [full]);
  for (let i = 0; i < 200; i++) session.out[LANE.log].append(new Uint8Array(1000), 'none', 0);
  while (next(session, 0) !== undefined);
  assert.ok(session.out[LANE.log].sendableBytes() > 0, 'the pacer stopped it');
  session.out[LANE.log].append(Uint8Array.of(1), 'urgent', 0);
  assert.ok(next(session, 0)?.body.data[LANE.log].present, 'an output waits');
});

test('a frame is never padded beyond what it says, probes exactly to their size', () => {
  const session = makeSession();
  next(session, 0);
  const probe = next(session, 0);
  assert.equal([probe?.bytes, probe?.body.probe], [1500, 1500]);
});

test('a frame that was overtaken does not make the newest one look younger', () => {
  const session = makeSession();
  while (next(session, 0) !== undefined);
  hear(session, 7, [], 100);
  hear(session, 6, [{ ask: true }], 150);
  const answer = next(session, 190);
  assert.equal([answer?.body.seenCounter, answer?.body.heldUs], [7, 90]);
});

test('a frame gives one round trip, however often it is said to be seen', () => {
  const session = makeSession();
  next(session, 0);
  hear(session, 1, [{ seen: 1, heldUs: 0 }], 100);
  hear(session, 2, [{ seen: 1, heldUs: 0 }], 5_000);
  assert.equal([session.paths.active.rtt.samples, session.paths.active.rtt.latestUs], [1, 100]);
});

test('no probe is larger than the room the port gives', () => {
  const session = makeSession();
  next(session, 0);
  assert.is(session.write(0, new Uint8Array(1300), 0), 0);
});

test('goodbye is said three times and nothing after it', () => {
  const session = makeSession();
  session.sayBye(1);
  for (let i = 0; i < 3; i++) assert.is(next(session, 0)?.body.bye, 1);
  assert.is(next(session, 1_000_000), undefined);
});

test.run();
