// The log channel as replication uses it, over a channel of a few lines: order through the overflow, what
// is lost with a link, bulk that waits, bytes that make no sense.

import { encodeBulkMessage } from '../../../firmware/board/replication/bulk-messages.ts';
import {
  LogLink,
  OVERFLOW_BYTES_MAX,
  Stopped,
} from '../../../firmware/board/replication/log-link.ts';
import {
  decodeLogMessage,
  encodeLogMessage,
} from '../../../firmware/board/replication/messages.ts';
import type { Channel, ChannelHandler } from '../../../logchan/channel.ts';
import type { ChannelEvent } from '../../../logchan/endpoint.ts';
import { LANE, type Lane } from '../../../logchan/sections.ts';
import { assert, suite } from '../../harness/index.ts';

const test = suite('board/replication/log-link');

class FakeChannel {
  isUp = true;
  room = 3;
  readonly sent: Uint8Array[] = [];
  readonly inbox: [Uint8Array[], Uint8Array[]] = [[], []];
  handler!: ChannelHandler;
  fits(): boolean {
    return this.isUp && this.room > 0;
  }
  append(message: Uint8Array): number {
    assert.ok(this.fits(), 'appended to a full channel');
    this.room--;
    return this.sent.push(message);
  }
  appendPassing(message: Uint8Array): number {
    return this.append(message);
  }

  appendBulk(chunk: Uint8Array): number {
    return this.append(chunk);
  }
  take(lane: Lane = LANE.log): Uint8Array | undefined {
    return this.inbox[lane].shift();
  }
  acked(count: number): void {
    this.room += count;
    this.handler.acked?.(this.sent.length);
    this.handler.bulkAcked?.(this.sent.length);
  }
}

function wired() {
  const channel = new FakeChannel();
  const told: string[] = [];
  const link = new LogLink(
    (handler) => {
      channel.handler = handler;
      return channel as unknown as Channel;
    },
    {
      log: (message) =>
        told.push(message.type === 'log' ? `log ${message.bytes[0]}` : message.type),
      bulk: (message) => told.push(message.type),
      turn: () => told.push('turn'),
      up: () => told.push('up'),
      down: () => told.push('down'),
      cut: () => told.push('cut'),
      channel: ({ type }) => told.push(`(${type})`),
    },
  );
  return { channel, link, told };
}

const log = (number: number) => encodeLogMessage({ type: 'log', bytes: Uint8Array.of(number) });
const state = (bytes = 1) => encodeBulkMessage({ type: 'state', bytes: new Uint8Array(bytes) });
const numbers = (sent: readonly Uint8Array[]) =>
  sent.map((bytes) => {
    const decoded = decodeLogMessage(bytes);
    return decoded.ok && decoded.message.type === 'log' ? decoded.message.bytes[0] : 'other';
  });

test('messages keep their order through a full channel; a statement does not queue behind them', () => {
  const { channel, link } = wired();
  for (let n = 1; n <= 6; n++) assert.ok(link.send(log(n), true));
  assert.equal(numbers(channel.sent), [1, 2, 3]);
  channel.room = 1;
  assert.not.ok(link.sendNow(log(99)), 'older messages wait');
  channel.acked(1);
  assert.equal(numbers(channel.sent), [1, 2, 3, 4, 5]);
  channel.acked(5);
  assert.ok(link.sendNow(log(7)));
  assert.equal(numbers(channel.sent), [1, 2, 3, 4, 5, 6, 7]);
  channel.room = 0;
  assert.not.ok(link.sendNow(log(8)), 'what cannot leave at once is worth nothing');
});

test('who sends too much, or into no link, is told that it will not arrive', () => {
  const { channel, link } = wired();
  channel.room = 0;
  const piece = encodeLogMessage({ type: 'log', bytes: new Uint8Array(512 << 10) });
  let taken = 0;
  while (link.send(piece, true)) taken += piece.length;
  assert.ok(taken <= OVERFLOW_BYTES_MAX && taken > OVERFLOW_BYTES_MAX - 2 * piece.length);
  channel.isUp = false;
  assert.not.ok(link.send(log(1), true));
});

test('a link that goes hands on all that came, loses what waited, and wakes who waits', async () => {
  const { channel, link, told } = wired();
  channel.room = 0;
  link.send(log(1), true);
  const bulk = link.sendBulk(state(), { isStopped: false }).then(
    () => 'sent',
    (error) => (error instanceof Stopped ? 'stopped' : 'broken'),
  );
  await new Promise((resolve) => setImmediate(resolve));
  const rest = [log(8), log(9)];
  const source = { take: () => rest.shift() };
  channel.isUp = false;
  const down = { type: 'down', why: 'peer-left', ackedThrough: 0, log: source, bulk: source };
  channel.handler.event?.(down as ChannelEvent);
  assert.equal(told, ['(down)', 'log 8', 'log 9', 'turn', 'down']);
  assert.is(await bulk, 'stopped');
  channel.isUp = true;
  channel.handler.event?.({ type: 'up', session: 1, path: 0, peerFrameBytesMax: 1500 });
  channel.acked(9);
  assert.equal(channel.sent, [], 'what waited for the old link is not said on the new one');
  channel.handler.event?.({ type: 'link', up: false });
  assert.equal(told.slice(-4), ['(up)', 'up', '(link)', 'cut']);
});

test('bulk waits for room, and what nobody wants stays with the channel', async () => {
  const { channel, link, told } = wired();
  channel.room = 0;
  const sent = link.sendBulk(state(), { isStopped: false });
  await new Promise((resolve) => setImmediate(resolve));
  assert.is(channel.sent.length, 0);
  channel.acked(1);
  await sent;
  assert.is(channel.sent.length, 1);
  link.wantBulk(false);
  channel.inbox[LANE.bulk].push(state(), state());
  channel.inbox[LANE.log].push(log(1));
  channel.handler.readable?.();
  assert.equal(told, ['log 1', 'turn']);
  assert.is(channel.inbox[LANE.bulk].length, 2);
  link.wantBulk(true);
  // A busy host may need a turn for each.
  for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(told.slice(2), ['state', 'state']);
});

test('messages that make no sense are counted by reason, and those behind them count', () => {
  const { channel, link, told } = wired();
  const cut = encodeLogMessage({ type: 'synced', stream: 1, session: 2 }).slice(0, 3);
  channel.inbox[LANE.log].push(new Uint8Array(0), Uint8Array.of(250), cut, log(5));
  channel.inbox[LANE.bulk].push(new Uint8Array(0));
  channel.handler.readable?.();
  assert.equal(told, ['log 5', 'turn']);
  assert.equal([link.refused.empty, link.refused.type, link.refused.cut], [2, 1, 1]);
});

test.run();
