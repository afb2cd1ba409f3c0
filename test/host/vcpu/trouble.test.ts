// What goes wrong between two boards is said once, in words, and nobody hangs because of it.

import { Vcpu, VcpuError, VcpuStartError } from '../../../firmware/host/vcpu/vcpu.ts';
import { GuestMemory } from '../../../native/index.ts';
import { assert, type SeededRandom, seededRandom, suite } from '../../harness/index.ts';
import { needsGcc } from '../../softcpu/guest.ts';
import { Board, caughtUp, PING_HEAD, plc, sync } from './twin.ts';

const define = suite('host/vcpu/trouble');
/** Threads start slowly on a busy host. */
const test = Object.assign(
  (name: string, body: () => Promise<void>) => define(name, body, { timeoutMs: 120_000 }),
  define,
);
test.needs(needsGcc());

async function pair(random: SeededRandom): Promise<[Board, Board]> {
  const a = await new Board('a', plc(), random).start();
  await a.until(() => a.text.includes('!'));
  const b = new Board('b', plc(), random);
  await sync(a, b);
  return [a, b];
}

/** How a question to a thread was refused. */
async function refusal(question: Promise<unknown>): Promise<string> {
  const error = await question.then(
    () => assert.unreachable('an answer'),
    (reason: unknown) => reason,
  );
  assert.instance(error, VcpuError);
  return (error as VcpuError).code;
}

/** A parked thread answers everything, and stops. */
async function assertParked(board: Board): Promise<void> {
  assert.is(board.divergences.length, 1);
  assert.is(board.vcpu.facts().doing, 'diverged');
  const { vcpu } = board;
  for (const question of [
    ...[vcpu.goLive({ log: false }), vcpu.pause(), vcpu.resume(), vcpu.startLog()],
    ...[vcpu.stopLog(), vcpu.takeDirty(), vcpu.checkpoint(), vcpu.follow()],
  ]) {
    assert.is(await refusal(question), 'E_VCPU_DIVERGED');
  }
  vcpu.push(Uint8Array.of(1, 2, 3));
  vcpu.beginStream();
  vcpu.send([{ kind: 'control', action: 'reset' }]);
  vcpu.throttle(0.5);
  assert.is(await refusal(vcpu.goLive({ log: true })), 'E_VCPU_DIVERGED');
  assert.is(board.divergences.length, 1, 'said once');
  assert.equal((await board.stop()).reason, { kind: 'stopped' });
}

test('a byte that changed on the way is found by the first digest', async () => {
  const random = seededRandom('copy');
  for (let round = 0; round < 5; round++) {
    const a = await new Board('a', plc(), random).start();
    await a.until(() => a.text.includes('!'));
    const { state } = await a.vcpu.checkpoint();
    const theirs = new GuestMemory({ token: a.vcpu.memoryToken });
    const ours = new GuestMemory({ bytes: theirs.buffer.byteLength });
    const bytes = new Uint8Array(ours.buffer);
    bytes.set(new Uint8Array(theirs.buffer));
    bytes[random.int(bytes.length)]! ^= 1 << random.int(8);
    const b = await new Board('b', plc(), random).adopt(ours.token, state);
    a.to = (piece) => b.vcpu.push(piece);
    await a.vcpu.resume({ log: true });
    await b.until(() => b.divergences.length > 0);
    assert.is(b.divergences[0]?.what, 'memory');
    assert.is(b.divergences[0]?.entryIndex, 0);
    await assertParked(b);
    await a.stop();
  }
});

test('memory that changes under a follower is found, and the pair makes a new start', async () => {
  const random = seededRandom('flip');
  const [a, b] = await pair(random);
  a.type('b');
  const memory = new GuestMemory({ token: b.vcpu.memoryToken });
  const bytes = new Uint8Array(memory.buffer);
  // Behind the code: what the guest computes with, wherever it lies.
  for (let at = 0x10_8000; at < 0x1a_0000; at += 64) bytes[at]! ^= 1;
  await b.until(() => b.divergences.length > 0);
  await assertParked(b);
  const c = new Board('c', plc(), random);
  await sync(a, c);
  a.ping();
  await caughtUp(a, c);
  await a.stop();
  await c.stop();
});

test('whatever byte of the log is altered, the follower says so and goes no further', async () => {
  const random = seededRandom('altered');
  for (let round = 0; round < 12; round++) {
    const [a, b] = await pair(random);
    let left = 1 + random.int(30);
    a.to = (bytes) => {
      if (--left === 0) bytes[random.int(bytes.length)]! ^= 1 << random.int(8);
      b.vcpu.push(bytes);
    };
    while (b.divergences.length === 0) {
      a.ping();
      await a.more(1);
    }
    const { expected, actual } = b.divergences[0]!;
    assert.ok(expected !== actual);
    await assertParked(b);
    await a.stop();
  }
});

test('pieces that are lost, cut, repeated or out of order are no log', async () => {
  const random = seededRandom('pieces');
  for (const how of ['lost', 'cut', 'twice', 'noise', 'swapped'] as const) {
    const [a, b] = await pair(random);
    let count = 0;
    let hit = Number.POSITIVE_INFINITY;
    let kept: Uint8Array | undefined;
    a.to = (bytes) => {
      count++;
      // One that holds a frame: nobody misses a digest or a marker.
      if (count >= 5 && Buffer.from(bytes).includes(PING_HEAD)) hit = Math.min(hit, count);
      if (count !== hit) b.vcpu.push(bytes);
      else if (how === 'cut') b.vcpu.push(bytes.subarray(0, bytes.length - 1));
      else if (how === 'noise') b.vcpu.push(random.bytes(100));
      else if (how === 'swapped') kept = bytes;
      else if (how === 'twice') for (let i = 0; i < 2; i++) b.vcpu.push(bytes);
      if (count === hit + 1 && kept !== undefined) b.vcpu.push(kept);
    };
    while (b.divergences.length === 0) {
      a.ping();
      await a.more(1);
    }
    await assertParked(b);
    await a.stop();
  }
});

test('go-live waits for the local disk, and for nothing else', async () => {
  const [a, b] = await pair(seededRandom('slow disk'));
  b.diskHolds = true;
  await b.until(() => b.vcpu.facts().doing === 'disk');
  a.to = undefined;
  const live = b.vcpu.goLive({ log: true });
  await a.stop();
  assert.is(b.vcpu.facts().doing, 'disk');
  b.releaseDisk();
  const { entries } = await live;
  assert.ok(entries > 0);
  b.ping();
  await b.until(() => b.frames.length > 0);
  assert.equal(b.divergences, []);
  await b.stop();
});

test('completions the log never brought reach the guest after go-live', async () => {
  const random = seededRandom('completions');
  const [a, b] = await pair(random);
  // The leader's disk is stuck, so its log never completes what the follower's disk has done.
  a.diskHolds = true;
  const requests = () => a.heldRequests.length;
  await a.until(() => requests() > 0);
  a.ping();
  await caughtUp(a, b);
  const done = b.requests;
  await a.stop();
  await b.vcpu.goLive({ log: false });
  await b.until(() => b.requests > done);
  await b.stop();
});

test('a replica that fails where the primary’s did not is said, go-live does not hang', async () => {
  const [a, b] = await pair(seededRandom('bad disk'));
  b.diskHolds = true;
  await b.until(() => b.vcpu.facts().doing === 'disk');
  a.to = undefined;
  const live = b.vcpu.goLive({ log: false });
  b.diskFails = true;
  b.releaseDisk();
  assert.is(await refusal(live), 'E_VCPU_DIVERGED');
  await assertParked(b);
  await a.stop();

  const [c, d] = await pair(seededRandom('bad disk, following'));
  d.diskFails = true;
  await d.until(() => d.divergences.length > 0);
  assert.is(d.divergences[0]?.what, 'replica');
  assert.match(d.divergences[0]?.actual ?? '', /io-error here/);
  await assertParked(d);
  await c.stop();
});

test('an error of the primary’s disk is one on both boards', async () => {
  const [a, b] = await pair(seededRandom('io error'));
  a.diskFails = true;
  // This guest ends when its disk fails.
  await a.until(() => a.vcpu.facts().doing === 'starts' || a.ended !== undefined);
  assert.equal(a.ended?.reason, { kind: 'debug-exit', code: 4 });
  await b.until(() => b.ended !== undefined);
  assert.equal(b.ended, a.ended);
  assert.equal(b.divergences, []);
});

test('a guest that ends by itself ends on both boards', async () => {
  const [a, b] = await pair(seededRandom('end'));
  a.type('Q');
  const end = await a.vcpu.ended;
  assert.equal(end.reason, { kind: 'debug-exit', code: 7 });
  assert.equal(await b.vcpu.ended, end);
  assert.equal(b.divergences, []);
});

test('each role refuses what is not its own', async () => {
  const [a, b] = await pair(seededRandom('roles'));
  assert.is(await refusal(a.vcpu.goLive({ log: false })), 'E_VCPU_ROLE');
  assert.is(await refusal(a.vcpu.follow()), 'E_VCPU_ROLE', 'it is not paused');
  for (const question of [
    ...[b.vcpu.pause(), b.vcpu.resume(), b.vcpu.startLog(), b.vcpu.stopLog()],
    ...[b.vcpu.checkpoint(), b.vcpu.follow()],
  ]) {
    assert.is(await refusal(question), 'E_VCPU_ROLE');
  }
  assert.instance(await b.vcpu.takeDirty(), Uint8Array);
  a.vcpu.push(Uint8Array.of(99));
  b.ping();
  b.type('never');
  await a.vcpu.pause();
  await a.vcpu.pause();
  await a.vcpu.resume();
  await caughtUp(a, b);
  assert.is(a.vcpu.logDropped, 1);
  assert.is(b.vcpu.inputsDropped, 2);
  await a.stop();
  await b.stop();
});

test('a guest without a stream says so', async () => {
  const random = seededRandom('no stream');
  const board = new Board('a', plc(), random);
  board.vcpu = await Vcpu.start({ ...board.options(), log: undefined });
  for (const question of [board.vcpu.startLog(), board.vcpu.resume({ log: true })]) {
    assert.is(await refusal(question), 'E_VCPU_LOG');
  }
  await board.vcpu.pause();
  await board.vcpu.resume();
  await board.stop();
});

test('whatever was asked when a thread ends is settled', async () => {
  const [a, b] = await pair(seededRandom('end of a thread'));
  b.diskHolds = true;
  await b.until(() => b.vcpu.facts().doing === 'disk');
  const live = b.vcpu.goLive({ log: true });
  b.vcpu.stop();
  const late = b.vcpu.pause();
  assert.is(await refusal(live), 'E_VCPU_ENDED');
  assert.is(await refusal(late), 'E_VCPU_ENDED');
  await b.vcpu.ended;
  assert.is(await refusal(b.vcpu.checkpoint()), 'E_VCPU_ENDED');
  b.vcpu.push(Uint8Array.of(1));
  // Nobody waits for this one: no unhandled rejection.
  void a.vcpu.pause();
  a.vcpu.stop();
  void a.vcpu.checkpoint();
  await a.vcpu.ended;
});

test('a checkpoint that was altered or belongs elsewhere is refused in words', async () => {
  const random = seededRandom('checkpoints');
  const a = await new Board('a', plc(), random).start();
  const { state } = await a.vcpu.checkpoint();
  const ours = new GuestMemory({ bytes: plc().memoryBytes });
  const refused = async (checkpoint: Uint8Array, change: object = {}, token = ours.token) => {
    const board = new Board('b', plc(), random);
    const options = board.options();
    const config = { ...options.config, ...change };
    const adoption = { memoryToken: token, checkpoint };
    const error = await Vcpu.adopt({ ...options, config }, adoption).then(
      () => assert.unreachable('it was adopted'),
      (reason: unknown) => reason,
    );
    assert.instance(error, VcpuStartError);
    return error as VcpuStartError;
  };
  for (let round = 0; round < 10; round++) {
    const altered = state.slice();
    altered[random.int(altered.length)]! ^= 1 << random.int(8);
    assert.is((await refused(altered)).code, 'E_CHECKPOINT');
  }
  assert.match((await refused(state.slice(0, -1))).message, 'altered or cut');
  assert.match((await refused(new Uint8Array(0))).message, 'not the state');
  const { devices } = new Board('b', plc(), random).options().config;
  const other = await refused(state, { devices: { ...devices, disks: [] } });
  assert.match(other.message, 'another machine');
  assert.is((await refused(state, { memoryBytes: 16 << 20 })).code, 'E_MEMORY');
  assert.is((await refused(state, {}, 999_999)).code, 'E_MEMORY');
  await a.stop();
});

test('a throttled guest executes less in the same time', async () => {
  const random = seededRandom('throttle');
  const a = await new Board('a', plc(), random).start();
  await a.until(() => a.text.includes('!'));
  a.type('b');
  const rate = async () => {
    const from = a.vcpu.facts();
    const dots = a.text.length;
    // Three of the guest's own tenths of a second.
    await a.until(() => a.text.length >= dots + 4);
    const to = a.vcpu.facts();
    return Number(to.position - from.position) / Number(to.virtualNs - from.virtualNs);
  };
  await rate();
  const full = await rate();
  a.vcpu.throttle(0.9);
  await rate();
  const slow = await rate();
  assert.ok(slow < full / 2.5, `${slow} of ${full} instructions a nanosecond`);
  a.vcpu.throttle(0);
  await rate();
  assert.ok((await rate()) > slow * 1.5);
  await a.stop();
});

test.run();
