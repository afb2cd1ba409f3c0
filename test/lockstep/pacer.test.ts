// Virtual time against simulated hosts: it never goes back and never passes faster than its bound, stays
// close to its line on any speed of host, makes good what was lost within seconds, and costs few steps.
import { PACER_LIMITS, Pacer } from '../../firmware/lockstep/pacer.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('lockstep/pacer');
const MS = 1_000_000n;
const SECOND = 1_000n * MS;
const ONE = 1n << 32n;

/** A guest on a host that retires `perMs` instructions a real millisecond. */
class SimulatedGuest {
  realNs = 5_000n * MS;
  position = 0n;
  steps = 0;
  timerNs: bigint | undefined;
  pacer: Pacer;
  private baseNs = 0n;
  private basePosition = 0n;
  private multiplier = 8n * ONE;

  constructor(behindNs = 0n) {
    const { realNs, position, multiplier } = this;
    const offsetNs = realNs - behindNs;
    this.pacer = new Pacer({ realNs, virtualNs: 0n, position, multiplier, offsetNs });
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
    this.tick();
    const step = this.pacer.busy(this);
    if (step !== undefined) this.apply(step);
  }

  /** A machine fires its timers before anybody asks. */
  tick(): void {}

  /** Idles until virtual time is so far on, and is woken so much later. */
  idle(ns: bigint, lateNs = 0n): void {
    this.pacer.idles(this);
    const due = this.pacer.realNsOf(this.virtualNs + ns);
    const deadline = this.virtualNs + ns;
    if (due > this.realNs) this.realNs = due;
    this.realNs += lateNs;
    this.apply(this.pacer.wake(this, due));
    assert.ok(this.virtualNs >= deadline, `woken ${deadline - this.virtualNs} ns too early`);
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

test('what a takeover or a stall has cost is made good within seconds, by a bounded rate', () => {
  for (const missing of [3n, 150n, 345n, 1_000n, 2_300n]) {
    for (const load of ['busy', 'idle', 'mixed'] as const) {
      const guest = new SimulatedGuest(missing * MS);
      const random = seededRandom(`missing ${missing} ${load}`);
      const startNs = guest.realNs;
      let [realNs, virtualNs] = [guest.realNs, guest.virtualNs];
      while (guest.realNs - startNs < 6n * SECOND) {
        if (load === 'busy' || (load === 'mixed' && random.chance(0.5))) {
          for (let ms = random.int(30); ms >= 0; ms--) guest.runBusy(MS, 100_000n);
        } else guest.idle(BigInt(random.int(20_000_000)), BigInt(random.int(100_000)));
        // At most twice as fast; a slice runs on at the rate it was given before its step corrects it.
        const [passed, seen] = [guest.realNs - realNs, guest.virtualNs - virtualNs];
        assert.ok(seen <= 2n * passed + 6n * MS, `${seen} ns in ${passed} ns`);
        if (passed < 100n * MS) continue;
        [realNs, virtualNs] = [guest.realNs, guest.virtualNs];
        // As much as a quarter of the time that is gone, at least.
        const goneNs = guest.realNs - startNs;
        const most = missing * MS - goneNs / 4n;
        if (most > 0n) assert.ok(-guest.errorNs <= most + 5n * MS, `${guest.errorNs} at ${goneNs}`);
      }
      assert.ok(abs(guest.errorNs) < 5n * MS, `${load}, ${missing} ms: ${guest.errorNs} ns`);
    }
  }
});

test('of a stall of a second 250 ms pass at once, the rest is made good in four seconds', () => {
  for (const load of ['busy', 'idle'] as const) {
    const guest = new SimulatedGuest();
    for (let ms = 0; ms < 100; ms++) guest.runBusy(MS, 100_000n);
    const before = guest.virtualNs;
    if (load === 'busy') {
      guest.realNs += SECOND;
      guest.runBusy(MS, 100_000n);
    } else guest.idle(MS, SECOND);
    assert.ok(guest.virtualNs - before <= 256n * MS, `${guest.virtualNs - before}`);
    for (let ms = 0; ms < 4_000; ms++) guest.runBusy(MS, 100_000n);
    assert.ok(abs(guest.errorNs) < 5n * MS, `${guest.errorNs}`);
  }
});

test('a host that gives a slice of 4 ms only every 100 ms loses no time', () => {
  const guest = new SimulatedGuest();
  for (let slice = 0; slice < 200; slice++) {
    guest.runBusy(100n * MS, 4_000n);
    if (slice > 20) assert.ok(abs(guest.errorNs) < 30n * MS, `${guest.errorNs}`);
  }
});

/** A guest that counts the ticks of a periodic timer, and has nothing else to know the time by. */
class CountingGuest extends SimulatedGuest {
  ticks = 0n;
  private readonly periodNs: bigint;

  constructor(periodNs: bigint) {
    super();
    this.periodNs = periodNs;
    this.timerNs = periodNs;
  }

  /** What an 8254 does: one interrupt, however many periods passed. */
  override tick(): void {
    if (this.virtualNs < this.timerNs!) return;
    this.ticks++;
    this.timerNs = (this.virtualNs / this.periodNs + 1n) * this.periodNs;
  }

  get lost(): bigint {
    return this.virtualNs / this.periodNs - this.ticks;
  }

  /** A tenth of a millisecond, as long as the loop lets a timer have its turn. */
  slice(): void {
    this.runBusy(MS / 10n, 100_000n);
    this.tick();
  }
}

test('no tick is lost: each timer fires in its turn, after a pause of the host and after a late wake', () => {
  const random = seededRandom('ticks');
  for (const periodNs of [1n, 4n, 10n].map((ms) => ms * MS - 1_000n)) {
    const guest = new CountingGuest(periodNs);
    for (let round = 0; round < 100; round++) {
      for (let slices = random.int(600); slices >= 0; slices--) guest.slice();
      if (random.chance(0.5)) {
        guest.realNs += BigInt(random.int(240)) * MS;
        guest.slice();
      } else {
        for (let wakes = 1 + random.int(5); wakes > 0; wakes--) {
          guest.idle(guest.timerNs! - guest.virtualNs, BigInt(random.int(40_000_000)));
          guest.tick();
        }
      }
      const startNs = guest.realNs;
      while (guest.pacer.isOwing) guest.slice();
      const tookMs = (guest.realNs - startNs) / MS;
      assert.ok(tookMs <= 3n + (250n * MS) / periodNs / 8n, `${tookMs} ms to make up for it`);
      assert.is(guest.lost, 0n, `ticks of ${periodNs} ns`);
      assert.ok(abs(guest.errorNs) < 5n * MS, `${guest.errorNs}`);
    }
  }
});

test('an idle guest wakes at real time, and knows how long it may sleep', () => {
  const guest = new SimulatedGuest();
  for (let i = 0; i < 100; i++) {
    const deadline = guest.virtualNs + 10n * MS;
    assert.is(guest.pacer.realNsOf(deadline), guest.realNs + 10n * MS - guest.errorNs);
    guest.idle(10n * MS);
    assert.is(guest.errorNs, 0n);
  }
});

test('an idle guest without a timer finds all the time passed, however long it was', () => {
  const guest = new SimulatedGuest();
  guest.realNs += 3_600n * SECOND;
  const step = guest.pacer.wake(guest, undefined);
  assert.is(step.ns, guest.pacer.targetNs(guest.realNs));
});

test('a guest that is ahead is slowed to half at most, never set back', () => {
  const guest = new SimulatedGuest();
  // The first guess of the rate is far too fast for this host.
  guest.runBusy(3n * MS, 1_000_000n);
  assert.ok(guest.errorNs > 0n);
  for (let ms = 0; ms < 2_000; ms++) guest.runBusy(MS, 1_000_000n);
  assert.ok(abs(guest.errorNs) < 5n * MS);

  const ahead = new SimulatedGuest(-300n * MS);
  for (let ms = 0; ms < 50; ms++) ahead.runBusy(MS, 125_000n);
  const [realNs, virtualNs] = [ahead.realNs, ahead.virtualNs];
  for (let ms = 0; ms < 100; ms++) ahead.runBusy(MS, 125_000n);
  const passed = ahead.realNs - realNs;
  assert.ok((ahead.virtualNs - virtualNs) * 5n >= passed * 2n, 'the clock nearly stands still');
  for (let ms = 0; ms < 1_000; ms++) ahead.runBusy(MS, 125_000n);
  assert.ok(abs(ahead.errorNs) < 5n * MS, `${ahead.errorNs}`);
});

test('a guest that idles most of the time is measured by what it runs', () => {
  const guest = new SimulatedGuest();
  // Ten times as fast as was thought, in bursts shorter than any interval between steps.
  let worst = 0n;
  for (let round = 0; round < 500; round++) {
    guest.runBusy(MS / 2n, 1_250_000n);
    if (round > 20 && guest.errorNs > worst) worst = guest.errorNs;
    guest.idle(2n * MS);
  }
  assert.ok(worst < 3n * MS, `${worst} ns ahead`);
});

test('a host shared unfairly: bursts, pauses, other speeds; the line holds when it calms down', () => {
  const random = seededRandom('unfair');
  const guest = new SimulatedGuest();
  for (let round = 0; round < 50; round++) {
    for (let turn = 0; turn < 100; turn++) {
      const perMs = [20_000n, 100_000n, 500_000n][random.int(3)]!;
      if (random.chance(0.1)) guest.realNs += BigInt(random.int(60)) * MS;
      if (random.chance(0.3))
        guest.idle(BigInt(random.int(5_000_000)), BigInt(random.int(500_000)));
      // A slice ends before virtual time passed for 6 ms: firmware/host/vcpu/loop.ts.
      else guest.runBusy(MS, perMs);
    }
    for (let ms = 0; ms < 300; ms++) guest.runBusy(MS, 100_000n);
    assert.ok(abs(guest.errorNs) < 5n * MS, `round ${round}: ${guest.errorNs}`);
  }
});

test('it remembers how far from its line the guest was seen', () => {
  const guest = new SimulatedGuest(40n * MS);
  assert.is(guest.pacer.errorNs, -40n * MS);
  for (let ms = 0; ms < 1_000; ms++) guest.runBusy(MS, 125_000n);
  guest.pacer.observe(guest);
  assert.ok(abs(guest.pacer.errorNs) < 5n * MS);
  assert.is(guest.pacer.worstNs, -40n * MS);
});

test.run();
