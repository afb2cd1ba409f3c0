// The sending lane, step by step: what it sends, what it sends again, and what it never sends.
import { LINGER_US, MESSAGE_BYTES_MAX } from '../../logchan/limits.ts';
import {
  type Ack,
  DATA_BYTES,
  emptyAck,
  emptyBody,
  LANE,
  readBody,
} from '../../logchan/sections.ts';
import { SegmentQueue } from '../../logchan/segments.ts';
import { LaneSender } from '../../logchan/sender.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('logchan/sender');
const ROOM = 112; // 100 bytes of data a frame
const into = new Uint8Array(2000);

function ackOf(offset: number, more: Partial<Ack> & { beyond?: [number, number][] } = {}): Ack {
  const ack = {
    ...emptyAck(),
    present: true,
    offset,
    creditBytes: 10_000,
    creditMessages: 1000,
    ...more,
  };
  const beyond = more.beyond ?? [];
  ack.rangeCount = beyond.length;
  ack.ranges.set(beyond.flat());
  return ack;
}

/** A sender with credit and `messages` messages of `bytes` bytes, prefix included. */
function filled(messages: number, bytes: number): LaneSender {
  const sender = new LaneSender(LANE.log, { bytes: 10_000, messages: 1000 });
  sender.acknowledge(ackOf(0));
  for (let i = 0; i < messages; i++) sender.append(new Uint8Array(bytes - 1).fill(i), 'urgent', 0);
  return sender;
}

/** Writes one frame; the stream range in it. */
/** One path, on which the peer has seen frames up to this one. */
const seen = (seenByPeer: number) => [{ seenByPeer, rtt: { reorderUs: 1000 } }];

function send(sender: LaneSender, counter: number, nowUs = 0, room = ROOM): [number, number] {
  const end = sender.write(into, 0, room, { counter, path: 0, sentUs: nowUs });
  const body = emptyBody();
  assert.is(readBody(into, end, body), undefined);
  const { offset, start } = body.data[LANE.log];
  return [offset, offset + end - start];
}

test('nothing leaves before the peer gave credit', () => {
  const sender = new LaneSender(LANE.log, { bytes: 1000, messages: 10 });
  sender.append(new Uint8Array(50), 'urgent', 0);
  assert.not.ok(sender.wantsNew(ROOM, 0));
  sender.acknowledge(ackOf(0, { creditBytes: 20 }));
  assert.is(sender.sendableBytes(), 20, 'credit in bytes may cut a message');
  sender.acknowledge(ackOf(0, { creditBytes: 20, creditMessages: 0 }));
  assert.equal(send(sender, 1), [0, 20]);
});

test('credit in messages stops at the end of a message', () => {
  const sender = new LaneSender(LANE.log, { bytes: 1000, messages: 4 });
  for (let i = 0; i < 4; i++) sender.append(new Uint8Array(9), 'urgent', 0);
  assert.not.ok(sender.fits(1), 'room for four messages');
  sender.acknowledge(ackOf(0, { creditMessages: 3 }));
  assert.is(sender.sendableBytes(), 30);
  assert.equal(send(sender, 1), [0, 30]);
  sender.acknowledge(ackOf(30, { creditMessages: 0 }));
  assert.is(sender.sendableBytes(), 0, 'all slots of the ring in use, none allowed');
  for (let i = 0; i < 3; i++) sender.append(new Uint8Array(9), 'urgent', 0);
  assert.is(sender.sendableBytes(), 0);
  sender.acknowledge(ackOf(30, { creditMessages: 2 }));
  assert.equal(send(sender, 2), [30, 50]);
});

test('messages nobody waits for are collected, for a while', () => {
  const sender = filled(0, 10);
  sender.append(new Uint8Array(9), 'none', 500);
  assert.not.ok(sender.wantsNew(ROOM, 501));
  assert.is(sender.wakeUs(), 500 + LINGER_US);
  assert.ok(sender.wantsNew(ROOM, 500 + LINGER_US));
  for (let i = 0; i < 9; i++) sender.append(new Uint8Array(9), 'none', 600);
  assert.ok(sender.wantsNew(ROOM, 601), 'a frame is full');
  assert.equal(send(sender, 1), [0, 100]);
  sender.append(new Uint8Array(9), 'none', 700);
  assert.not.ok(sender.isUrgent);
  sender.append(new Uint8Array(9), 'urgent', 700);
  assert.ok(sender.isUrgent && sender.wantsNew(ROOM, 701));
  assert.equal(send(sender, 2), [100, 120], 'the urgent one takes the others along');
  assert.is(sender.wakeUs(), Number.POSITIVE_INFINITY);
});

test('acknowledged messages are those whose last byte is', () => {
  const sender = filled(3, 100);
  for (let i = 1; i <= 3; i++) send(sender, i);
  assert.is(sender.acknowledge(ackOf(99)), 99);
  assert.is(sender.ackedThrough, 0);
  sender.acknowledge(ackOf(100));
  assert.is(sender.ackedThrough, 1);
  sender.acknowledge(ackOf(50));
  assert.is(sender.ackedThrough, 1, 'an old ack takes nothing back');
  sender.acknowledge(ackOf(300));
  assert.equal([sender.ackedThrough, sender.inFlightBytes, sender.bufferedBytes], [3, 0, 0]);
  assert.is(sender.inFlightFrames, 0);
});

test('claims about what was never sent are refused', () => {
  const sender = filled(3, 100);
  send(sender, 1);
  assert.is(sender.acknowledge(ackOf(101)), -1);
  assert.is(sender.acknowledge(ackOf(0, { beyond: [[50, 101]] })), -1);
  assert.is(sender.acknowledge(ackOf(100)), 100);
});

test('what three later frames overtook goes again, alone', () => {
  const sender = filled(6, 100);
  for (let counter = 1; counter <= 6; counter++) send(sender, counter);
  assert.is(sender.acknowledge(ackOf(100, { beyond: [[200, 500]] })), 400);
  assert.is(sender.detectLosses(seen(4), 0), 0, 'only two overtook it');
  assert.is(sender.lossUs, 1000, 'waits for the others');
  assert.is(sender.detectLosses(seen(5), 10), 100);
  assert.equal(send(sender, 7), [100, 200]);
  assert.not.ok(sender.wantsRepeat);
  assert.is(sender.inFlightBytes, 200);
  assert.is(sender.acknowledge(ackOf(600)), 200, 'what was known to be received is not news');
  assert.equal([sender.ackedThrough, sender.inFlightBytes, sender.inFlightFrames], [6, 0, 0]);
});

test('what one later frame overtook goes again after the reordering time', () => {
  const sender = filled(2, 100);
  send(sender, 1, 0);
  send(sender, 2, 0);
  sender.acknowledge(ackOf(0, { beyond: [[100, 200]] }));
  assert.is(sender.detectLosses(seen(2), 999), 0);
  assert.is(sender.detectLosses(seen(2), 1000), 100);
});

test('a piece sent again does not hide the pieces behind it', () => {
  const sender = filled(3, 100);
  for (let counter = 1; counter <= 3; counter++) send(sender, counter);
  sender.probe();
  assert.equal(send(sender, 9), [0, 100]);
  assert.is(sender.detectLosses(seen(6), 0), 200, 'the second and third, overtaken by 4 to 6');
});

test('small lost pieces go again together, large ones cut to a narrower path', () => {
  const sender = filled(5, 20);
  for (let i = 1; i <= 5; i++) send(sender, i, 0, DATA_BYTES + 20);
  assert.is(sender.detectLosses(seen(100), 0), 100);
  assert.equal(send(sender, 6, 0, DATA_BYTES + 70), [0, 60], 'whole pieces that fit');
  assert.equal(send(sender, 7, 0, DATA_BYTES + 30), [60, 80]);
  assert.equal(send(sender, 8, 0, DATA_BYTES + 30), [80, 100]);
  assert.is(sender.detectLosses(seen(100), 0), 100);
  assert.equal(send(sender, 9, 0, DATA_BYTES + 25), [0, 25], 'one piece of 60 in three');
  assert.equal(send(sender, 10, 0, DATA_BYTES + 25), [25, 50]);
  assert.equal(send(sender, 11, 0, DATA_BYTES + 25), [50, 60]);
  sender.acknowledge(ackOf(100));
  assert.equal([sender.ackedThrough, sender.inFlightBytes, sender.wantsRepeat], [5, 0, false]);
  assert.is(sender.inFlightFrames, 0);
});

test('a probe repeats the oldest piece in flight', () => {
  const sender = filled(3, 100);
  for (let i = 1; i <= 3; i++) send(sender, i);
  sender.acknowledge(ackOf(0, { beyond: [[0 + 1, 100]] }));
  sender.probe();
  assert.equal(send(sender, 4), [0, 100]);
  sender.probe();
  sender.probe();
  assert.equal(send(sender, 5), [0, 100], 'lost pieces are not lost twice');
  assert.equal(send(sender, 6), [100, 200]);
});

test('what is overtaken on another path is not lost', () => {
  const sender = filled(4, 100);
  const over = (path: number, counter: number) =>
    sender.write(into, 0, ROOM, { counter, path, sentUs: 0 });
  over(0, 1);
  over(1, 2);
  over(0, 3);
  over(0, 9);
  const rtt = { reorderUs: 1000 };
  const seenBoth = (first: number, second: number) => [
    { seenByPeer: first, rtt },
    { seenByPeer: second, rtt },
  ];
  assert.is(sender.detectLosses(seenBoth(9, 0), 0), 200, 'the first and the third');
  assert.is(sender.detectLosses(seenBoth(9, 2), 1000), 200, 'the second and the fourth, by time');
});

test('all in flight goes again over another path, and copies are cut to its frames', () => {
  const sender = filled(4, 100);
  for (let counter = 1; counter <= 4; counter++) send(sender, counter);
  sender.acknowledge(ackOf(100, { beyond: [[200, 300]] }));
  sender.loseAll();
  assert.equal([sender.inFlightBytes, sender.inFlightFrames], [0, 0]);
  assert.equal(send(sender, 5), [100, 200]);
  assert.equal([sender.wroteOffset, sender.wroteEnd], [100, 200]);
  const range = { offset: sender.wroteOffset, end: sender.wroteEnd };
  const body = emptyBody();
  for (const [offset, end] of [
    [100, 160],
    [160, 200],
  ]) {
    const stop = sender.copy(into, 0, DATA_BYTES + 60, range);
    assert.is(readBody(into, stop, body), undefined);
    assert.equal(
      [body.data[LANE.log].offset, stop - DATA_BYTES],
      [offset, (end ?? 0) - (offset ?? 0)],
    );
  }
  assert.is(range.offset, range.end);
  // They went over path 1 as well: its frames tell of them now.
  sender.wentOver(1, 8, 50);
  const rtt = { reorderUs: 1000 };
  const paths = [
    { seenByPeer: 5, rtt },
    { seenByPeer: 7, rtt },
  ];
  assert.is(sender.detectLosses(paths, 2_000), 0);
  sender.loseAll(1);
  assert.is(sender.inFlightBytes, 100, 'what goes over that path stays');
  assert.is(sender.acknowledge(ackOf(400)), 200);
  assert.not.ok(sender.wantsRepeat);
});

test('a large piece lost again and again is called vanishing', () => {
  const sender = filled(1, 1000);
  for (let counter = 10; counter <= 30; counter += 10) {
    assert.not.ok(sender.vanishing);
    send(sender, counter, 0, 1500);
    sender.detectLosses(seen(counter + 5), 0);
  }
  assert.ok(sender.vanishing);
});

test('append without room, and messages of impossible size, are our own mistakes', () => {
  const sender = new LaneSender(LANE.log, { bytes: 100, messages: 10 });
  assert.throws(() => sender.append(new Uint8Array(0), 'urgent', 0), /impossible size/);
  assert.throws(
    () => sender.append(new Uint8Array(MESSAGE_BYTES_MAX + 1), 'urgent', 0),
    /impossible/,
  );
  assert.not.ok(sender.fits(100));
  assert.throws(() => sender.append(new Uint8Array(100), 'urgent', 0), /without room/);
  assert.ok(sender.fits(99));
  assert.is(sender.append(new Uint8Array(99), 'urgent', 0), 1);
});

test('segments split, merge, shift and grow like a plain list', () => {
  const random = seededRandom('segments');
  const queue = new SegmentQueue();
  let list: [number, number][] = [];
  let end = 0;
  for (let step = 0; step < 20_000; step++) {
    const how = random.int(10);
    if (how < 5) {
      const bytes = 1 + random.int(9);
      Object.assign(queue.push(), { offset: end, end: end + bytes });
      list.push([end, end + bytes]);
      end += bytes;
    } else if (list.length === 0) continue;
    else if (how < 8) {
      queue.shift();
      list = list.slice(1);
    } else if (how === 8) {
      const index = random.int(list.length);
      const [from, to] = list[index] as [number, number];
      if (to - from < 2) continue;
      queue.split(index, from + 1);
      list.splice(index, 1, [from, from + 1], [from + 1, to]);
    } else {
      const index = random.int(list.length);
      const more = random.int(Math.min(4, list.length - index));
      queue.merge(index, more);
      const [from] = list[index] as [number, number];
      const [, to] = list[index + more] as [number, number];
      list.splice(index, 1 + more, [from, to]);
    }
    assert.is(queue.count, list.length);
    const at = random.int(Math.max(1, end));
    assert.is(queue.find(at), list.filter(([, to]) => to <= at).length);
    if (step % 100 !== 0) continue;
    const held = list.map((_, i) => [queue.at(i).offset, queue.at(i).end]);
    assert.equal(held, list);
  }
});

test.run();
