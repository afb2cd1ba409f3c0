// The analytic channel against the clock-by-clock one.

import { Channel } from '../../../firmware/devices/pit/channel.ts';
import { assert, seededRandom, suite } from '../../harness/index.ts';
import { NaiveChannel } from './naive-channel.ts';

const test = suite('devices/pit/channel');
const LOW_HIGH = 3;

function readCount(channel: Channel, tick: bigint): number {
  channel.latchCount(tick);
  return channel.read(tick) | (channel.read(tick) << 8);
}

test('agrees with the naive model in every mode, with gates and new counts at any time', () => {
  const random = seededRandom();
  for (let round = 0; round < 600; round++) {
    const mode = round % 6;
    const fast = new Channel(true);
    const slow = new NaiveChannel();
    let tick = BigInt(random.int(1000));
    const count = (value: number) => {
      fast.writeCount(value & 0xff, tick);
      fast.writeCount(value >> 8, tick);
      slow.count(value);
    };
    fast.writeControl(LOW_HIGH, mode, false);
    slow.control(mode);
    const span = random.pick([4, 9, 40]);
    count(2 + random.int(span));
    let predictedRise: bigint | undefined;
    for (let step = 0; step < 120; step++) {
      const wasOut = slow.out;
      tick++;
      slow.pulse();
      const where = `mode ${mode}, round ${round}, step ${step}`;
      // Strobe width while paused, and the count under a low gate, are our choice (README).
      const isChoice = !slow.gate && mode >= 2;
      if (!isChoice) {
        assert.is(fast.out(tick), slow.out, `out: ${where}`);
        checkCount(fast, slow, tick, where);
        if (predictedRise !== undefined && predictedRise <= tick) {
          assert.is(predictedRise, tick, `a predicted rise must not be late: ${where}`);
          assert.ok(slow.out && !wasOut, `predicted rise: ${where}`);
        } else if (slow.out && !wasOut) {
          assert.unreachable(`a rise nobody predicted: ${where}`);
        }
      }
      if (random.chance(0.06)) {
        const gate = random.chance(0.7);
        fast.setGate(gate, tick);
        slow.setGate(gate);
      }
      if (random.chance(0.04)) count(2 + random.int(span));
      predictedRise = fast.nextRiseTick(tick);
    }
  }
});

function checkCount(fast: Channel, slow: NaiveChannel, tick: bigint, where: string): void {
  if (!slow.hasRun) return;
  assert.is(readCount(fast, tick), slow.ce & 0xffff, `count: ${where}`);
}

test('looking at a channel does not change it', () => {
  const random = seededRandom();
  for (let round = 0; round < 200; round++) {
    const quiet = new Channel(true);
    const watched = new Channel(true);
    let tick = 0n;
    for (const channel of [quiet, watched]) channel.writeControl(1, 2 + (round % 2), false);
    for (let step = 0; step < 20; step++) {
      const value = 2 + random.int(30);
      quiet.writeCount(value, tick);
      watched.writeCount(value, tick);
      for (let i = random.int(60); i > 0; i--) {
        tick++;
        watched.out(tick);
        watched.nextRiseTick(tick);
      }
      assert.equal(quiet.state(tick), watched.state(tick));
    }
  }
});

test.run();
