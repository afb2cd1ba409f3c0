// Virtual time against simulated hosts: it never goes back, stays close to real time on any speed of
// host, makes good a stall smoothly, and costs few steps.
import { PACER_LIMITS, Pacer } from '../../firmware/lockstep/pacer.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('lockstep/pacer');
const MS = 1_000_000n;
const ONE = 1n << 32n;

/** A guest on a host that retires `perMs` instructions a real millisecond. */
class SimulatedGuest {
  realNs = 5_000n * MS;
  position = 0n;
  steps = 0;
  private baseNs = 0n;
  private basePosition = 0n;
  private multiplier = 8n * ONE;
  readonly pacer: Pacer;

  constructor() {
    const { realNs, position, multiplier } = this;
    this.pacer = new Pacer({ realNs, virtualNs: 0n, position, multiplier });
  }

  get virtualNs(): bigint {
    return this.baseNs + (((this.position - this.basePosition) * this.multiplier) >> 32n);
  }

  get errorNs(): bigint {
    return this.virtualNs - this.pacer.targetNs(this.realNs);
  }

  runBusy(ns: bigint, perMs: bigint): void {
    this.realNs += ns;
    this.position += (ns * perMs) / MS;
    const step = this.pacer.busy(this);
    if (step !== undefined) this.apply(step);
  }

  wakeAfter(ns: bigint): void {
    this.realNs += ns;
    this.apply(this.pacer.wake(this));
  }

  private apply({ ns, multiplier }: { ns: bigint; multiplier: bigint }): void {
    assert.ok(ns >= this.virtualNs, 'time went back');
    assert.ok(multiplier >= PACER_LIMITS.multiplierMin && multiplier <= PACER_LIMITS.multiplierMax);
    this.baseNs = ns;
    this.basePosition = this.position;
    this.multiplier = multiplier;
    this.steps++;
  }
}

const abs = (value: bigint): bigint => (value < 0n ? -value : value);

test('a busy guest stays within 5 ms on fast, slow and changing hosts', () => {
  const random = seededRandom('pacer');
  for (const base of [5_000n, 100_000n, 400_000n, 2_000_000n]) {
    const guest = new SimulatedGuest();
    for (let ms = 0; ms < 5_000; ms++) {
      const perMs = (base * BigInt(80 + random.int(41))) / 100n;
      guest.runBusy(MS, perMs);
      if (ms > 500) assert.ok(abs(guest.errorNs) < 5n * MS, `${guest.errorNs} ns at ${ms} ms`);
    }
    assert.ok(guest.steps <= 1_300, `${guest.steps} steps in 5 s`);
  }
});

test('a halved and a doubled host speed is followed', () => {
  const guest = new SimulatedGuest();
  for (const perMs of [200_000n, 100_000n, 400_000n, 50_000n]) {
    for (let ms = 0; ms < 1_000; ms++) guest.runBusy(MS, perMs);
    assert.ok(abs(guest.errorNs) < 5n * MS, `${guest.errorNs}`);
  }
});

test('a stall of a second is made good in small steps, after one of at most 250 ms', () => {
  const guest = new SimulatedGuest();
  for (let ms = 0; ms < 100; ms++) guest.runBusy(MS, 100_000n);
  guest.realNs += 1_000n * MS;
  let before = guest.virtualNs;
  for (let ms = 0; ms < 500; ms++) {
    guest.runBusy(MS, 100_000n);
    assert.ok(guest.virtualNs - before <= (ms === 0 ? 256n : 26n) * MS);
    before = guest.virtualNs;
  }
  assert.ok(abs(guest.errorNs) < 5n * MS, `${guest.errorNs}`);
});

test('a host that gives a slice of 4 ms only every 100 ms loses no time', () => {
  const guest = new SimulatedGuest();
  for (let slice = 0; slice < 200; slice++) {
    guest.runBusy(100n * MS, 4_000n);
    if (slice > 20) assert.ok(abs(guest.errorNs) < 30n * MS, `${guest.errorNs}`);
  }
});

test('an idle guest wakes at real time, and knows how long it may sleep', () => {
  const guest = new SimulatedGuest();
  for (let i = 0; i < 100; i++) {
    const deadline = guest.virtualNs + 10n * MS;
    assert.is(guest.pacer.realNsOf(deadline), guest.realNs + 10n * MS - guest.errorNs);
    guest.wakeAfter(10n * MS);
    assert.is(guest.errorNs, 0n);
  }
});

test('a guest that is ahead is slowed, never set back', () => {
  const guest = new SimulatedGuest();
  // The first guess of the rate is far too fast for this host.
  guest.runBusy(3n * MS, 1_000_000n);
  assert.ok(guest.errorNs > 0n);
  for (let ms = 0; ms < 2_000; ms++) guest.runBusy(MS, 1_000_000n);
  assert.ok(abs(guest.errorNs) < 5n * MS);
});

test.run();
