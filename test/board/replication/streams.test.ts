// The log out and in, joined by hand: covers, acknowledgements, marks, what is kept and what is lost.
import { decodeLogMessage, type LogMessage } from '../../../firmware/board/replication/messages.ts';
import { StreamIn } from '../../../firmware/board/replication/stream-in.ts';
import { KEPT_BYTES_MAX, StreamOut } from '../../../firmware/board/replication/stream-out.ts';
import { UNCOVERED } from '../../../firmware/lockstep/gate.ts';
import { assert, seededRandom, suite } from '../../harness/index.ts';

const test = suite('board/replication/streams');
const FOLLOWER = { boot: 3, session: 4 };

function wired() {
  const sent: LogMessage[] = [];
  const line = { works: true, nowMs: 0 };
  const out = new StreamOut(
    (bytes) => {
      const decoded = decodeLogMessage(bytes);
      assert.ok(decoded.ok);
      if (line.works) sent.push(decoded.message);
      return line.works;
    },
    () => line.nowMs,
  );
  return { out, sent, line };
}

const piece = (number: number) => Uint8Array.of(number);

test('nothing is covered while nobody takes the log', () => {
  const { out, sent } = wired();
  out.append(piece(1));
  assert.is(out.cover, UNCOVERED);
  assert.is(sent.length, 0);
});

test('each piece and each mark raises the cover, and is acknowledged by its number', () => {
  const { out, sent, line } = wired();
  out.begin(FOLLOWER, 9, 1000n);
  assert.is(out.cover, 0);
  out.append(piece(1));
  line.nowMs = 10;
  out.append(piece(2));
  out.mark('grant', FOLLOWER, 9);
  assert.is(out.cover, 3);
  const [begin, ...rest] = sent;
  assert.ok(begin?.type === 'begin' && begin.position === 1000n);
  const inbound = new StreamIn(begin);
  for (const message of rest) {
    if (message.type === 'log') assert.ok(inbound.log(message.bytes));
    if (message.type === 'mark') assert.ok(inbound.marked(message));
  }
  assert.is(inbound.mark, 'grant');
  assert.is(out.lagMs, 10);
  const ack = inbound.ack(0, 0n, 0n);
  assert.is(ack.through, 3);
  assert.is(ack.applied, 0);
  assert.ok(out.acked(ack));
  assert.is(out.lagMs, 10, 'received is not applied');
  const taken: number[] = [];
  inbound.attach((bytes) => taken.push(bytes[0]!));
  assert.equal(taken, [1, 2]);
  assert.is(inbound.ack(1, 0n, 0n).applied, 1);
  assert.not.ok(inbound.isCaughtUp(1));
  assert.ok(out.acked(inbound.ack(2, 0n, 0n)));
  assert.ok(inbound.isCaughtUp(2));
  assert.is(out.lagMs, 0);
});

test('what is kept before the follower is known goes first, and has its covers', () => {
  const { out, sent } = wired();
  out.keep();
  out.append(piece(1));
  out.append(piece(2));
  assert.is(out.cover, 2);
  assert.is(sent.length, 0);
  out.begin(FOLLOWER, 9, 5n);
  out.append(piece(3));
  assert.equal(
    sent.map((message) => (message.type === 'log' ? message.bytes[0] : message.type)),
    ['begin', 1, 2, 3],
  );
  assert.is(out.cover, 3);
});

test('keeping has an end', () => {
  const { out } = wired();
  out.keep();
  const large = new Uint8Array(KEPT_BYTES_MAX / 4);
  for (let i = 0; i < 5; i++) out.append(large);
  assert.is(out.state, 'broken');
  assert.is(out.cover, UNCOVERED);
});

test('a message that cannot be sent breaks the stream: nothing behind it is ever covered', () => {
  const { out, line } = wired();
  out.begin(FOLLOWER, 9, 0n);
  out.append(piece(1));
  line.works = false;
  out.append(piece(2));
  assert.is(out.state, 'broken');
  assert.is(out.cover, UNCOVERED);
  line.works = true;
  out.append(piece(3));
  assert.is(out.cover, UNCOVERED);
});

test('acknowledgements of other streams, reigns and sessions do not count', () => {
  const { out, sent } = wired();
  out.begin(FOLLOWER, 9, 0n);
  out.append(piece(1));
  const begin = sent[0]!;
  assert.ok(begin.type === 'begin');
  const ack = new StreamIn(begin).ack(0, 0n, 0n);
  for (const wrong of [{ stream: 7 }, { generation: 8 }, { session: 5 }, { through: 2 }]) {
    assert.not.ok(out.acked({ ...ack, ...wrong }), JSON.stringify(wrong));
  }
  assert.ok(out.acked({ ...ack, through: 1 }));
  out.begin(FOLLOWER, 9, 0n);
  assert.not.ok(out.acked({ ...ack, through: 0 }), 'of the stream before');
});

test('a mark for somebody else counts, but is no mark', () => {
  const begin = {
    type: 'begin',
    stream: 1,
    generation: 2,
    boot: 3,
    session: 4,
    position: 0n,
  } as const;
  const inbound = new StreamIn(begin);
  const mark = { type: 'mark', mark: 'leave', generation: 2, boot: 3, session: 4 } as const;
  for (const other of [{ boot: 9 }, { session: 9 }, { generation: 9 }]) {
    assert.not.ok(inbound.marked({ ...mark, ...other }));
  }
  assert.is(inbound.mark, undefined);
  assert.is(inbound.ack(0, 0n, 0n).through, 3);
  assert.ok(inbound.marked(mark));
  assert.is(inbound.mark, 'leave');
});

test('what is applied is counted right over many pieces and marks', () => {
  const random = seededRandom('applied');
  const begin = {
    type: 'begin',
    stream: 1,
    generation: 2,
    boot: 3,
    session: 4,
    position: 0n,
  } as const;
  const inbound = new StreamIn(begin);
  const mark = { type: 'mark', mark: 'leave', generation: 2, boot: 9, session: 4 } as const;
  inbound.attach(() => {});
  const pieceAt: number[] = [];
  let through = 0;
  let pieces = 0;
  let handedOn = 0;
  for (let step = 0; step < 20_000; step++) {
    through++;
    if (random.chance(0.1)) inbound.marked(mark);
    else {
      inbound.log(piece(0));
      pieceAt.push(through);
    }
    if (random.chance(0.7)) {
      inbound.handOn();
      handedOn = pieceAt.length;
    }
    pieces = Math.min(handedOn, pieces + random.int(3));
    const expected = pieces === pieceAt.length ? through : pieceAt[pieces]! - 1;
    assert.is(inbound.ack(pieces, 0n, 0n).applied, expected);
    assert.is(inbound.isCaughtUp(pieces), pieces === pieceAt.length);
  }
});

test.run();
