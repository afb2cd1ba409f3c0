// What a follower keeps: everything the leader has not told to be out, in order, whoever is faster.
import { HeldOutputs } from '../../firmware/lockstep/held.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('lockstep/held');

test('keeps what is not released, whoever is faster', () => {
  const random = seededRandom('held');
  for (let times = 0; times < 200; times++) {
    const held = new HeldOutputs<{ sequence: bigint }>();
    let made = 0;
    let released = 0;
    for (let step = 0; step < 3000; step++) {
      if (random.chance(0.5)) {
        const count = 1 + random.int(3);
        held.put(Array.from({ length: count }, (_, i) => ({ sequence: BigInt(made + i + 1) })));
        made += count;
      } else {
        // The leader is ahead as often as behind; late words say nothing new.
        released = Math.max(released, made - 8 + random.int(12));
        held.release(BigInt(random.chance(0.1) ? 0 : released));
      }
    }
    held.release(BigInt(released));
    const kept = held.takeAll().map(({ sequence }) => Number(sequence));
    const expected = Array.from(
      { length: Math.max(0, made - released) },
      (_, i) => released + i + 1,
    );
    assert.equal(kept, expected);
    assert.is(held.waiting, 0);
    if (times >= 20) break;
  }
});

test('another machine begins with number 1', () => {
  const held = new HeldOutputs<{ sequence: bigint }>();
  held.release(100n);
  held.clear();
  held.put([{ sequence: 1n }]);
  assert.is(held.waiting, 1);
});

test.run();
