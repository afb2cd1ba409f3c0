// What is measured about the path: round trip, window, pace, largest frame.
import {
  BULK_QUEUE_US,
  FRAME_BYTES_BASE,
  PROBE_TIMEOUT_US_MAX,
  WINDOW_BYTES_INITIAL,
  WINDOW_BYTES_MAX,
  WINDOW_BYTES_MIN,
} from '../../logchan/limits.ts';
import { PathSize } from '../../logchan/path-size.ts';
import { RateLimit } from '../../logchan/rate-limit.ts';
import { RoundTrip } from '../../logchan/rtt.ts';
import { Pacer, Window } from '../../logchan/window.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('logchan/measuring');

test('the round trip settles on what it is, and the time-out above it', () => {
  const random = seededRandom('rtt');
  const rtt = new RoundTrip();
  for (let i = 0; i < 500; i++) rtt.sample(90 + random.int(20), i * 1000);
  assert.ok(Math.abs(rtt.smoothedUs - 100) < 10);
  assert.ok(rtt.variationUs < 20);
  assert.is(rtt.lowestUs, 90);
  assert.ok(rtt.timeoutUs(0) >= 1000 && rtt.timeoutUs(0) < 1300, 'never below the timer grain');
  assert.ok(rtt.timeoutUs(3) > 7 * rtt.timeoutUs(0));
  assert.is(rtt.timeoutUs(40), PROBE_TIMEOUT_US_MAX);
});

test('the lowest round trip is forgotten when the path changes', () => {
  const rtt = new RoundTrip();
  rtt.sample(50, 0);
  for (let second = 1; second <= 30; second++) rtt.sample(400, second * 1_000_000);
  assert.is(rtt.lowestUs, 400);
  rtt.sample(-3, 31_000_000);
  assert.is(rtt.lowestUs, 1, 'clocks may be coarse; time does not run backwards');
});

test('the lowest round trip outlives the end of a period', () => {
  const rtt = new RoundTrip();
  for (let second = 0; second <= 9; second++) rtt.sample(50, second * 1_000_000);
  rtt.sample(400, 11_000_000);
  assert.is(rtt.lowestUs, 50, 'one slow sample at the turn says nothing');
});

/** Rounds of one round trip each; `full` says which window held the sender back. */
function rounds(window: Window, count: number, rttUs: number, full: 'log' | 'bulk' | 'none'): void {
  for (let i = 0; i < count; i++) {
    if (full !== 'none') window.full(full === 'bulk');
    window.sample(rttUs, 100, 1e6, 0);
  }
}

test('a window grows while it is what limits and nothing queues', () => {
  const window = new Window();
  rounds(window, 3, 110, 'none');
  assert.is(window.logBytes, WINDOW_BYTES_INITIAL);
  rounds(window, 2, 110, 'log');
  assert.is(window.logBytes, 4 * WINDOW_BYTES_INITIAL);
  rounds(window, 40, 110, 'log');
  assert.is(window.logBytes, WINDOW_BYTES_MAX);
  assert.is(window.bulkBytes, WINDOW_BYTES_INITIAL);
});

test('bulk yields to a queue that messages may still cause', () => {
  const window = new Window();
  rounds(window, 6, 110, 'bulk');
  const before = window.bulkBytes;
  rounds(window, 4, 100 + 3 * BULK_QUEUE_US, 'bulk');
  assert.ok(window.bulkBytes < before / 3);
  assert.is(window.logBytes, WINDOW_BYTES_INITIAL);
  rounds(window, 60, 100_000, 'bulk');
  assert.equal([window.logBytes, window.bulkBytes], [WINDOW_BYTES_MIN, WINDOW_BYTES_MIN]);
});

test('a little loss is a bad cable, much is congestion', () => {
  const window = new Window();
  for (let i = 0; i < 5; i++) {
    window.delivered(99_000);
    window.lost(1_000);
    rounds(window, 1, 110, 'log');
  }
  const grown = window.logBytes;
  assert.ok(grown > WINDOW_BYTES_INITIAL);
  window.delivered(70_000);
  window.lost(30_000);
  rounds(window, 1, 110, 'log');
  const shrunk = window.logBytes;
  assert.ok(shrunk < grown);
  window.delivered(70_000);
  rounds(window, 1, 110, 'log');
  assert.ok(window.logBytes > shrunk, 'what was lost counts in its round only');
});

test('a window grows in rounds in which it was full, and in no others', () => {
  for (const bulk of [false, true]) {
    const window = new Window();
    const bytes = () => (bulk ? window.bulkBytes : window.logBytes);
    window.full(bulk);
    window.sample(110, 100, 1, 2);
    const grown = bytes();
    assert.ok(grown > WINDOW_BYTES_INITIAL);
    for (let counter = 2; counter < 10; counter++) window.sample(110, 100, counter, counter + 1);
    assert.is(bytes(), grown);
  }
});

test('a round ends when a frame sent after its begin was seen, not before', () => {
  const window = new Window();
  window.full(false);
  window.sample(110, 100, 1, 50);
  assert.is(window.logBytes, 2 * WINDOW_BYTES_INITIAL);
  for (let counter = 2; counter < 50; counter++) {
    window.full(false);
    window.sample(110, 100, counter, 60);
  }
  assert.is(window.logBytes, 2 * WINDOW_BYTES_INITIAL);
  window.sample(110, 100, 50, 60);
  assert.is(window.logBytes, 4 * WINDOW_BYTES_INITIAL);
});

test('a burst is bounded and the rest is spread over the round trip', () => {
  const pacer = new Pacer();
  let sent = 0;
  const send = (nowUs: number) => {
    pacer.refill(1 << 20, 10_000, nowUs);
    for (; pacer.open; sent += 1500) pacer.sent(1500);
  };
  send(0);
  const burst = sent;
  assert.ok(burst <= 300_000, `${burst}`);
  assert.ok(pacer.openUs(0) > 0);
  for (let nowUs = 1; nowUs <= 10_000; nowUs += 10) send(nowUs);
  const perRoundTrip = sent - burst;
  assert.ok(perRoundTrip > 1 << 20 && perRoundTrip < 1.4 * (1 << 20), `${perRoundTrip}`);
});

/** Probes until settled on a path that carries frames up to `carries`. */
function discover(path: PathSize, carries: number, fromUs: number): number {
  let nowUs = fromUs;
  while (!path.settled && nowUs < fromUs + 5_000_000) {
    const size = path.next(100, nowUs);
    if (size !== 0 && size <= carries) path.passed(size);
    nowUs += 1000;
  }
  return nowUs;
}

test('the path is as large as what arrives', () => {
  for (const [ports, carries, expected] of [
    [9000, 9000, 9000],
    [9000, 4400, 4352],
    [9000, 1500, 1500],
    [9000, 1450, 1400],
    [1500, 1400, 1400],
    [9000, 1300, FRAME_BYTES_BASE],
    [8192, 9000, 8192],
    [FRAME_BYTES_BASE, 9000, FRAME_BYTES_BASE],
  ] as const) {
    const path = new PathSize(ports, 0);
    discover(path, carries, 0);
    assert.is(path.bytes, expected, `ports ${ports}, carries ${carries}`);
  }
});

test('a lost probe or two is no verdict', () => {
  const path = new PathSize(9000, 0);
  let probes = 0;
  for (let nowUs = 0; !path.settled; nowUs += 1000) {
    const size = path.next(100, nowUs);
    if (size !== 0 && ++probes === 3) path.passed(size);
  }
  assert.is(path.bytes, 9000);
});

test('it is asked again later, when a port changes, and when frames vanish', () => {
  const path = new PathSize(9000, 0);
  const nowUs = discover(path, 1500, 0);
  assert.is(path.next(100, nowUs), 0, 'settled');
  const laterUs = path.wakeUs();
  assert.ok(laterUs > nowUs && laterUs < nowUs + 20_000_000);
  assert.is(path.next(100, laterUs), 9000);
  path.passed(9000);
  path.setLimit(1500, laterUs);
  assert.is(path.bytes, 1500);
  path.setLimit(9000, laterUs);
  assert.is(path.next(100, laterUs), 9000);
  path.passed(9000);
  path.suspect(laterUs);
  assert.is(path.bytes, FRAME_BYTES_BASE);
  assert.is(path.next(100, laterUs), 9000);
  assert.not.ok(path.passed(9001), 'more than the ports take is no news');
});

test('a rate is kept over time, with a burst after quiet; without one nothing is held', () => {
  const limit = new RateLimit(1_000_000);
  let sent = 0;
  for (let nowUs = 0; nowUs < 1_000_000; nowUs += 100) {
    limit.refill(nowUs);
    while (limit.open) {
      limit.sent(1500);
      sent += 1500;
    }
    assert.ok(limit.openUs(nowUs) > nowUs);
  }
  assert.ok(Math.abs(sent - 1_000_000) < 40_000, `${sent} bytes in a second`);
  // What others use is gone for bulk, but not for ever.
  for (let i = 0; i < 1000; i++) limit.sent(1500);
  limit.refill(1_100_000);
  assert.ok(limit.open);
  const none = new RateLimit();
  for (let i = 0; i < 1000; i++) none.sent(9000);
  assert.ok(none.open);
});

test.run();
