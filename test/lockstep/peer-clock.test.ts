// Two boards' clocks from four times: whatever the delays and the drift, the truth is inside the error it tells.
import { DRIFT_MAX_PPM, PeerClock } from '../../firmware/lockstep/peer-clock.ts';
import { assert, type SeededRandom, seededRandom, suite } from '../harness/index.ts';

const test = suite('lockstep/peer-clock');
const US = 1_000n;
const MS = 1_000_000n;
const SECOND = 1_000n * MS;

/** Two boards: own clock is true time, the peer's has another zero and drifts. */
class World {
  nowNs = 1_000n * SECOND;
  readonly clock = new PeerClock();
  private readonly zeroNs: bigint;
  private ppm = 0n;
  private peerBaseNs: bigint;
  private atNs = this.nowNs;

  constructor(random: SeededRandom) {
    this.zeroNs = BigInt(random.int(2 ** 40)) - (1n << 39n);
    this.peerBaseNs = this.nowNs - this.zeroNs;
  }

  peerNs(): bigint {
    return this.peerBaseNs + ((this.nowNs - this.atNs) * (1_000_000n + this.ppm)) / 1_000_000n;
  }

  drift(ppm: bigint): void {
    this.peerBaseNs = this.peerNs();
    this.atNs = this.nowNs;
    this.ppm = ppm;
  }

  /** The truth. */
  offsetNs(): bigint {
    return this.nowNs - this.peerNs();
  }

  ask(thereNs: bigint, heldNs: bigint, backNs: bigint): void {
    const askedNs = this.nowNs;
    this.nowNs += thereNs;
    const receivedNs = this.peerNs();
    this.nowNs += heldNs;
    const answeredNs = this.peerNs();
    this.nowNs += backNs;
    assert.ok(this.clock.note({ askedNs, receivedNs, answeredNs, heardNs: this.nowNs }));
  }

  check(): bigint {
    const { offsetNs, errorNs } = this.clock.at(this.nowNs)!;
    const wrong = offsetNs - this.offsetNs();
    assert.ok(
      wrong <= errorNs + 1n && -wrong <= errorNs + 1n,
      `${wrong} ns wrong, told ${errorNs}`,
    );
    return errorNs;
  }
}

test('the truth is within the error, on a loaded link with two drifting clocks', () => {
  const random = seededRandom('delays');
  for (let round = 0; round < 50; round++) {
    const world = new World(random);
    // Of two clocks together: what each may drift, half of what is allowed for.
    const drift = () => BigInt(random.int(Number(DRIFT_MAX_PPM)) - Number(DRIFT_MAX_PPM) / 2);
    const delay = () => 50n * US + BigInt(random.int(random.chance(0.9) ? 40_000_000 : 20_000));
    assert.is(world.clock.at(world.nowNs), undefined);
    for (let asks = 0; asks < 300; asks++) {
      if (random.chance(0.05)) world.drift(drift());
      world.ask(delay(), BigInt(random.int(3_000_000)), delay());
      world.check();
      world.nowNs += SECOND;
      world.check();
    }
  }
});

test('a quiet link is known to a fraction of a millisecond, a busy one by its quickest answers', () => {
  const world = new World(seededRandom('quiet'));
  world.ask(20n * MS, 0n, 3n * MS);
  assert.ok(world.check() > 10n * MS);
  world.ask(60n * US, 30n * US, 80n * US);
  assert.ok(world.check() < 100n * US);
  for (let asks = 0; asks < 10; asks++) {
    world.nowNs += SECOND;
    world.ask(15n * MS, 0n, 15n * MS);
  }
  assert.ok(world.check() < 6n * MS, 'what was measured before counts, a little less each second');
});

test('delays on one way only narrow it down from both sides', () => {
  const world = new World(seededRandom('one way'));
  for (let asks = 0; asks < 4; asks++) {
    world.ask(10n * MS, 0n, 50n * US);
    world.ask(50n * US, 0n, 10n * MS);
  }
  assert.ok(world.check() < 500n * US);
});

test('a clock that jumped, or a peer that started anew, is measured anew', () => {
  const world = new World(seededRandom('jump'));
  world.ask(50n * US, 0n, 50n * US);
  const { offsetNs } = world.clock.at(world.nowNs)!;
  const shifted = (byNs: bigint) => {
    const answer = {
      askedNs: world.nowNs,
      receivedNs: world.nowNs - offsetNs + byNs + 10n * US,
      answeredNs: world.nowNs - offsetNs + byNs + 10n * US,
      heardNs: world.nowNs + 20n * US,
    };
    world.clock.note(answer);
    return world.clock.at(world.nowNs)!.offsetNs - offsetNs;
  };
  assert.ok(shifted(5n * SECOND) < -4n * SECOND);
  world.clock.renew();
  assert.is(world.clock.at(world.nowNs)!.offsetNs !== undefined, true, 'known until there is news');
  assert.ok(shifted(7n * SECOND) < -6n * SECOND);
});

test('what no clock could say is refused', () => {
  const clock = new PeerClock();
  const sound = { askedNs: 100n, receivedNs: 5_000n, answeredNs: 5_010n, heardNs: 200n };
  assert.ok(clock.note(sound));
  for (const wrong of [
    { answeredNs: 4_999n },
    { heardNs: 99n },
    { answeredNs: 5_101n },
    { receivedNs: 0n },
  ]) {
    const before = clock.at(200n);
    assert.not.ok(clock.note({ ...sound, ...wrong }), JSON.stringify(Object.keys(wrong)));
    assert.equal(clock.at(200n), before);
  }
});

test.run();
