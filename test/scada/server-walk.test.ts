// From server to server: each in its turn, each word about the right one, pauses that grow, and two clients
// with one id.
import { RETRY } from '../../firmware/scada/retry.ts';
import { CUTS_MAX, type Ending, PROVEN_MS, ServerWalk } from '../../firmware/scada/server-walk.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('scada/server-walk');
const URLS = ['mqtt://one', 'mqtt://two', 'mqtt://three'];

const failed = (why: string): Ending => ({ how: 'failed', why });
const cut: Ending = { how: 'cut', why: 'the broker hung up' };
const left = (walk: boolean): Ending => ({ how: 'left', walk, why: 'the host is offline here' });

class Walked {
  readonly walk: ServerWalk;
  nowMs = 0;
  readonly notices: string[] = [];
  readonly pauses: number[] = [];

  constructor(urls = URLS) {
    this.walk = new ServerWalk(urls, 'press7a0', 0);
  }

  /** One attempt up to its end; undefined: it is not accepted. */
  attempt(ending: Ending, stoodMs?: number): this {
    this.walk.begin(this.nowMs);
    if (stoodMs !== undefined) {
      const notice = this.walk.accepted(this.nowMs);
      if (notice !== null) this.notices.push(notice);
      this.nowMs += stoodMs;
    }
    const { pauseMs, notice } = this.walk.ended(ending, this.nowMs, 0.999);
    if (notice !== null) this.notices.push(notice);
    this.pauses.push(pauseMs);
    this.nowMs += pauseMs;
    return this;
  }
}

test('no server is skipped and none is asked twice, however a connection ends', () => {
  const random = seededRandom('walk');
  const one = new Walked();
  for (let i = 0; i < 500; i++) {
    const { index } = one.walk;
    const how = random.int(4);
    const end = [failed('x'), cut, left(true), left(false)][how] as Ending;
    one.attempt(end, how === 0 && random.chance(0.5) ? undefined : random.int(100_000));
    assert.is(one.walk.index, how === 3 ? index : (index + 1) % URLS.length);
  }
});

test('each word names the server it is of', () => {
  const one = new Walked();
  one.attempt(failed('nobody listens there')).attempt(left(true), 100).attempt(cut, 100);
  assert.equal(one.notices, [
    'mqtt://one: nobody listens there',
    'connected to mqtt://two',
    'mqtt://two: the host is offline here',
    'connected to mqtt://three',
    'mqtt://three: the broker hung up',
  ]);
  const [first, second, third] = one.walk.facts;
  assert.equal(
    [first, second, third].map((facts) => [facts?.state, facts?.connects, facts?.trouble?.text]),
    [
      ['lost', 0, 'nobody listens there'],
      ['lost', 1, 'the host is offline here'],
      ['lost', 1, 'the broker hung up'],
    ],
  );
});

test('a server that does not come back is without connection since it was lost', () => {
  const one = new Walked(['mqtt://one']);
  one.attempt(cut, 1_000);
  const lostMs = one.walk.facts[0]?.sinceMs;
  for (let i = 0; i < 5; i++) one.attempt(failed('off'));
  one.walk.begin(one.nowMs);
  assert.equal([one.walk.facts[0]?.state, one.walk.facts[0]?.sinceMs], ['trying', lostMs]);
  one.walk.accepted(one.nowMs);
  assert.is(one.walk.facts[0]?.sinceMs, one.nowMs);
});

test('the same trouble of a server is told once, until it was well there', () => {
  const one = new Walked(URLS.slice(0, 2));
  for (let i = 0; i < 50; i++) one.attempt(failed(i % 2 === 0 ? 'off' : 'wrong certificate'));
  assert.equal(one.notices, ['mqtt://one: off', 'mqtt://two: wrong certificate']);
  one.attempt(cut, PROVEN_MS).attempt(failed('wrong certificate')).attempt(failed('off'));
  assert.equal(one.notices.slice(2), [
    'connected to mqtt://one',
    'mqtt://one: the broker hung up',
    'mqtt://one: off',
  ]);
});

test('pauses grow until a connection has proven itself', () => {
  const one = new Walked(['mqtt://one']);
  for (let i = 0; i < 10; i++) one.attempt(cut, 1_000);
  for (let i = 1; i < 7; i++) assert.ok(one.pauses[i]! > one.pauses[i - 1]! * 1.5);
  assert.ok(one.pauses[9]! > RETRY.mostMs * 0.9);
  one.attempt(cut, PROVEN_MS);
  assert.ok(one.pauses[10]! <= RETRY.firstMs);
});

test('looking for the primary host is no failure, and does not hurry either', () => {
  const one = new Walked();
  for (let i = 0; i < 20; i++) one.attempt(left(true), 10);
  assert.ok(one.pauses[0]! <= RETRY.firstMs);
  assert.ok(one.pauses[19]! > 9_000 && one.pauses[19]! <= 10_000);
  one.walk.settled();
  one.attempt(left(true), 10).attempt(failed('off'));
  assert.ok(one.pauses[20]! <= RETRY.firstMs && one.pauses[21]! <= RETRY.firstMs);
});

test('two clients with one id are named as what they are, in the end once', () => {
  // A connection lasts as long as the other client's pause: longer than any pause is proven.
  assert.ok(PROVEN_MS > RETRY.mostMs * 1.5);
  const one = new Walked(['mqtt://one']);
  for (let i = 0; i < 40; i++) {
    one.attempt(cut, Math.min(RETRY.mostMs, 300 * 2 ** i));
    assert.is(one.walk.isContested, i + 1 >= CUTS_MAX);
  }
  const named = one.notices.filter((text) => text.includes('same id (press7a0)'));
  assert.is(named.length, 1);
  assert.is(one.notices.length, 4, 'hung up, connected, named, connected');
  one.attempt(cut, PROVEN_MS);
  assert.not.ok(one.walk.isContested);
});

test('a broker that restarts is not mistaken for another client', () => {
  const one = new Walked(['mqtt://one']);
  for (let i = 0; i < 20; i++) one.attempt(cut, 5_000).attempt(failed('nobody listens there'));
  assert.not.ok(one.walk.isContested);
  assert.not.ok(one.notices.some((text) => text.includes('same id')));
});

test('with more than one server the fight is seen where it is', () => {
  const one = new Walked(URLS.slice(0, 2));
  for (let i = 0; i < CUTS_MAX; i++) one.attempt(cut, 1_000).attempt(failed('off'));
  assert.match(one.notices.at(-1) as string, /^mqtt:\/\/one: .* same id/);
});

test.run();
