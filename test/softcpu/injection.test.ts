// Interrupts and NMI at random positions: taken at the same place in every run, whatever the cuts, and
// without a trace in what the interrupted code computes.
import { assert, type SeededRandom, seededRandom, suite } from '../harness/index.ts';
import { loadGuest, needsGcc } from './guest.ts';
import { differences, TestMachine } from './machine.ts';
import { lifeOf, runInPieces, runInRelay, runInSteps, somewhere } from './walk.ts';

const test = suite('softcpu/injection');
test.needs(needsGcc());

const sanitized = process.env.TWINSTEP_ADDON === 'Debug';
const random = seededRandom('injection');
const timeout = { timeoutMs: 60_000 };

/** Positions in the life of `busy` after it has set up its handlers, with vectors it listens to. */
function randomEvents(count: number, end: bigint, from: SeededRandom) {
  return Array.from({ length: count }, () => ({
    at: 10_000n + somewhere(from, end - 10_000n),
    vector: 0x40 + from.int(16),
  }));
}

function busyWith(events: { at: bigint; vector: number }[]): TestMachine {
  const machine = new TestMachine(loadGuest('busy'));
  machine.devices.events = events.map((event) => ({ ...event }));
  return machine;
}

for (const count of [1, 30, 1000]) {
  test(
    `${count} interrupts change nothing that busy computes`,
    () => {
      const end = lifeOf(loadGuest('busy'));
      const machine = busyWith(randomEvents(count, end, random));
      assert.is(machine.runToEnd(), 'done');
      assert.is(machine.devices.exitCode, 0, machine.devices.text);
      assert.ok(machine.icount > end + BigInt(count) * 20n, 'the handlers have run');
      assert.is(machine.devices.raised.length, 0);
      machine.close();
    },
    timeout,
  );

  test(
    `${count} interrupts, whole and in pieces`,
    () => {
      const end = lifeOf(loadGuest('busy'));
      for (let round = 0; round < (sanitized ? 1 : 4); round++) {
        const events = randomEvents(count, end, random);
        const limit = somewhere(random, end);
        const whole = busyWith(events);
        whole.run(limit);
        const cut = busyWith(events);
        runInPieces(cut, limit, random);
        assert.equal(differences(whole.view, cut.view), [], `to ${limit}`);
        const relay = runInRelay(busyWith(events), limit, random);
        assert.equal(differences(whole.view, relay.view), [], `relay to ${limit}`);
        for (const machine of [whole, cut, relay]) machine.close();
      }
    },
    timeout,
  );
}

test(
  'interrupts around every instruction of a stretch, in single steps',
  () => {
    const start = somewhere(random, lifeOf(loadGuest('busy')) - 20_000n) + 10_000n;
    const events = Array.from({ length: 100 }, (_, n) => ({
      at: start + BigInt(n * 3),
      vector: 0x40 + (n % 16),
    }));
    const [whole, stepped] = [busyWith(events), busyWith(events)];
    whole.run(start + 10_000n);
    stepped.run(start);
    runInSteps(stepped, start + 10_000n);
    assert.equal(differences(whole.view, stepped.view), []);
    for (const machine of [whole, stepped]) machine.close();
  },
  timeout,
);

test('the engine refuses an interrupt that cannot be taken', () => {
  const machine = new TestMachine(loadGuest('busy'));
  machine.run(100n);
  assert.is(machine.engine.canInterrupt(), false);
  assert.throws(() => machine.engine.interrupt(0x40), /no interrupt can be taken now/);
  machine.close();
});

test.run();
