// The receiving lane against a model that keeps every byte in a map, and the ways a peer can lie.

import { MESSAGE_BYTES_MAX, RANGES_MAX } from '../../logchan/limits.ts';
import { prefixBytes, writePrefix } from '../../logchan/message-prefix.ts';
import { LaneReceiver } from '../../logchan/receiver.ts';
import { emptyAck } from '../../logchan/sections.ts';
import { assert, type SeededRandom, seededRandom, suite } from '../harness/index.ts';

const test = suite('logchan/receiver');

/** A stream of random messages, and where each ends. */
function makeStream(random: SeededRandom, count: number, messageBytesMax: number) {
  const messages = Array.from({ length: count }, () =>
    random.bytes(1 + random.int(messageBytesMax)),
  );
  const parts: Uint8Array[] = [];
  for (const message of messages) {
    const prefix = new Uint8Array(prefixBytes(message.length));
    writePrefix(prefix, message.length);
    parts.push(prefix, message);
  }
  return { messages, bytes: new Uint8Array(Buffer.concat(parts)) };
}

/** The slow and obvious receiver: which bytes are here. */
class Model {
  readonly have: Uint8Array;
  constructor(bytes: number) {
    this.have = new Uint8Array(bytes);
  }

  ranges(): [number, number][] {
    const found: [number, number][] = [];
    for (let at = 0; at < this.have.length; at++) {
      if (this.have[at] === 0) continue;
      const start = at;
      while (this.have[at] === 1) at++;
      found.push([start, at]);
    }
    return found;
  }
}

test('pieces in any order, repeated, overlapping, come out as the messages', () => {
  const random = seededRandom('pieces');
  for (let run = 0; run < 150; run++) {
    const stream = makeStream(random, 1 + random.int(40), random.pick([3, 100, 400]));
    const capacity = random.pick([300, 1000, 20_000]) + 2 * 403;
    const receiver = new LaneReceiver({ bytes: capacity, messages: 50 });
    const model = new Model(stream.bytes.length);
    const ack = emptyAck();
    let takenBytes = 0;
    let taken = 0;
    for (let step = 0; taken < stream.messages.length; step++) {
      assert.ok(step < 100_000, 'never comes to an end');
      const window = Math.min(stream.bytes.length, takenBytes + capacity);
      const offset = random.chance(0.3)
        ? Math.min(receiver.received, window - 1)
        : receiver.received + random.int(Math.max(1, window - receiver.received)) - random.int(5);
      const at = Math.max(0, Math.min(offset, window - 1));
      const end = Math.min(window, at + 1 + random.int(200));
      const piece = new Uint8Array(7 + end - at).fill(0xee);
      piece.set(stream.bytes.subarray(at, end), 7);
      const known = model.have.subarray(at, end).every((byte) => byte === 1);
      const reason = receiver.store(at, piece, 7, piece.length);
      if (reason === 'scattered') assert.ok(model.ranges().length >= RANGES_MAX);
      else {
        // Bytes covered by several ranges together may be stored again: no harm, no reason.
        assert.ok(reason === undefined || (known && reason === 'duplicate'), `${reason}`);
        model.have.fill(1, at, end);
      }
      receiver.tell(ack);
      const [first, ...beyond] = model.ranges();
      const received = first !== undefined && first[0] === 0 ? first[1] : 0;
      assert.is(receiver.received, received);
      assert.is(ack.offset, received);
      assert.is(ack.creditBytes, takenBytes + capacity - received);
      const told = [...ack.ranges.subarray(0, 2 * ack.rangeCount)];
      assert.equal(told, (received === 0 && first ? [first, ...beyond] : beyond).flat());
      while (random.chance(0.7)) {
        const message = receiver.take();
        if (message === undefined) break;
        const expected = stream.messages[taken++] as Uint8Array;
        assert.is(Buffer.compare(message, expected), 0);
        takenBytes += prefixBytes(message.length) + message.length;
      }
    }
    assert.is(receiver.broken, false);
  }
});

test('more gaps than are remembered', () => {
  const receiver = new LaneReceiver({ bytes: 10_000, messages: 10 });
  const byte = new Uint8Array(1);
  for (let i = 0; i < RANGES_MAX; i++) assert.is(receiver.store(2 * i + 1, byte, 0, 1), undefined);
  assert.is(receiver.store(2 * RANGES_MAX + 1, byte, 0, 1), 'scattered');
  assert.is(receiver.store(2, byte, 0, 1), undefined, 'closing a gap is welcome');
  assert.is(receiver.store(2 * RANGES_MAX + 1, byte, 0, 1), undefined);
});

test('a repeat that reaches over gaps and ranges fills them all', () => {
  const receiver = new LaneReceiver({ bytes: 1000, messages: 100 });
  const ones = new Uint8Array(200).fill(0x01);
  receiver.store(10, ones, 0, 10);
  receiver.store(30, ones, 0, 10);
  assert.is(receiver.store(0, ones, 0, 100), undefined);
  assert.is(receiver.received, 100);
  assert.is(receiver.messagesReceived, 50, 'messages of one byte');
  assert.not.ok(receiver.hasGaps);
});

test('bytes beyond the credit are refused', () => {
  const receiver = new LaneReceiver({ bytes: 100, messages: 10 });
  assert.is(receiver.store(50, new Uint8Array(51), 0, 51), 'credit');
  assert.is(receiver.store(50, new Uint8Array(50), 0, 50), undefined);
});

test('a stream that is no row of messages is noticed', () => {
  const streams: [string, number[]][] = [
    ['an empty message', [0]],
    ['a length in more bytes than it needs', [0x85, 0x00]],
    ['a prefix that never ends', [0x80, 0x80, 0x80]],
    ['longer than a message may be', [0xff, 0xff, 0x7f]],
  ];
  for (const [what, bytes] of streams) {
    const receiver = new LaneReceiver({ bytes: 1000, messages: 10 });
    receiver.store(0, Uint8Array.from(bytes), 0, bytes.length);
    assert.ok(receiver.broken, what);
    assert.is(receiver.take(), undefined);
  }
  const crowded = new LaneReceiver({ bytes: 1000, messages: 2 });
  crowded.store(0, Uint8Array.from([1, 5, 1, 5]), 0, 4);
  assert.not.ok(crowded.broken);
  crowded.store(4, Uint8Array.from([1, 5]), 0, 2);
  assert.ok(crowded.broken, 'more messages than the credit said');
});

test('the largest message passes', () => {
  const receiver = new LaneReceiver({ bytes: MESSAGE_BYTES_MAX + 3, messages: 1 });
  const prefix = new Uint8Array(3);
  assert.is(writePrefix(prefix, MESSAGE_BYTES_MAX), 3);
  receiver.store(0, prefix, 0, 3);
  const chunk = new Uint8Array(4096).fill(9);
  for (let at = 0; at < MESSAGE_BYTES_MAX; at += chunk.length) {
    assert.is(receiver.store(3 + at, chunk, 0, chunk.length), undefined);
  }
  const message = receiver.take();
  assert.ok(message?.length === MESSAGE_BYTES_MAX && message.every((byte) => byte === 9));
});

test('credit is owed after a quarter of the room came free', () => {
  const receiver = new LaneReceiver({ bytes: 400, messages: 8 });
  const ack = emptyAck();
  receiver.store(0, Uint8Array.from([1, 5, 1, 6, 1, 7]), 0, 6);
  receiver.tell(ack);
  receiver.take();
  assert.not.ok(receiver.owesCredit);
  receiver.take();
  assert.ok(receiver.owesCredit, 'two of eight messages');
  receiver.tell(ack);
  assert.not.ok(receiver.owesCredit);
  const large = new LaneReceiver({ bytes: 400, messages: 1000 });
  large.tell(ack);
  for (let i = 0; i < 2; i++) large.store(50 * i, Uint8Array.of(49, ...new Uint8Array(49)), 0, 50);
  large.take();
  assert.not.ok(large.owesCredit);
  large.take();
  assert.ok(large.owesCredit, 'a hundred of four hundred bytes');
});

test('a late repeat of what was taken does not touch what took its place', () => {
  const messages = [
    [2, 10, 11],
    [12, ...Array.from({ length: 12 }, (_, i) => 30 + i)],
    [2, 50, 51],
  ];
  const stream = Uint8Array.from(messages.flat());
  const receiver = new LaneReceiver({ bytes: 16, messages: 8 });
  receiver.store(0, stream, 0, 3);
  assert.equal(receiver.take(), Uint8Array.of(10, 11));
  receiver.store(16, stream, 16, 19);
  // Bytes 0 to 2 lie where 16 to 18 lie now.
  receiver.store(0, stream, 0, 5);
  receiver.store(5, stream, 5, 16);
  assert.equal(receiver.take(), stream.slice(4, 16));
  assert.equal(receiver.take(), Uint8Array.of(50, 51));
});

test.run();
