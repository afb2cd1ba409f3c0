// The best guess of how far real and virtual time are apart: the least delayed arrival of the last while.
import { ARRIVAL_WINDOW_NS, ArrivalOffset } from '../../firmware/lockstep/arrival-offset.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('lockstep/arrival-offset');
const MS = 1_000_000n;
const OFFSET = 5_000n * MS;

test('the smallest delay counts', () => {
  const random = seededRandom('delays');
  const arrivals = new ArrivalOffset();
  assert.is(arrivals.offsetNs, undefined);
  let least = 1n << 60n;
  for (let at = 0n; at < 1000n * MS; at += 4n * MS) {
    const delay = BigInt(random.int(50_000_000));
    if (delay < least) least = delay;
    arrivals.note(OFFSET + at + delay, at);
    assert.is(arrivals.offsetNs, OFFSET + least);
  }
});

test('two clocks that drift apart do not add up', () => {
  for (const drift of [50n, -50n]) {
    const arrivals = new ArrivalOffset();
    let real = 0n;
    for (let at = 0n; at < 3600_000n * MS; at += 1000n * MS) {
      real = OFFSET + at + (at * drift) / 1_000_000n;
      arrivals.note(real, at);
      const error = arrivals.offsetNs! - (real - at);
      const bound = (2n * ARRIVAL_WINDOW_NS * 50n) / 1_000_000n;
      assert.ok(error <= 0n && -error <= bound, `${error} ns after ${at} ns`);
    }
  }
});

test('what was known before counts until there is better, and a new life forgets', () => {
  const arrivals = new ArrivalOffset();
  arrivals.assume(OFFSET);
  assert.is(arrivals.offsetNs, OFFSET);
  arrivals.note(OFFSET + 7n + 3n, 7n);
  assert.is(arrivals.offsetNs, OFFSET, 'a delayed one is no better');
  arrivals.reset();
  assert.is(arrivals.offsetNs, undefined);
});

test.run();
