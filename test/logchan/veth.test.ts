// The whole channel between two namespaces: clean and faulty links, jumbo frames, pulled cables,
// restarts. What was sent is what was taken, nothing lost and nothing twice.
import { NO_FAULTS } from '../../logchan/faulty-line.ts';
import { assert, needs, suite } from '../harness/index.ts';
import { enterNamespace, ip } from './namespace.ts';
import { TwoBoards, transfer } from './transfer.ts';

enterNamespace();
const test = suite('logchan/veth');
test.needs(needs.networkNamespaces());
const MIB = 1 << 20;

async function withBoards(
  options: Parameters<typeof TwoBoards.start>[0],
  body: (boards: TwoBoards) => Promise<void>,
): Promise<void> {
  const boards = await TwoBoards.start(options);
  try {
    await body(boards);
  } finally {
    await boards.end();
  }
}

test(
  '64 MiB over plain Ethernet, jumbo frames for half of it',
  () =>
    withBoards({}, async (boards) => {
      await transfer(boards, 12 * MIB, 20 * MIB);
    }).then(() =>
      withBoards({ mtu: 9000 }, async (boards) => {
        await transfer(boards, 12 * MIB, 20 * MIB);
        assert.is(boards.channel.state().frameBytes, 9000);
      }),
    ),
  { timeoutMs: 90_000 },
);

test(
  'through loss, repeats, reordering and flipped bits',
  () =>
    withBoards(
      {
        faults: {
          ...NO_FAULTS,
          lossChance: 0.02,
          duplicateChance: 0.02,
          flipChance: 0.01,
          cutShortChance: 0.01,
          delayUs: 0,
          jitterUs: 300,
        },
      },
      async (boards) => {
        await transfer(boards, 2 * MIB, 3 * MIB);
        const { drops, repeatedBytes } = boards.channel.state();
        assert.ok(drops.forged > 0 && drops.replayed > 0 && repeatedBytes > 0);
      },
    ),
  { timeoutMs: 90_000 },
);

test(
  'a cable pulled and plugged at either end',
  () =>
    withBoards({}, async (boards) => {
      const done = transfer(boards, 8 * MIB, 8 * MIB);
      for (const [pull, plug] of [
        [() => ip('link', 'set', boards.near, 'down'), () => ip('link', 'set', boards.near, 'up')],
        [
          () => boards.peer.ip('link', 'set', boards.far, 'down'),
          () => boards.peer.ip('link', 'set', boards.far, 'up'),
        ],
      ] as const) {
        const seen = boards.events.length;
        const link = (up: boolean) => () =>
          boards.events.slice(seen).some((event) => event.type === 'link' && event.up === up);
        pull();
        await boards.until(link(false));
        plug();
        await boards.until(link(true));
      }
      await done;
      assert.not.ok(
        boards.events.some(({ type }) => type === 'down'),
        'the session went on',
      );
    }),
  { timeoutMs: 60_000 },
);

test(
  'a restarted peer ends the session, says how far it was acknowledged, and a new one works',
  () =>
    withBoards({}, async (boards) => {
      await transfer(boards, MIB, MIB);
      const { ackedThrough } = boards.channel;
      const ups = () => boards.events.filter(({ type }) => type === 'up').length;
      boards.peer.tell({ restart: true });
      await boards.until(() => ups() === 2);
      const down = boards.events.find(({ type }) => type === 'down');
      assert.ok(down?.type === 'down' && down.why === 'peer-restarted');
      assert.is(down.ackedThrough, ackedThrough);
      assert.is(boards.channel.ackedThrough, 0);
      await transfer(boards, MIB, MIB);
    }),
  { timeoutMs: 60_000 },
);

test('a peer that leaves says so', () =>
  withBoards({}, async (boards) => {
    boards.peer.tell({ leave: true });
    await boards.until(() => boards.events.some(({ type }) => type === 'down'));
    const down = boards.events.find(({ type }) => type === 'down');
    assert.ok(down?.type === 'down' && down.why === 'peer-left');
    assert.not.ok(boards.channel.isUp);
  }));

test(
  'a path that becomes narrower in the middle, without a word, is found out',
  () =>
    withBoards({ mtu: 9000 }, async (boards) => {
      await transfer(boards, MIB, MIB);
      assert.is(boards.channel.state().frameBytes, 9000);
      const done = transfer(boards, MIB, MIB);
      // Our interface still takes 9000; the far one drops what is larger than 1500.
      boards.peer.ip('link', 'set', boards.far, 'mtu', '1500');
      await done;
      await boards.until(() => boards.channel.state().frameBytes === 1500);
    }),
  { timeoutMs: 60_000 },
);

test.run();
