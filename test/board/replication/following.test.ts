// The following side by itself: what it acknowledges and in which role, what it tells the arbiter, when it asks.
import { Following } from '../../../firmware/board/replication/following.ts';
import { assert, suite } from '../../harness/index.ts';
import { FACTS, SharedFake } from './shared-fake.ts';

const test = suite('board/replication/following');
const BEGIN = {
  type: 'begin',
  stream: 9,
  generation: 2,
  boot: 7,
  session: 5,
  position: 0n,
} as const;
const log = (number: number) => ({ type: 'log', bytes: Uint8Array.of(number) }) as const;
const mark = (kind: 'grant' | 'leave') =>
  ({ type: 'mark', mark: kind, generation: 2, boot: 7, session: 5 }) as const;

test('what came in a turn is acknowledged at its end, with names and number, and only as a follower', () => {
  const fake = new SharedFake();
  const following = new Following(fake.shared);
  following.begin(BEGIN);
  following.log(log(1));
  following.log(log(2));
  assert.equal(fake.sent, []);
  following.turn();
  const ack = fake.sent[0];
  assert.ok(ack?.type === 'ack');
  assert.equal(
    [ack.stream, ack.generation, ack.session, ack.through, ack.applied],
    [9, 2, 5, 2, 0],
  );
  following.turn();
  assert.is(fake.sent.length, 1, 'a turn without log owes nothing');
  for (const role of ['seeking', 'promoting', 'solo', 'maintenance'] as const) {
    fake.is({ role });
    following.log(log(3));
    following.turn();
  }
  assert.is(fake.sent.length, 1, 'in no other role');
  fake.is({ role: 'backup' });
  following.turn();
  assert.equal(
    fake.sent.slice(1).map((said) => said.type === 'ack' && said.through),
    [6],
  );
});

test('a log that names another start or session of this board is not for it', () => {
  const fake = new SharedFake();
  const following = new Following(fake.shared);
  following.begin({ ...BEGIN, boot: 6 });
  following.begin({ ...BEGIN, session: 4 });
  following.log(log(1));
  following.mark(mark('grant'));
  following.turn();
  assert.equal([fake.sent, fake.arbiter], [[], []]);
});

test('a mark is told to the arbiter; from then on no interruption of the link begins a sync-up', async () => {
  const fake = new SharedFake();
  const following = new Following(fake.shared);
  following.syncTarget(5);
  await fake.idle();
  assert.equal(fake.types(), ['want']);
  following.begin(BEGIN);
  following.log(log(1));
  following.mark(mark('grant'));
  assert.equal(fake.arbiter, [{ type: 'marked', mark: 'grant', session: 5 }]);
  following.turn();
  following.linkDown();
  following.linkUp();
  await fake.idle();
  assert.equal(fake.types(), ['want', 'ack']);
  assert.not.ok(following.wasHandedOver);
  following.mark(mark('leave'));
  assert.ok(following.wasHandedOver);
  following.stop();
});

test('without a mark a link that goes takes the log with it, and the board asks anew', async () => {
  const fake = new SharedFake();
  const following = new Following(fake.shared);
  following.syncTarget(5);
  await fake.idle();
  following.begin(BEGIN);
  following.linkDown();
  following.log(log(1));
  following.turn();
  following.linkUp();
  await fake.idle();
  assert.equal(fake.types(), ['want', 'want']);
  following.stop();
});

test('the leader begins anew while a machine is being made: that one never moves, and is not what is told to be in step', async () => {
  const fake = new SharedFake();
  const { runner } = fake;
  const made: (() => void)[] = [];
  runner.adopt = () => new Promise((resolve) => made.push(resolve));
  const following = new Following(fake.shared);
  following.syncTarget(5);
  await fake.idle();
  const memoryBytes = FACTS.memoryBytes;
  const start = (sync: number) =>
    following.bulk({
      ...{ type: 'start', sync, boot: 7, session: 5, memoryBytes, base: 0, isNew: true },
      key: new Uint8Array(16),
    });
  const end = (sync: number, stream: number) => {
    following.begin({ ...BEGIN, stream });
    following.bulk({ type: 'end', sync, stream, pages: 0, blocks: 0 });
  };
  start(1);
  end(1, 9);
  following.log(log(1));
  await until(() => made.length === 1);
  start(2);
  made[0]!();
  await fake.idle();
  following.turn();
  assert.equal(runner.pushed, []);
  assert.equal(fake.types(), ['want'], 'nothing is in step');
  end(2, 10);
  await until(() => made.length === 2);
  made[1]!();
  await until(() => fake.types().includes('synced'));
  const said = fake.sent.find(({ type }) => type === 'synced');
  assert.is(said?.type === 'synced' && said.stream, 10);
  following.stop();
});

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}

test('it asks when it has what the guest needs and a link, not before', async () => {
  const fake = new SharedFake();
  const following = new Following(fake.shared);
  fake.facts = undefined;
  following.syncTarget(5);
  await fake.idle();
  fake.linkWorks = false;
  following.linkUp();
  await fake.idle();
  assert.equal(fake.sent, []);
  fake.linkWorks = true;
  fake.facts = FACTS;
  following.linkUp();
  await fake.idle();
  assert.equal(fake.types(), ['want']);
  assert.is(following.syncFacts()?.phase, 'asking');
  following.stop();
});

test('what the leader heard the guest with counts for who follows its log', () => {
  const fake = new SharedFake();
  const following = new Following(fake.shared);
  following.heard({ type: 'heard', heard: Uint8Array.of(1) });
  following.begin(BEGIN);
  following.heard({ type: 'heard', heard: Uint8Array.of(2) });
  assert.equal(fake.heard, [Uint8Array.of(2)]);
});

test('dropped by the primary, or unlike it: the arbiter knows, for the session that it concerns', () => {
  const fake = new SharedFake();
  const following = new Following(fake.shared);
  following.drop({ type: 'drop', session: 4, reason: 'an old one' });
  assert.equal(fake.arbiter, []);
  following.drop({ type: 'drop', session: 5, reason: 'too far behind' });
  assert.equal(fake.arbiter, [{ type: 'diverged', why: 'dropped by the primary: too far behind' }]);
  const divergence = { what: 'digest of memory', expected: '1', actual: '2', position: 3n };
  following.diverged(divergence as Parameters<Following['diverged']>[0]);
  assert.is(fake.arbiter.length, 2);
  fake.is({ role: 'solo' });
  following.drop({ type: 'drop', session: 5, reason: 'late' });
  following.diverged(divergence as Parameters<Following['diverged']>[0]);
  assert.is(fake.arbiter.length, 2, 'who leads is dropped by nobody');
  assert.equal(fake.events, ['LAG-DROPPED', 'DIVERGED', 'DIVERGED']);
});

test.run();
