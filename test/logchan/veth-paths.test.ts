// One session over two cards and UDP between two namespaces, while their cables are pulled under load: what was
// sent is what was taken, nothing lost and nothing twice, and the session goes on.
import type { ChannelEvent } from '../../logchan/endpoint.ts';
import { assert, needs, suite } from '../harness/index.ts';
import { enterNamespace, ip } from './namespace.ts';
import { TwoBoards, transfer } from './transfer.ts';

enterNamespace();
const test = suite('logchan/veth-paths');
test.needs(needs.networkNamespaces());
const MIB = 1 << 20;

test(
  'two cards and UDP: cables pulled one after the other under load, then plugged in again',
  async () => {
    const boards = await TwoBoards.start({ mtu: 9000, more: ['card', 'udp'] });
    try {
      const { channel, events, near, more } = boards;
      const active = () => channel.paths().findIndex(({ isActive }) => isActive);
      const has = (type: ChannelEvent['type'], path: number, from: number) => () =>
        events.slice(from).some((e) => e.type === type && 'path' in e && e.path === path);
      await boards.until(has('joined', 2, 0));
      let done = transfer(boards, 4 * MIB, 8 * MIB);
      const [second] = more.ours as [string];
      for (const [card, next] of [
        [near, 1],
        [second, 2],
      ] as const) {
        const from = events.length;
        ip('link', 'set', card, 'down');
        await boards.until(has('active', next, from));
        assert.is(active(), next);
      }
      await done;
      assert.ok((channel.paths()[2]?.logBytesSent ?? 0) > 0);
      // The first card that is back is taken when it has been good for its time.
      const from = events.length;
      ip('link', 'set', near, 'up');
      done = transfer(boards, MIB, MIB);
      await boards.until(has('active', 0, from));
      await done;
      await transfer(boards, MIB, MIB);
      for (const type of ['down', 'link'] as const) {
        assert.equal(
          events.filter((event) => event.type === type),
          [],
        );
      }
    } finally {
      await boards.end();
    }
  },
  { timeoutMs: 90_000 },
);

test('boards whose cards have no cable meet over UDP', async () => {
  const boards = await TwoBoards.start({ more: ['udp'], firstIsOut: true });
  try {
    await transfer(boards, MIB, MIB);
    const [card, udp] = boards.channel.paths();
    assert.equal([card?.linkUp, card?.isLost], [false, true]);
    assert.equal([udp?.isActive, udp?.frameBytes], [true, 1472]);
  } finally {
    await boards.end();
  }
});

test.run();
