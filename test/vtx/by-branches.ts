// Positions by the processor's own branch counter, ended by its own late alarms: only where there is a PMU, on
// a board or in the Bochs of test/vtx/emulators. One engine lives at a time: the counter is the thread's.
import { commission } from '../../firmware/host/commissioning.ts';
import { VtxEngine } from '../../native/index.ts';
import type { SeededRandom } from '../harness/random.ts';
import { GUESTS, loadGuest } from '../softcpu/guest.ts';
import { differences, type Snapshot, TestMachine } from '../softcpu/machine.ts';
import * as raw from '../softcpu/raw.ts';
import type { MakeEngine } from '../softcpu/under-test.ts';

/**
 * `paging` insists on what the software engine defines (translations that follow the tables at once), and
 * what `tsc` reads is the host's own on a stock KVM.
 */
export const COUNTED = GUESTS.filter((name) => name !== 'paging' && name !== 'tsc');

const LONG_RUNS = [1_000, 10_000, 100_000, 1_000_000, 5_000_000, 20_000_000];
const LIFE_MAX = 10_000_000n;

const counted: MakeEngine = (memory) => new VtxEngine(memory, 'branches');
const stepped: MakeEngine = (memory) => new VtxEngine(memory, 'stepped-branches', 0, 1);

interface Seen extends Snapshot {
  readonly position: bigint;
}

function copyOf({ view: { state, memory, devices }, icount }: TestMachine): Seen {
  const kept = { state: state.slice(), memory: memory.slice(), devices: structuredClone(devices) };
  return { ...kept, position: icount };
}

function mustBeEqual(found: Seen, wanted: Seen, where: string): void {
  const differing = differences(found, wanted);
  if (differing.length === 0) return;
  const at = found.memory.findIndex((byte, n) => byte !== wanted.memory[n]) & ~7;
  const word = ({ memory }: Snapshot) => Buffer.from(memory.subarray(at, at + 8)).toString('hex');
  if (at >= 0)
    differing.push(`bytes from 0x${at.toString(16)}: ${word(found)}, not ${word(wanted)}`);
  const lines = ({ devices }: Snapshot) => devices.text.split('\n');
  const only = (one: Snapshot, other: Snapshot) =>
    lines(one).filter((line) => line !== '' && !lines(other).includes(line));
  const said = [
    ...only(found, wanted).map((line) => `said here: ${line}`),
    ...only(wanted, found).map((line) => `said there: ${line}`),
  ];
  const positions = `position ${found.position}, not ${wanted.position}`;
  const known = differing.filter((line) => !line.startsWith('text:'));
  throw new Error([`differs, ${where}: ${positions}`, ...said, ...known].join('\n'));
}

/** A guest that counts its own branches, alone with the counter for seconds. */
export function longRuns(): string {
  const gaps = [...LONG_RUNS];
  const { problem, skidMax, landings } = commission(
    (memory) => new VtxEngine(memory, 'branches'),
    LONG_RUNS.length,
    () => gaps.shift() ?? 1,
  );
  if (problem !== undefined) throw new Error(problem);
  return `${landings} runs of 1,000 to 20 million branches, latest alarm ${skidMax}`;
}

// Both ways of JECXZ and LOOP, five branches a round: xor ecx, ecx; jecxz; inc ecx; jecxz; loop (on, as ECX is 0);
// mov ecx, 2; loop $. EBX counts the rounds.
const ROUND = [
  ...[0xff, 0xc3, 0x31, 0xc9, 0xe3, 0, 0xff, 0xc1, 0xe3, 0, 0xe2, 0],
  ...[0xb9, 2, 0, 0, 0, 0xe2, 0xfe],
];
const BRANCHES_A_ROUND = 5;
/** Where getState() has EBX (native/softcpu/cpu.h). */
const EBX_AT = 16 + 3 * 8;

/** Those that are no Jcc: an emulator, or a table of events, may forget one of them. */
export function countsLoops(): string {
  const machine = new TestMachine(raw.rawGuest(raw.forever(ROUND)), undefined, counted);
  try {
    for (const rounds of [1, 100, 10_000, 1_000_000]) {
      machine.run(BigInt(rounds * BRANCHES_A_ROUND));
      const found = new DataView(machine.view.state.buffer).getUint32(EBX_AT, true);
      if (found !== rounds) throw new Error(`${found} rounds, not ${rounds}`);
    }
  } finally {
    machine.close();
  }
  return 'a million rounds of five';
}

/** At each target the machine is as if it had come there by single steps. */
export function asStepped(name: string, branches: number, random: SeededRandom): string {
  const targets: bigint[] = [];
  for (let at = 0; at < branches; ) {
    at += 1 + random.int(branches / 3);
    targets.push(BigInt(at));
  }
  const [slow, stops] = alongTargets(name, stepped, targets);
  const [fast, ends, words] = alongTargets(name, counted, targets);
  if (String(ends) !== String(stops)) throw new Error(`ended with ${ends}, in steps ${stops}`);
  for (const [n, found] of fast.entries()) mustBeEqual(found, slow[n] as Seen, `at ${targets[n]}`);
  return `${fast.length} targets, ${words}`;
}

function alongTargets(
  name: string,
  make: MakeEngine,
  targets: readonly bigint[],
): [Seen[], string[], string] {
  const machine = new TestMachine(loadGuest(name), undefined, make);
  const seen: Seen[] = [];
  const stops: string[] = [];
  try {
    for (const target of targets) {
      stops.push(machine.run(target));
      seen.push(copyOf(machine));
      if (stops.at(-1) !== 'limit') break;
    }
    const { landed, missed, skidMax } = (machine.engine as VtxEngine).counters;
    return [seen, stops, `${landed} landings, ${missed} missed, latest alarm ${skidMax}`];
  } finally {
    machine.close();
  }
}

/** Whole lives, without a landing: each has as many branches as the first, and ends the same. */
export function countedAlike(name: string, lives: number): string {
  const [[first]] = alongTargets(name, counted, [LIFE_MAX]);
  for (let n = 1; n < lives; n++) {
    const [[again]] = alongTargets(name, counted, [LIFE_MAX]);
    mustBeEqual(again as Seen, first as Seen, `life ${n + 1}`);
  }
  return `${lives} lives of ${first?.position} units`;
}

/**
 * A whole life in one run, and in pieces, each on an engine of its own: the same to the bit. `isKnown`: an error
 * of the emulator, which cuts may hide.
 */
export function cutAndMoved(
  name: string,
  random: SeededRandom,
  isKnown: (line: string) => boolean,
): string {
  const [[end], [stop]] = alongTargets(name, counted, [LIFE_MAX]);
  if (end === undefined || stop === 'limit') throw new Error(`no end within ${LIFE_MAX}`);
  const error = end.devices.text.split('\n').find(isKnown);
  if (error !== undefined) return `not compared, an error of this emulator: ${error}`;
  const length = Number(end.position);
  let machine = new TestMachine(loadGuest(name), undefined, counted);
  let [pieces, skidMax] = [1, 0];
  try {
    for (;;) {
      const until = machine.icount + BigInt(1 + random.int(Math.max(400, length / 8)));
      const found = machine.run(until);
      skidMax = Math.max(skidMax, (machine.engine as VtxEngine).counters.skidMax);
      if (found !== 'limit') break;
      if (machine.icount !== until) throw new Error(`a run to ${until} ended at ${machine.icount}`);
      const view = copyOf(machine);
      machine.close();
      machine = TestMachine.from(view, counted);
      pieces++;
    }
    mustBeEqual(copyOf(machine), end, 'at the end');
  } finally {
    machine.close();
  }
  return `${length} units in ${pieces} pieces, latest alarm ${skidMax}`;
}
