// An endpoint beside its peer: refusals in words, foreign and hostile frames, and the API's duties.
import { type ChannelEvent, Endpoint, type EndpointOptions } from '../../logchan/endpoint.ts';
import { FRAME_BYTES_BASE } from '../../logchan/limits.ts';
import { LANE } from '../../logchan/sections.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';
import { KEYS, ramp, vectorBytes } from './vectors.ts';

const test = suite('logchan/endpoint');
const random = seededRandom('endpoint');

class Board {
  readonly end: Endpoint;
  readonly events: ChannelEvent[] = [];
  readonly sent: Uint8Array[] = [];
  private readonly frame = new Uint8Array(9000);

  constructor(options: Partial<EndpointOptions> = {}) {
    const end = {
      pairingKey: KEYS.pairingKey,
      cluster: KEYS.cluster,
      random: (count: number) => random.bytes(count),
      paths: [{ frameBytesMax: 1500 }],
    };
    this.end = new Endpoint({ ...end, ...options }, 0);
  }

  /** Gives frames, lets time pass, returns what it sends. */
  step(frames: Uint8Array[], nowUs: number): Uint8Array[] {
    for (const bytes of frames) this.end.receive(0, bytes, 0, bytes.length, nowUs);
    this.end.tick(nowUs);
    const out: Uint8Array[] = [];
    for (let bytes = this.end.write(0, this.frame, nowUs); bytes > 0; ) {
      out.push(this.frame.slice(0, bytes));
      bytes = this.end.write(0, this.frame, nowUs);
    }
    for (let event = this.end.takeEvent(); event; event = this.end.takeEvent()) {
      this.events.push(event);
    }
    this.sent.push(...out);
    return out;
  }
}

/** Both boards on a line without delay, for so long. */
function run(a: Board, b: Board, fromUs: number, forUs: number): void {
  let toA: Uint8Array[] = [];
  for (let nowUs = fromUs; nowUs <= fromUs + forUs; nowUs += 500) {
    const toB = a.step(toA, nowUs);
    toA = b.step(toB, nowUs);
  }
}

function metPair(): [Board, Board] {
  const pair: [Board, Board] = [new Board(), new Board()];
  run(...pair, 0, 20_000);
  assert.ok(pair.every(({ end }) => end.isUp));
  return pair;
}

test('two boards meet, and say so once', () => {
  const [a, b] = metPair();
  assert.equal(
    a.events.map(({ type }) => type),
    ['up', 'path'],
  );
  assert.is(a.end.session?.name, b.end.session?.name);
});

test('another key, cluster or version is one clear event, again after a success', () => {
  const cases: [Partial<EndpointOptions>, string][] = [
    [{ pairingKey: ramp(1, 32) }, 'key'],
    [{ cluster: 'press-5' }, 'cluster'],
  ];
  for (const [options, why] of cases) {
    const [a, b] = [new Board(), new Board(options)];
    run(a, b, 0, 500_000);
    for (const { events, end } of [a, b]) {
      assert.equal(events, [{ type: 'refused', why }]);
      assert.ok(end.drops[why as 'key'] > 10, 'each frame is counted');
    }
  }
  const [first, second] = [new Board(), new Board()];
  const strange = vectorBytes('bad-version');
  first.step([strange], 1);
  run(first, second, 2, 20_000);
  second.end.close();
  run(first, second, 30_000, 2_000);
  first.step([strange, strange], 40_000);
  assert.is(
    first.events.filter(({ type }) => type === 'refused').length,
    2,
    'news after a success',
  );
  const a = new Board();
  a.step([vectorBytes('bad-version'), vectorBytes('bad-version')], 1);
  assert.equal(a.events, [{ type: 'refused', why: 'version' }]);
  assert.is(a.end.drops.version, 2);
});

test('strangers do not disturb a session', () => {
  const [a, b] = metPair();
  const stranger = new Board({ pairingKey: ramp(9, 32) });
  const before = a.events.length;
  for (let nowUs = 30_000; nowUs < 90_000; nowUs += 500) a.step(stranger.step([], nowUs), nowUs);
  assert.ok(a.end.drops.key > 0);
  assert.equal(
    a.events.slice(before).map(({ type }) => type),
    ['silent'],
  );
  run(a, b, 90_000, 10_000);
  assert.ok(a.end.isUp && b.end.isUp);
});

test('everything ever sent, sent again or sent back, changes nothing', () => {
  const [a, b] = metPair();
  for (let i = 0; i < 20; i++) a.end.append(LANE.log, random.bytes(400), 'urgent', 30_000);
  run(a, b, 30_000, 5_000);
  while (b.end.take(LANE.log) !== undefined);
  const names = [a.end.session?.name, b.end.session?.name];
  const all = [...a.sent, ...b.sent];
  // Answers to replayed calls are sent, so the boards must run on between the blows.
  for (const frame of all) {
    a.step([frame], 36_000);
    b.step([frame], 36_000);
  }
  assert.is(b.end.take(LANE.log), undefined, 'nothing arrives twice');
  run(a, b, 36_000, 30_000);
  assert.equal([a.end.session?.name, b.end.session?.name], names);
  assert.not.ok([...a.events, ...b.events].some(({ type }) => type === 'down'));
  const { replayed, forged, reflected, echo } = a.end.drops;
  assert.ok(replayed > 0 && forged > 0 && reflected > 0 && echo > 0, JSON.stringify(a.end.drops));
});

test('altered and cut frames are dropped whole', () => {
  const [a, b] = metPair();
  a.end.append(LANE.log, random.bytes(100), 'urgent', 30_000);
  const [frame] = a.step([], 30_000);
  assert.ok(frame !== undefined);
  const before = { ...b.end.drops };
  for (let bit = 0; bit < frame.length * 8; bit += 3) {
    const flipped = frame.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
    b.step([flipped], 30_000);
  }
  for (let length = 0; length < frame.length; length += 5) b.step([frame.slice(0, length)], 30_000);
  assert.is(b.end.take(LANE.log), undefined);
  for (const why of ['forged', 'short', 'magic', 'version', 'kind', 'session'] as const) {
    assert.ok(b.end.drops[why] > before[why], why);
  }
  b.step([frame], 30_000);
  assert.is(b.end.take(LANE.log)?.length, 100, 'and the real one still counts');
});

test('frames of an older session are dropped', () => {
  const [a, b] = metPair();
  const old = a.sent.slice();
  const restarted = new Board();
  run(restarted, b, 30_000, 30_000);
  assert.ok(restarted.end.isUp && b.events.some(({ type }) => type === 'down'));
  const before = b.end.drops.session;
  b.step(old, 61_000);
  assert.ok(b.end.drops.session > before);
});

test('appending is possible exactly while the session is up', () => {
  const lone = new Board();
  assert.not.ok(lone.end.fits(LANE.log, 1));
  assert.throws(
    () => lone.end.append(LANE.log, new Uint8Array(1), 'urgent', 0),
    /without a session/,
  );
  const [a, b] = metPair();
  assert.ok(a.end.fits(LANE.log, 1));
  a.end.close();
  assert.not.ok(a.end.isUp || a.end.fits(LANE.log, 1));
  b.step(a.step([], 31_000), 31_000);
  assert.not.ok(b.end.isUp);
  assert.equal(a.step(b.step([], 32_000), 32_000), [], 'a closed end says nothing any more');
  a.end.close();
  const told = a.events.length;
  const dropped = { ...a.end.drops };
  a.step(b.sent, 33_000);
  assert.is(a.events.length, told, 'and hears nothing');
  assert.equal(a.end.drops, dropped);
});

test('a port too small for a base frame is our own mistake', () => {
  assert.throws(() => new Board({ paths: [{ frameBytesMax: FRAME_BYTES_BASE - 1 }] }), /base size/);
});

test('a port that shrinks and grows is followed', () => {
  const pair: [Board, Board] = [
    new Board({ paths: [{ frameBytesMax: 9000 }] }),
    new Board({ paths: [{ frameBytesMax: 9000 }] }),
  ];
  run(...pair, 0, 50_000);
  const path = () => pair[0].end.session?.paths.active.size.bytes;
  assert.is(path(), 9000);
  pair[0].end.portSize(0, 1500, 50_000);
  assert.is(path(), 1500);
  pair[0].end.portSize(0, 9000, 51_000);
  run(...pair, 51_000, 50_000);
  assert.is(path(), 9000);
});

test('a link that is up does not come up again', () => {
  const [a] = metPair();
  const said = a.events.length;
  a.end.linkChanged(0, true, 30_000);
  a.step([], 30_000);
  assert.is(a.events.length, said);
  assert.is(a.end.session?.timeouts, 0);
});

test('a port that takes less than the base size is treated as if it took that', () => {
  const [a] = metPair();
  a.end.portSize(0, 600, 30_000);
  assert.is(a.end.session?.paths.active.size.bytes, FRAME_BYTES_BASE);
});

test.run();
