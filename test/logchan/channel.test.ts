// The channel on its port: what happens in the same call, what in the same turn, what never.
import { Channel, type ChannelHandler, type ChannelOptions } from '../../logchan/channel.ts';
import type { ChannelEvent } from '../../logchan/endpoint.ts';
import { NO_FAULTS } from '../../logchan/faulty-line.ts';
import { FaultyPort } from '../../logchan/faulty-port.ts';
import { MESSAGE_BYTES_MAX } from '../../logchan/limits.ts';
import { MemoryPort } from '../../logchan/memory-port.ts';
import type { Port } from '../../logchan/port.ts';
import { LANE } from '../../logchan/sections.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';
import { testChannelOptions } from './stream-digest.ts';

const test = suite('logchan/channel');

/** A channel that remembers what it was told, and lets a test wait. */
class Board {
  readonly channel: Channel;
  readonly events: ChannelEvent[] = [];
  readonly acked: number[] = [];
  readonly messages: Uint8Array[] = [];
  private wakes: (() => void)[] = [];

  constructor(port: Port, options: Partial<ChannelOptions> = {}, takes = true, more: Port[] = []) {
    const told = () => {
      for (const wake of this.wakes.splice(0)) wake();
    };
    const handler: ChannelHandler = {
      acked: (through) => {
        this.acked.push(through);
        told();
      },
      bulkAcked: told,
      readable: () => {
        if (takes) this.takeAll();
        told();
      },
      event: (event) => {
        this.events.push(event);
        told();
      },
    };
    this.channel = new Channel({
      ...testChannelOptions,
      ...options,
      paths: [port, ...more].map((each) => ({ port: each })),
      handler,
    });
    started.push(this.channel);
    this.channel.start();
  }

  takeAll(): void {
    for (const lane of [LANE.log, LANE.bulk]) {
      for (let message = this.channel.take(lane); message; message = this.channel.take(lane)) {
        this.messages.push(message);
      }
    }
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.wakes.push(resolve));
  }
}

const started: Channel[] = [];
test.after.each(() => {
  for (const channel of started.splice(0)) channel.stop();
});

async function meet(a: Board, b: Board): Promise<[Board, Board]> {
  await Promise.all([a, b].map((board) => board.until(() => board.channel.isUp)));
  return [a, b];
}

const metPair = (takes = true) => {
  const [a, b] = MemoryPort.pair(9000);
  return meet(new Board(a), new Board(b, {}, takes));
};

test('messages arrive in order and are acknowledged', async () => {
  const [a, b] = await metPair();
  const sent = Array.from({ length: 300 }, (_, i) => seededRandom(`${i}`).bytes(1 + i * 7));
  for (const [i, message] of sent.entries()) {
    assert.is(a.channel.append(message, { urgent: i % 5 === 0 }), i + 1);
  }
  await a.until(() => a.channel.ackedThrough === sent.length);
  assert.equal(b.messages, sent);
  assert.is(a.acked.at(-1), sent.length);
  assert.ok(a.acked.every((through, i) => i === 0 || through > (a.acked[i - 1] ?? 0)));
});

test('an urgent message is on the wire when append() returns', async () => {
  const [port, far] = MemoryPort.pair();
  const [a] = await meet(new Board(port), new Board(far));
  const before = port.counters().sent;
  a.channel.append(new Uint8Array(100), { urgent: true });
  assert.is(port.counters().sent, before + 1);
});

test('messages of one turn that nobody waits for share a frame', async () => {
  const [port, far] = MemoryPort.pair();
  const [a, b] = await meet(new Board(port), new Board(far));
  const before = port.counters().sent;
  for (let i = 0; i < 20; i++) a.channel.append(new Uint8Array(30), { urgent: false });
  assert.is(port.counters().sent, before, 'not yet');
  await b.until(() => b.messages.length === 20);
  assert.ok(port.counters().sent - before <= 4, 'not one frame a message');
});

test('what is not taken is acknowledged but holds the sender back in the end', async () => {
  const [a, b] = await metPair(false);
  const message = new Uint8Array(MESSAGE_BYTES_MAX);
  let appended = 0;
  while (appended < 12) {
    if (a.channel.fits(message.length)) appended = a.channel.append(message, { urgent: false });
    else await a.until(() => a.channel.fits(message.length) || a.channel.ackedThrough >= 7);
    if (a.channel.ackedThrough >= 7) break;
  }
  await a.until(() => a.channel.ackedThrough === 7);
  assert.is(b.messages.length, 0);
  b.takeAll();
  assert.is(b.messages.length, 7, 'eight megabytes of room hold seven of these');
  a.channel.append(new Uint8Array(1), { urgent: true });
  await b.until(() => b.channel.take() !== undefined);
});

test('bulk and log do not wait for each other', async () => {
  const [a, b] = await metPair();
  a.channel.appendBulk(new Uint8Array(200_000));
  a.channel.append(new Uint8Array(7), { urgent: true });
  await b.until(() => b.messages.length === 2);
  assert.equal(
    b.messages.map(({ length }) => length),
    [7, 200_000],
  );
  await a.until(() => a.channel.bulkAckedThrough === 1);
});

test('a faulty line loses nothing in the end', async () => {
  const [a, b] = MemoryPort.pair();
  const faults = { ...NO_FAULTS, delayUs: 0, jitterUs: 500, lossChance: 0.1, flipChance: 0.05 };
  const boards = await meet(
    new Board(new FaultyPort(a, seededRandom('a'), faults)),
    new Board(new FaultyPort(b, seededRandom('b'), faults)),
  );
  const sent = Array.from({ length: 300 }, (_, i) => seededRandom(`${i}`).bytes(1 + (i % 700)));
  for (const message of sent) boards[0].channel.append(message, { urgent: true });
  await boards[1].until(() => boards[1].messages.length === sent.length);
  assert.equal(boards[1].messages, sent);
});

test('what a dead peer had sent can still be taken, and a new session begins anew', async () => {
  const [port, far] = MemoryPort.pair();
  const [a, b] = await meet(new Board(port), new Board(far, {}, false));
  for (let i = 0; i < 10; i++) a.channel.append(new Uint8Array([i]), { urgent: true });
  await a.until(() => a.channel.ackedThrough === 10);
  a.channel.stop();
  await b.until(() => b.events.some(({ type }) => type === 'down'));
  const down = b.events.find(({ type }) => type === 'down');
  assert.ok(down?.type === 'down' && down.why === 'peer-left');
  const rest: number[] = [];
  for (let message = down.log.take(); message; message = down.log.take())
    rest.push(message[0] ?? -1);
  assert.equal(rest, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.is(b.channel.take(), undefined);
  assert.throws(() => b.channel.append(new Uint8Array(1), { urgent: true }), /without a session/);
});

test('stops twice, appends no more, and a port too small is refused in words', async () => {
  const [a, b] = await metPair();
  a.channel.stop();
  a.channel.stop();
  assert.throws(() => a.channel.append(new Uint8Array(1), { urgent: true }), /not started/);
  assert.is(a.channel.fits(1), false);
  await b.until(() => !b.channel.isUp);
  const [small] = MemoryPort.pair(1000);
  assert.throws(() => new Board(small), /MTU is too small for frames of 1280 bytes/);
});

test('a link that is down at the start, and comes up', async () => {
  const [a, b] = MemoryPort.pair();
  a.setLink({ up: false, frameBytesMax: 1500 });
  const boards = [new Board(a), new Board(b)] as const;
  assert.equal(boards[0].events, [{ type: 'link', up: false }]);
  a.setLink({ up: true, frameBytesMax: 1500 });
  await meet(...boards);
});

test('two ports: messages go over the first, over the second when its link is down, and both know the peer', async () => {
  const [[a0, b0], [a1, b1]] = [MemoryPort.pair(9000), MemoryPort.pair(1500)] as const;
  let adopted = 0;
  a1.adoptSender = () => {
    adopted++;
  };
  const board = (...ports: Port[]) =>
    new Board(ports[0] as Port, {}, true, ports.slice(1) as Port[]);
  const [a, b] = await meet(board(a0, a1), board(b0, b1));
  const active = (of: Board) => of.channel.paths().findIndex(({ isActive }) => isActive);
  await a.until(() => a.events.some((event) => event.type === 'joined' && event.path === 1));
  assert.is(adopted, 1);
  a.channel.append(new Uint8Array(10), { urgent: true });
  await b.until(() => b.messages.length === 1);
  for (const port of [a0, b0]) port.setLink({ up: false, frameBytesMax: 9000 });
  assert.ok(a.channel.linkUp && active(a) === 1);
  for (let i = 0; i < 20; i++) a.channel.append(new Uint8Array(4000), { urgent: true });
  await b.until(() => b.messages.length === 21);
  await a.until(() => a.channel.ackedThrough === 21);
  assert.not.ok(a.events.some(({ type }) => type === 'link'));
  const [first, second] = a.channel.state().paths;
  assert.equal([first?.linkUp, first?.isLost, second?.isLost], [false, true, false]);
  assert.ok((second?.logBytesSent ?? 0) >= 80_000 && (second?.port.sent ?? 0) > 50);
  a1.setLink({ up: false, frameBytesMax: 1500 });
  assert.not.ok(a.channel.linkUp);
  assert.ok(a.events.some((event) => event.type === 'link' && !event.up));
});

test('where one port cannot be opened, none stays open', () => {
  const [good] = MemoryPort.pair();
  const [small] = MemoryPort.pair(1000);
  let closed = 0;
  good.close = () => {
    closed++;
  };
  assert.throws(() => new Board(good, {}, true, [small]), /MTU is too small/);
  assert.is(closed, 1);
});

test.run();
