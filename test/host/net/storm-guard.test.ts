// Storm control, with the time told: what gets through, who waits, and when it is called a storm.
import {
  STORM_LIMITS,
  StormGuard,
  type StormLimits,
} from '../../../firmware/host/net/storm-guard.ts';
import { assert, seededRandom, suite } from '../../harness/index.ts';

const test = suite('host/net/storm-guard');
const GUEST = Uint8Array.of(2, 0, 0, 0, 0, 1);
const ALL = new Uint8Array(6).fill(0xff);
const LOUD = Uint8Array.of(2, 0xbd, 0, 0, 0, 7);
const QUIET = Uint8Array.of(2, 0, 0, 0, 0, 9);
const OTHER = Uint8Array.of(2, 0, 0, 0, 0, 0x55);

const frame = (to: Uint8Array, from: Uint8Array) => Uint8Array.of(...to, ...from, 8, 6, 0, 1);

/** A guard and a clock; `flood` sends evenly and answers how many got through of each. */
function world(limits: Partial<StormLimits> = {}) {
  const guard = new StormGuard(GUEST, { ...STORM_LIMITS, ...limits });
  const clock = { nowMs: 1_000 };
  const flood = (seconds: number, ...talks: { frame: Uint8Array; perS: number }[]) => {
    const passed = talks.map(() => 0);
    const due = talks.map(() => 0);
    for (const endMs = clock.nowMs + seconds * 1_000; clock.nowMs < endMs; clock.nowMs++) {
      for (const [n, { frame, perS }] of talks.entries()) {
        for (due[n]! += perS / 1_000; due[n]! >= 1; due[n]!--)
          if (guard.admit(frame, clock.nowMs)) passed[n]!++;
      }
    }
    return passed;
  };
  return { guard, clock, flood, facts: () => guard.facts(clock.nowMs) };
}

test('what a plant says every day goes through, bursts as well', () => {
  const { guard, clock, flood, facts } = world();
  const [broadcast, unicast] = flood(
    20,
    { frame: frame(ALL, LOUD), perS: 200 },
    { frame: frame(GUEST, QUIET), perS: 5_000 },
  );
  assert.equal([broadcast, unicast], [4_000, 100_000]);
  clock.nowMs += 5_000;
  // Every device asks at once when the power is back.
  for (let n = 0; n < 120; n++) assert.ok(guard.admit(frame(ALL, QUIET), clock.nowMs));
  assert.equal(facts(), {
    ...{ groupDropped: 0, dropped: 0, droppedPerS: 0, isStorm: false, source: null },
  });
});

test('of a storm of broadcasts the rate gets through, and all that is for the guest', () => {
  const { flood, facts } = world();
  const [storm, unicast] = flood(
    15,
    { frame: frame(ALL, LOUD), perS: 30_000 },
    { frame: frame(GUEST, QUIET), perS: 1_000 },
  );
  assert.ok(storm! >= 7_000 && storm! <= 7_750, `${storm} broadcasts of 450,000`);
  assert.is(unicast, 15_000);
  const { groupDropped, dropped, droppedPerS, isStorm, source } = facts();
  assert.equal([groupDropped, dropped], [450_000 - storm!, 450_000 - storm!]);
  assert.ok(Math.abs(droppedPerS - 29_500) < 100, `${droppedPerS}`);
  assert.equal([isStorm, source], [true, '02:bd:00:00:00:07']);
});

test('multicast counts as broadcast does; what floods for other stations leaves the guest its share', () => {
  const { flood, facts } = world();
  const [multicast, strays, unicast] = flood(
    10,
    { frame: frame(Uint8Array.of(1, 0x1b, 0x19, 0, 0, 0), OTHER), perS: 10_000 },
    { frame: frame(OTHER, LOUD), perS: 60_000 },
    { frame: frame(GUEST, QUIET), perS: 8_000 },
  );
  assert.is(unicast, 80_000);
  assert.ok(multicast! <= 5_250, `${multicast}`);
  assert.ok(strays! > 50_000 && strays! < 125_000, `${strays} of 600,000`);
  assert.is(facts().source, '02:bd:00:00:00:07');
  assert.ok(facts().dropped > facts().groupDropped);
});

test('one that floods the guest itself is held to the rate; the others are heard', () => {
  const { flood, facts } = world({ framesPerS: 5_000 });
  const [loud, quiet] = flood(
    10,
    { frame: frame(GUEST, LOUD), perS: 50_000 },
    { frame: frame(GUEST, QUIET), perS: 500 },
  );
  assert.is(quiet, 5_000);
  assert.ok(loud! > 40_000 && loud! < 47_000, `${loud}`);
  assert.equal([facts().groupDropped, facts().source], [0, '02:bd:00:00:00:07']);
});

test('beside the one that is heard most, who asks for the guest is answered', () => {
  const { flood } = world();
  const [storm, asks] = flood(
    10,
    { frame: frame(ALL, LOUD), perS: 30_000 },
    { frame: frame(ALL, QUIET), perS: 20 },
  );
  assert.ok(asks! >= 199, `${asks} of 200 requests, beside ${storm}`);
});

test('a storm is one when it lasts, and is over when it was quiet for long', () => {
  const { flood, facts, clock } = world();
  const loud = { frame: frame(ALL, LOUD), perS: 10_000 };
  const pause = (seconds: number) => flood(seconds, { frame: frame(ALL, QUIET), perS: 50 });
  flood(1.5, loud);
  pause(3);
  assert.is(facts().isStorm, false, 'a second and a half');
  pause(10);
  flood(4, loud);
  assert.is(facts().isStorm, true);
  pause(5);
  assert.is(facts().isStorm, true, 'not to and fro');
  flood(1, loud);
  pause(9);
  assert.is(facts().isStorm, true);
  pause(3);
  assert.is(facts().isStorm, false);
  flood(4, loud);
  // Dead silence is an end, too, whoever looks or not.
  clock.nowMs += 3_600_000;
  assert.equal([facts().isStorm, facts().droppedPerS], [false, 0]);
});

test('0 is no limit', () => {
  const { flood, facts } = world({ groupFramesPerS: 0, framesPerS: 0 });
  assert.equal(flood(1, { frame: frame(ALL, LOUD), perS: 90_000 }), [90_000]);
  assert.is(facts().dropped, 0);
});

test('frames of any length and a thousand sources cost neither an exception nor memory', () => {
  const { guard, clock, flood, facts } = world();
  const random = seededRandom('storm');
  for (let n = 0; n < 50_000; n++) {
    if (n % 20 === 0) clock.nowMs++;
    const bytes = random.bytes(random.int(40));
    guard.admit(bytes, clock.nowMs);
  }
  flood(4, { frame: frame(ALL, LOUD), perS: 5_000 });
  assert.is(facts().source, '02:bd:00:00:00:07');
});

test.run();
