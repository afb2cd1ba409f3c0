// How a run is cut into calls never changes what the guest computes: the same positions, the same
// bytes of state and memory, the same output, however one gets there.
import { assert, seededRandom, suite } from '../harness/index.ts';
import { GUESTS, loadGuest, needsGcc } from './guest.ts';
import { differences, TestMachine } from './machine.ts';
import { lifeOf, runInPieces, runInRelay, runInSteps, somewhere } from './walk.ts';

const test = suite('softcpu/slicing');
test.needs(needsGcc());

const sanitized = process.env.TWINSTEP_ADDON === 'Debug';
const ROUNDS = sanitized ? 1 : 4;
const STEPS = sanitized ? 3_000n : 30_000n;
const timeout = { timeoutMs: 60_000 };

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
        assert.equal(differences(whole.snapshot(), cut.snapshot()), [], `to ${limit}`);
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
      const stepped = TestMachine.from(whole.snapshot());
      const stop = whole.run(start + STEPS);
      assert.is(runInSteps(stepped, start + STEPS), stop);
      assert.equal(differences(whole.snapshot(), stepped.snapshot()), [], `from ${start}`);
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
        assert.equal(differences(whole.snapshot(), relay.snapshot()), [], `to ${limit}`);
        whole.close();
        relay.close();
      }
    },
    timeout,
  );
}

test.run();
