// Ways of running a machine from here to a position that must all come to the same: whole, in random
// pieces, with kicks, through saved states, through other machines.
import { kick } from '../../native/index.ts';
import type { SeededRandom } from '../harness/index.ts';
import type { Image } from './guest.ts';
import { type Stop, TestMachine } from './machine.ts';
import { on, softEngine } from './under-test.ts';

/** How long a guest lives, as the software engine counts; no longer than tests of this engine go. */
export function lifeOf(image: Image): bigint {
  const machine = new TestMachine(image, undefined, softEngine);
  machine.runToEnd();
  const end = machine.icount;
  machine.close();
  const isLonger = end > on.horizon;
  return isLonger ? on.horizon : end;
}

/** A position from 1 to `end`. */
export function somewhere(random: SeededRandom, end: bigint): bigint {
  return 1n + (random.bigint(60) % end);
}

/** Runs to `limit` in pieces of all sizes, some interrupted by kicks, some saved and restored. */
export function runInPieces(machine: TestMachine, limit: bigint, random: SeededRandom): Stop {
  for (;;) {
    const span = random.pick([1, 2, 8, 100, 3000, 50_000]);
    const until = machine.icount + 1n + BigInt(random.int(span));
    if (random.chance(0.1)) kick(machine.engine.kickToken);
    if (random.chance(0.05)) machine.engine.setState(machine.engine.getState());
    const stop = machine.run(until < limit ? until : limit);
    if (stop === 'kick') continue;
    if (stop !== 'limit' || machine.icount >= limit) return stop;
  }
}

/** The same instructions one call at a time. */
export function runInSteps(machine: TestMachine, limit: bigint): Stop {
  for (;;) {
    const stop = machine.run(machine.icount + 1n);
    if (stop !== 'limit' || machine.icount >= limit) return stop;
  }
}

/** Each piece in a machine of its own, made from the state of the one before; closes them all. */
export function runInRelay(machine: TestMachine, limit: bigint, random: SeededRandom): TestMachine {
  while (machine.icount < limit) {
    const left = limit - machine.icount;
    const stop = machine.run(machine.icount + 1n + (random.bigint(60) % left));
    if (stop !== 'limit') return machine;
    const next = TestMachine.from(machine.view);
    machine.close();
    machine = next;
  }
  return machine;
}
