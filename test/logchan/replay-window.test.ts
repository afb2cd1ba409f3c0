// The replay window against a set that remembers everything.
import { REPLAY_WINDOW_FRAMES as FRAMES } from '../../logchan/limits.ts';
import { ReplayWindow } from '../../logchan/replay-window.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('logchan/replay-window');

test('agrees with a set that forgets nothing', () => {
  const random = seededRandom('window');
  for (let run = 0; run < 12; run++) {
    const window = new ReplayWindow();
    const seen = new Set<number>();
    let newest = 0;
    const base = random.pick([0, 1000, 2 ** 32 - 3000, 2 ** 47]);
    for (let i = 0; i < 3000; i++) {
      const step = random.pick([1, 1, 1, 3, 40, 700, FRAMES - 1, FRAMES, FRAMES + 1, 3 * FRAMES]);
      const counter = Math.max(0, (newest || base) + step - random.int(random.pick([2, 50, 6000])));
      const tooOld = counter === 0 || counter <= newest - FRAMES;
      const expected = tooOld ? 'stale' : seen.has(counter) ? 'replayed' : undefined;
      assert.is(window.refuses(counter), expected, `counter ${counter}, newest ${newest}`);
      if (expected === undefined && random.chance(0.8)) {
        window.accept(counter);
        seen.add(counter);
        newest = Math.max(newest, counter);
      }
    }
  }
});

test('a counter asked about is not used up', () => {
  const window = new ReplayWindow();
  assert.is(window.refuses(5), undefined);
  assert.is(window.refuses(5), undefined);
  window.accept(5);
  assert.is(window.refuses(5), 'replayed');
  assert.is(window.refuses(0), 'stale');
});

test.run();
