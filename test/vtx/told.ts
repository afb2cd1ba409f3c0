// The guest asks for the time, again and again, on an engine whose positions are exits: each answer is the
// software engine's at the same position, all of the state is, and KVM was not given its memory anew.
import type { VtxEngine } from '../../native/index.ts';
import { assert } from '../harness/index.ts';
import { differences, Exit, TestMachine } from '../softcpu/machine.ts';
import * as raw from '../softcpu/raw.ts';
import { type MakeEngine, softEngine } from '../softcpu/under-test.ts';

/** The first two leave KVM with our patch only. */
export const ASKS = {
  RDTSC: [0x0f, 0x31],
  RDTSCP: [0x0f, 0x01, 0xf9],
  RDMSR: [0x0f, 0x32],
} as const;

const TSC = 0x10;
const TSC_AUX = 0xc0000103;
/** WRMSR of what RDTSCP tells beside the time, then a port write: positions 1 and 2. */
const PRELUDE = [
  [raw.movEcx(TSC_AUX), raw.movEax(7), [0x31, 0xd2, 0x0f, 0x30]], // xor edx, edx; wrmsr
  [raw.movEcx(TSC), [0xe6, 0x80]],
].flat(2);
const ASKED = 6;

function begin(make: MakeEngine, code: readonly number[]): TestMachine {
  const machine = new TestMachine(raw.rawGuest(PRELUDE, code), undefined, make);
  machine.engine.setTsc(0x1_2345_6789n, 0x3_8000_0001n);
  assert.is(machine.engine.run(9n), Exit.portOut);
  assert.is(machine.icount, 2n);
  return machine;
}

const counters = ({ engine }: TestMachine) => (engine as VtxEngine).counters;

export function tellsTime(make: MakeEngine, ask: keyof typeof ASKS): void {
  // RDTSCP has made ECX 7 when it is asked again: all the same to it.
  const code = [...Array<readonly number[]>(ASKED).fill(ASKS[ask]), raw.halt].flat();
  const [cut, whole] = [begin(make, code), begin(make, code)];
  const begun = [cut, whole].map(counters);
  for (let until = 3n; until < 3n + BigInt(ASKED); until++) {
    const soft = TestMachine.from(cut.view, softEngine);
    assert.is(cut.engine.run(until), Exit.limit);
    assert.is(soft.run(until), 'limit');
    assert.equal(differences(cut.view, soft.view), [], `${ask} at ${until}`);
    soft.close();
  }
  for (const machine of [cut, whole]) assert.is(machine.engine.run(99n), Exit.halt);
  assert.equal(differences(cut.view, whole.view), [], 'in one run');
  [cut, whole].forEach((machine, n) => {
    const { tscExits, slotsMade, referenceSteps } = counters(machine);
    const found = { tscExits, slotsMade, referenceSteps };
    const { slotsMade: slots = 0, referenceSteps: steps = 0 } = begun[n] ?? {};
    assert.equal(found, { tscExits: ASKED, slotsMade: slots, referenceSteps: steps });
    machine.close();
  });
}

/** Answers a second, in one run. */
export function timePerSecond(make: MakeEngine, ask: keyof typeof ASKS, count: number): number {
  const machine = begin(make, raw.forever(ASKS[ask]));
  const begunMs = performance.now();
  assert.is(machine.engine.run(2n + BigInt(count)), Exit.limit);
  const perSecond = (count / (performance.now() - begunMs)) * 1000;
  machine.close();
  return perSecond;
}
