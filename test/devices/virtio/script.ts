// The claim every device makes: saved at any moment and restored into a fresh one, it goes on
// exactly as it would have. One random script runs twice from one seed, once straight through, once
// with a takeover before a random step; whatever is seen from outside must be equal.
import { assert, type SeededRandom, seededRandom } from '../../harness/index.ts';
import { VirtioDriver } from './driver.ts';
import { type Build, TestPc } from './pc.ts';

// biome-ignore lint/suspicious/noExplicitAny: the device is the caller's
type AnyDevice = any;

export interface World {
  pc: TestPc<AnyDevice>;
  driver: VirtioDriver;
  random: SeededRandom;
  /** Whatever the script sees and decides. */
  log: unknown[];
}

export interface Script {
  label: string;
  build: Build<AnyDevice>;
  /** One random action; may add to the log. */
  step(world: World): void;
  scripts: number;
  steps: number;
}

export function demandEqualAfterTakeover(script: Script): void {
  const choice = seededRandom(`${script.label} takeover`);
  for (let n = 0; n < script.scripts; n++) {
    const takeoverBefore = choice.int(script.steps);
    const straight = run(script, n, undefined);
    const taken = run(script, n, takeoverBefore);
    for (const [step, entry] of straight.log.entries())
      assert.equal(taken.log[step], entry, `script ${n}, step ${step}, takeover ${takeoverBefore}`);
    assert.equal(taken.pc.state(), straight.pc.state(), `script ${n}`);
    assert.ok(taken.pc.ram.equals(straight.pc.ram), `script ${n}: memory differs`);
    assert.is(straight.pc.ram.refused, 0);
    assert.ok(straight.pc.ram.areGuardsWhole());
  }
}

function run(script: Script, n: number, takeoverBefore: number | undefined) {
  const random = seededRandom(`${script.label} ${n}`);
  const pc = new TestPc<AnyDevice>(script.build, 1);
  const driver = new VirtioDriver(pc);
  const log: unknown[] = [];
  driver.start([28]);
  for (let step = 0; step < script.steps; step++) {
    if (step === takeoverBefore) pc.reincarnate();
    const seen: unknown[] = [];
    script.step({ pc, driver, random, log: seen });
    log.push({ seen, outputs: pc.takeOutputs(), interrupt: pc.interrupt, status: driver.status });
  }
  return { pc, log };
}
