// How a run is cut into calls never changes what the guest computes: the same positions, the same
// bytes of state and memory, the same output, however one gets there.
import { kick } from '../../native/index.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';
import { GUESTS, loadGuest, needsGcc } from './guest.ts';
import { differences, TestMachine } from './machine.ts';
import { on, softEngine } from './under-test.ts';
import { lifeOf, runInPieces, runInRelay, runInSteps, somewhere } from './walk.ts';

const test = suite('softcpu/slicing');
test.needs(needsGcc());

const sanitized = process.env.TWINSTEP_ADDON === 'Debug';
const ROUNDS = sanitized ? 1 : on.times(4);
const STEPS = BigInt(sanitized ? 3_000 : on.times(30_000));
const { timeoutMs } = on;
const timeout = { timeoutMs };

for (const name of GUESTS) {
  const random = seededRandom(`slicing ${name}`);
  const image = () => loadGuest(name);

  test(
    `${name}: whole and in pieces, to random positions and to the end`,
    () => {
      const end = lifeOf(image());
      for (let round = 0; round < ROUNDS; round++) {
        const limit = round === 0 ? end + 10n : somewhere(random, end);
        const whole = new TestMachine(image());
        const stop = whole.run(limit);
        const cut = new TestMachine(image());
        assert.is(runInPieces(cut, limit, random), stop);
        assert.is(cut.icount, whole.icount);
        assert.equal(differences(whole.view, cut.view), [], `to ${limit}`);
        whole.close();
        cut.close();
      }
    },
    timeout,
  );

  test(
    `${name}: ${STEPS} single instructions from a random position`,
    () => {
      const start = somewhere(random, lifeOf(image()));
      const whole = new TestMachine(image());
      whole.run(start);
      const stepped = TestMachine.from(whole.view);
      const stop = whole.run(start + STEPS);
      assert.is(runInSteps(stepped, start + STEPS), stop);
      assert.equal(differences(whole.view, stepped.view), [], `from ${start}`);
      whole.close();
      stepped.close();
    },
    timeout,
  );

  test(
    `${name}: through fresh machines, each made from the state of the one before`,
    () => {
      const end = lifeOf(image());
      for (let round = 0; round < ROUNDS; round++) {
        const limit = round === 0 ? end + 10n : somewhere(random, end);
        const whole = new TestMachine(image());
        whole.run(limit);
        const relay = runInRelay(new TestMachine(image()), limit, random);
        assert.equal(differences(whole.view, relay.view), [], `to ${limit}`);
        whole.close();
        relay.close();
      }
    },
    timeout,
  );
}

test('two machines in one process, taking turns', () => {
  const random = seededRandom('slicing two');
  const images = [loadGuest('busy'), loadGuest('modes')];
  const machines = images.map((image) => new TestMachine(image));
  const running = new Set(machines);
  for (let turn = 0; running.size > 0 && turn < (on.isHardware ? 40 : 1e6); turn++) {
    const machine = random.pick([...running]);
    if (machine.run(machine.icount + BigInt(1 + random.int(on.times(20_000)))) !== 'limit') {
      running.delete(machine);
    }
  }
  for (const [n, machine] of machines.entries()) {
    const alone = new TestMachine(images[n], undefined, softEngine);
    alone.run(machine.icount);
    assert.equal(differences(alone.view, machine.view), []);
    alone.close();
    machine.close();
  }
});

if (on.isHardware)
  test.skip('faults without end', 'the software engine executes every one of them');
else
  test('faults without end are a shutdown, at the same place whatever the cuts', () => {
    const random = seededRandom('slicing storm');
    const whole = new TestMachine(loadGuest('storm'));
    assert.is(whole.runToEnd(), 'shutdown');
    const at = whole.icount;
    for (let round = 0; round < 3; round++) {
      const cut = new TestMachine(loadGuest('storm'));
      assert.is(runInPieces(cut, at + 1000n, random), 'shutdown');
      assert.equal(differences(whole.view, cut.view), []);
      cut.close();
    }
    // Kicked out of the middle, saved and restored: still the same end.
    let machine = new TestMachine(loadGuest('storm'));
    machine.run(at);
    for (let n = 0; n < 20; n++) {
      kick(machine.engine.kickToken);
      assert.is(machine.run(at + 1000n), 'kick');
      const next = TestMachine.from(machine.view);
      machine.close();
      machine = next;
    }
    assert.is(machine.run(at + 1000n), 'shutdown');
    assert.equal(differences(whole.view, machine.view), []);
    whole.close();
    machine.close();
  });

test.run();
