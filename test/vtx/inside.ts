// What runs inside the emulated machine (npm run test:vtx): the hardware engine against the software
// engine, without the harness, as a script of its own. Says one line a test, as TAP does, on a serial
// line; ends with the count.
import { commission } from '../../firmware/host/commissioning.ts';
import type { EngineKind } from '../../firmware/host/engine-kinds.ts';
import { probeKvm, VtxEngine, type VtxPositions } from '../../native/index.ts';
import { seededRandom } from '../harness/random.ts';
import { loadGuest } from '../softcpu/guest.ts';
import { differences, TestMachine } from '../softcpu/machine.ts';
import { runProgram } from '../softcpu/native.ts';
import * as raw from '../softcpu/raw.ts';
import { type MakeEngine, softEngine } from '../softcpu/under-test.ts';
import { agingTests } from './aged.ts';
import {
  asStepped,
  COUNTED,
  countedAlike,
  countsLoops,
  cutAndMoved,
  longRuns,
} from './by-branches.ts';
import { closesSlices } from './closing.ts';
import { COUNTER_PROGRAM, COUNTER_TESTS } from './counters.ts';
import { keepsCr8 } from './cr8.ts';
import { hidesXsave } from './hidden.ts';
import { keepsTime } from './keeper.ts';
import { takeOverBetweenProcesses } from './pair.ts';
import {
  engineOf,
  frameDifference,
  plantOn,
  recordPlant,
  replayPlant,
  syncUp,
  takeOver,
} from './plant.ts';
import { runsRewritten } from './rewritten.ts';
import { tellsTime, timePerSecond } from './told.ts';

// Emulated processors are slow, Bochs slower than QEMU: how much is done is a matter of patience.
const SCALE = Number(process.argv[2] ?? '1');
const ONLY = new RegExp(process.argv[4] ?? '');
const random = seededRandom('inside');
const probe = probeKvm();
// INVLPG of the second page leaves it the decoded instruction over both.
const BOCHS = ['its second half remapped'];
// KVM's own: the #DB of a guarded debug register is a fault, and pushes RF; KVM queues it as a trap.
const KVM = ['DR7.GD guards the debug registers, DR6 and CR4.DE bind their use: FAILED'];
/** Of the emulated processor, not ours: native/vtx/UNPROVEN.md has them by name. */
const ERRORS: Record<string, readonly string[]> = {
  'bochs-vmx': BOCHS,
  'bochs-pmu': [...BOCHS, ...KVM],
  'qemu-svm': [
    // Segment limits are not checked.
    'protected mode: 32-bit gates, limits, what 64-bit mode dropped: FAILED',
    '16-bit protected mode, real mode: FAILED',
    // A write to an MMX register leaves the exponent of the x87 register as it was.
    'MMX registers are the x87 mantissas: FAILED',
  ],
};
const EMULATOR = process.argv[3] ?? '';
const KNOWN_ERRORS = ERRORS[EMULATOR.replace(/^qemu-icount.*/, 'qemu-svm')] ?? [];
const isKnown = (line: string) => KNOWN_ERRORS.some((words) => line.startsWith(words));
const failuresIn = (text: string) => text.split('\n').filter((line) => line.includes('FAILED'));
let passed = 0;
let failed = 0;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function isOk(name: string, found: string, begunMs: number): void {
  passed++;
  say(`ok ${passed + failed} - ${name} # ${found}, ${(performance.now() - begunMs).toFixed(0)} ms`);
}

function isNotOk(name: string, error: unknown): void {
  failed++;
  say(`not ok ${passed + failed} - ${name}`);
  const lines = String((error as Error).message).split('\n');
  for (const line of lines.slice(0, 12)) say(`  ${line}`);
}

const open: { close(): void }[] = [];

/** Closed when the test is over, however it ends: processors have few counters. */
function kept<T extends { close(): void }>(thing: T): T {
  open.push(thing);
  return thing;
}

async function test(name: string, body: () => string | Promise<string>): Promise<void> {
  if (!ONLY.test(name)) return;
  // Where the process ends in one, this is the last line.
  say(`# ${name}`);
  const begunMs = performance.now();
  try {
    isOk(name, await body(), begunMs);
  } catch (error) {
    isNotOk(name, error);
  } finally {
    for (const each of open.splice(0)) each.close();
    // Memory of closed machines goes when their buffers are collected, and that needs a turn: there is little of it here.
    (globalThis as { gc?: () => void }).gc?.();
    await new Promise((resolve) => setTimeout(resolve));
  }
}

const text = (value: unknown) =>
  JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? `${item}n` : item));

function mustBe(found: unknown, wanted: unknown, what: string): void {
  if (text(found) !== text(wanted))
    throw new Error(`${what} is ${text(found)}, not ${text(wanted)}`);
}

const vtx =
  (positions: VtxPositions, skid = 0, seed = 1): MakeEngine =>
  (memory) =>
    new VtxEngine(memory, positions, skid, seed);

const counters = (machine: TestMachine) => (machine.engine as VtxEngine).counters;
const perSecond = (count: number, sinceMs: number) =>
  `${((count / (performance.now() - sinceMs)) * 1000).toFixed(0)}/s`;

// ---- steps: equal to the software engine, to the bit ----------------------------------------------

const STEPPED = ['busy', 'faults', 'strings', 'selfmod', 'interrupts', 'syscalls', 'modes', 'fpu'];

function steps(name: string, instructions: number): string {
  const begunMs = performance.now();
  const hard = new TestMachine(loadGuest(name), undefined, vtx('steps'));
  const soft = new TestMachine(loadGuest(name));
  let pieces = 0;
  while (hard.icount < BigInt(instructions)) {
    const until = hard.icount + 1n + BigInt(random.int(instructions / 8));
    const stop = hard.run(until);
    const wanted = soft.run(until);
    const errors = failuresIn(hard.devices.text);
    if (errors.length > 0 && errors.every(isKnown)) {
      for (const line of errors) say(`# an error of this emulator: ${line}`);
      break;
    }
    mustBe(stop, wanted, `the end of a run to ${until}`);
    mustBe(differences(hard.view, soft.view), [], `the difference at ${until}`);
    pieces++;
    if (stop !== 'limit') break;
  }
  const { hardwareSteps, stepsTakenBack } = counters(hard);
  const found = `${hard.icount} instructions in ${pieces} pieces, ${hardwareSteps} by hardware, ${stepsTakenBack} taken back, ${perSecond(Number(hard.icount), begunMs)}`;
  hard.close();
  soft.close();
  return found;
}

/** Saved on one engine, gone on on the other, and back. */
function moving(instructions: number): string {
  const makes = [vtx('steps'), softEngine];
  let machine = new TestMachine(loadGuest('busy'), undefined, makes[0]);
  let moves = 0;
  while (machine.icount < BigInt(instructions)) {
    machine.run(machine.icount + 1n + BigInt(random.int(instructions / 5)));
    const next = TestMachine.from(machine.view, makes[++moves % 2]);
    machine.close();
    machine = next;
  }
  const soft = new TestMachine(loadGuest('busy'));
  soft.run(machine.icount);
  mustBe(differences(machine.view, soft.view), [], 'the difference');
  return `${moves} moves`;
}

// ---- free runs ------------------------------------------------------------------------------------

// Not `paging`: it insists on what the software engine defines (translations that follow the tables at
// once), and finds errors of the emulators, too.
const FREE = ['strings', 'selfmod', 'busy'];

/** A guest that checks itself, at the speed of the processor. */
function free(name: string): string {
  const begunMs = performance.now();
  const machine = new TestMachine(loadGuest(name), undefined, vtx('exits'));
  const stop = machine.run(10_000_000n);
  const { text, exitCode } = machine.devices;
  const failures = failuresIn(text);
  const complaints = failures.filter((line) => !isKnown(line));
  if (stop !== 'done' || (exitCode !== 0 && failures.length === 0) || complaints.length > 0)
    throw new Error([`ended with ${stop}, ${exitCode}`, ...complaints].join('\n'));
  for (const line of failures) say(`# an error of this emulator: ${line}`);
  const { exits, referenceSteps } = counters(machine);
  machine.close();
  return `${exits} exits, ${referenceSteps} on the software engine, ${perSecond(exits, begunMs)}`;
}

/** A port write, to JavaScript and back. */
function exitRate(count: number): string {
  const guest = raw.rawGuest(raw.forever([0xe6, 0x80])); // out 80h, al
  const machine = new TestMachine(guest, undefined, vtx('exits'));
  const begunMs = performance.now();
  mustBe(machine.run(BigInt(count)), 'limit', 'the end');
  const rate = perSecond(count, begunMs);
  machine.close();
  return `${count} port writes, ${rate}`;
}

/** As a new board would be looked at. */
function commissioning(landings: number): string {
  const positions = probe.countsBranches ? 'branches' : 'stepped-branches';
  const gap = () => 1 + random.int(probe.countsBranches ? 100_000 : 400);
  const found = commission((memory) => new VtxEngine(memory, positions, 100, 1), landings, gap);
  mustBe(found.problem ?? 'none', 'none', 'the first miss');
  return `${found.landings} landings by ${positions}, latest alarm ${found.skidMax} branches`;
}

/** However it is cut, it is the same; and from engine to engine at an exit. */
function cut(name: string): string {
  const whole = new TestMachine(loadGuest(name), undefined, vtx('exits'));
  mustBe(whole.run(10_000_000n), 'done', 'the end');
  let pieces = new TestMachine(loadGuest(name), undefined, vtx('exits'));
  let count = 0;
  for (;;) {
    const stop = pieces.run(pieces.icount + 1n + BigInt(random.int(300)));
    if (stop !== 'limit') break;
    const next = TestMachine.from(pieces.view, vtx('exits'));
    pieces.close();
    pieces = next;
    count++;
  }
  mustBe(differences(whole.view, pieces.view), [], 'the difference');
  return `${count} pieces`;
}

// ---- counted branches -----------------------------------------------------------------------------

/** Landings with an alarm that comes late, on a counter made of single steps. */
function landings(skid: number, branches: number): string {
  const positions = probe.countsBranches ? 'branches' : 'stepped-branches';
  const make = (seed: number) => vtx(positions, skid, seed);
  const whole = kept(new TestMachine(loadGuest('busy'), undefined, make(1)));
  whole.run(BigInt(branches));
  let pieces = new TestMachine(loadGuest('busy'), undefined, make(2));
  let [landed, missed, latest] = [0, 0, 0];
  while (pieces.icount < BigInt(branches)) {
    const until = pieces.icount + 1n + BigInt(random.int(branches / 8));
    pieces.run(until < BigInt(branches) ? until : BigInt(branches));
    const next = TestMachine.from(pieces.view, make(landed));
    landed += counters(pieces).landed;
    missed += counters(pieces).missed;
    latest = Math.max(latest, counters(pieces).skidMax);
    pieces.close();
    pieces = next;
  }
  kept(pieces);
  mustBe(differences(whole.view, pieces.view), [], 'the difference');
  const all = counters(whole);
  latest = Math.max(latest, all.skidMax);
  return `${landed + all.landed} landings, latest alarm ${latest} branches, ${missed + all.missed} missed`;
}

// ---- record and replay ----------------------------------------------------------------------------

function recordAndReplay(kind: EngineKind, rounds: number, sliceMax: number): string {
  const begunMs = performance.now();
  const world = { rounds, sliceMax };
  const { plant, entries } = recordPlant(engineOf(kind), 7, world, plantOn(kind));
  kept(plant);
  const recordMs = performance.now() - begunMs;
  const kinds = new Map<string, number>();
  for (const { body } of entries) kinds.set(body.kind, (kinds.get(body.kind) ?? 0) + 1);
  for (const needed of ['net-rx', 'serial-rx', 'clock-step', 'digest', 'disk-completion'])
    if (!kinds.has(needed)) throw new Error(`the recording holds no ${needed}`);
  const again = replayPlant(engineOf(kind), entries, plantOn(kind));
  kept(again.plant);
  const { what, entryIndex, position, expected, actual } = again.replayer.divergence ?? {};
  if (what !== undefined)
    throw new Error(
      `${what} differs at entry ${entryIndex} of ${entries.length}, position ${position}: ${actual}, not ${expected}\n${frameDifference(again.plant, plant) ?? 'every frame is the same'}`,
    );
  mustBe(again.progress, 'ended', 'the replay');
  mustBe(again.plant.fingerprint(), plant.fingerprint(), 'the fingerprint');
  return `${entries.length} entries, ${plant.machine.position} units, ${plant.frames} frames out, digests equal, recorded in ${recordMs.toFixed(0)}`;
}

function takeover(kind: EngineKind, rounds: number, sliceMax: number): string {
  const world = { rounds, sliceMax };
  const { plant, entries } = recordPlant(engineOf(kind), 8, world, plantOn(kind));
  kept(plant);
  const length = Math.floor(entries.length * (0.3 + 0.5 * random.float()));
  const backup = replayPlant(engineOf(kind), entries.slice(0, length), plantOn(kind));
  kept(backup.plant);
  mustBe(backup.progress, 'waiting', 'the backup');
  const [framesBefore, at] = [backup.plant.frames, backup.plant.machine.position];
  const written = takeOver(backup, 9, world);
  mustBe(backup.plant.machine.stopReason ?? 'none', 'none', 'what stopped the guest');
  if (backup.plant.frames === framesBefore) throw new Error('no frame after the takeover');
  return `after ${length} of ${entries.length} entries at ${at}; ${written} entries and ${backup.plant.frames - framesBefore} frames since`;
}

async function closing(): Promise<string> {
  const { slices, pages, bytesTyped, recorded, replayed, progress } = await closesSlices(
    random,
    20,
  );
  mustBe(progress, 'ended', 'the replay');
  mustBe(replayed, recorded, 'the fingerprint');
  return `${slices} slices closed with ${pages} pages, ${bytesTyped} bytes typed, digests equal`;
}

/** The same with a process for each board, the log channel between them, and a kill. */
async function pair(engine: EngineKind, sliceMax: number, rounds: number): Promise<string> {
  const [seed, killAfter] = [random.int(1000), 1 + random.int(60)];
  const found = await takeOverBetweenProcesses({
    ...{ engine, seed, sliceMax, killAfter, rounds },
    ...{ timeoutMs: 240_000, slowness: 50 },
  });
  mustBe(found.problems, [], 'what did not hold');
  return found.words;
}

/** A guest that shows the processor's own clock: found out and healed, or the same with our patch. */
function clockReader(kind: EngineKind, tellsTsc: boolean): string {
  const make = engineOf(kind);
  const { plant, entries } = recordPlant(make, 7, { rounds: 12, sliceMax: 60 }, 'clock-reader');
  kept(plant);
  const again = replayPlant(make, entries, 'clock-reader');
  kept(again.plant);
  if (tellsTsc) {
    mustBe(again.replayer.divergence?.what ?? 'none', 'none', 'the divergence');
    mustBe(again.plant.fingerprint(), plant.fingerprint(), 'the fingerprint');
    return `RDTSC told by us: ${entries.length} entries replayed, digests equal`;
  }
  mustBe(again.progress, 'diverged', 'the replay');
  const { what, entryIndex } = again.replayer.divergence ?? {};
  const healed = kept(syncUp(plant, make));
  mustBe(healed.digest.take().memory === plant.digest.take().memory, true, 'equal memory');
  mustBe(healed.machine.position, plant.machine.position, 'the position');
  return `found at entry ${entryIndex} (${what}); equal again after a sync-up`;
}

/** What was read never leaves the guest: only a digest can know. A sync-up, and the log goes on. */
function clockKeeper(tellsTsc: boolean): string {
  const found = keepsTime(engineOf('vtx-exits'), random);
  if (tellsTsc) {
    mustBe(found.divergence ?? 'none', 'none', 'the divergence');
    return 'RDTSC told by us: digests equal to the end';
  }
  mustBe(found.divergence, 'memory', 'what differed');
  mustBe(found.healed, found.wanted, 'the fingerprint after the rest of the log');
  return `found by the digest at entry ${found.entryIndex}; after a sync-up ${found.entriesAfter} entries on, digests equal`;
}

for (const line of probe.words) say(`# ${line}`);
await test('this KVM is usable', () => {
  mustBe(probe.isUsable, true, 'usable');
  return probe.isLimited ? 'limited' : 'whole';
});
for (const name of STEPPED)
  await test(`steps: ${name} as on the software engine`, () => steps(name, 40_000 * SCALE));
await test('a guest moves between the engines', () => moving(20_000 * SCALE));
for (const name of FREE) await test(`free: ${name} finds nothing wrong`, () => free(name));
await test('free: a handler that was rewritten is not run as it was', () => {
  const { exits, faults } = runsRewritten(vtx('exits'));
  mustBe([String(exits), faults], ['4', 3], 'exits and faults');
  return `${faults} faults`;
});
await test('free: exits', () => exitRate(10_000 * SCALE));
for (const ask of ['RDTSC', 'RDTSCP', 'RDMSR'] as const) {
  if (ask !== 'RDMSR' && !probe.tellsTsc) continue;
  await test(`free: ${ask} is answered in place, as the software engine answers it`, () => {
    tellsTime(vtx('exits'), ask);
    return `${timePerSecond(vtx('exits'), ask, 5_000 * SCALE).toFixed(0)} answers/s`;
  });
}
await test('free: a guest that lowers CR8', () => {
  keepsCr8(vtx('exits'));
  return 'goes on, and another engine finds CR8 as it was';
});
await test('free: no XSAVE is shown, and none can be switched on', () => {
  hidesXsave(vtx('exits'));
  return '#GP';
});
await test('free: strings, cut in pieces and moved at exits', () => cut('strings'));
for (const [name, words] of Object.entries(COUNTER_TESTS))
  await test(`counters: ${words}`, () => {
    runProgram(COUNTER_PROGRAM, name);
    return name;
  });
if (probe.countsBranches) await test('branches: landings', () => landings(0, 4_000 * SCALE));
else
  for (const skid of [0, 60, 120])
    await test(`branches: landings with alarms up to ${skid} late`, () =>
      landings(skid, 4_000 * SCALE));
// As many as a board that starts; `doctor --commission` does ten times that.
await test('commissioning', () => commissioning(probe.countsBranches ? 500 : 10));
await test('plant: recorded and replayed at exits', () => recordAndReplay('vtx-exits', 400, 60));
await test('plant: the backup takes over at exits', () => takeover('vtx-exits', 400, 60));
await test('two processes: SIGKILL of the primary, at exits', () => pair('vtx-exits', 60, 200));
await test('two processes: SIGKILL of the primary, in steps', () => pair('vtx-steps', 1_600, 60));
await test('a run without exits is closed by registers and pages', closing);
await test('plant: recorded and replayed in steps', () => recordAndReplay('vtx-steps', 150, 1_600));
await test('a guest that reads the time stamp counter', () =>
  clockReader('vtx-exits', probe.tellsTsc));
await test('a guest that reads it and keeps it', () => clockKeeper(probe.tellsTsc));
for (const { name, body } of agingTests(probe)) await test(name, () => body(200 * SCALE, random));
if (probe.countsBranches) {
  await test('branches: long runs', longRuns);
  await test('branches: JECXZ and LOOP, taken or not', countsLoops);
  await test('branches: a guest that lowers CR8', () => {
    keepsCr8(vtx('branches'));
    return 'goes on, and another engine finds CR8 as it was';
  });
  for (const name of COUNTED) {
    await test(`branches: ${name}, counted alike each time`, () => countedAlike(name, 5));
    await test(`branches: ${name} as in steps`, () => asStepped(name, 1_000 * SCALE, random));
    await test(`branches: ${name}, cut in pieces and moved`, () =>
      cutAndMoved(name, random, isKnown));
  }
  await test('branches: a guest that reads the time stamp counter', () =>
    clockReader('vtx-branches', probe.tellsTsc));
  await test('branches: plant recorded and replayed', () =>
    recordAndReplay('vtx-branches', 400, 2_000));
  await test('branches: the backup takes over', () => takeover('vtx-branches', 400, 2_000));
  await test('branches: two processes, SIGKILL of the primary', () =>
    pair('vtx-branches', 2_000, 200));
}
say(`1..${passed + failed}`);
say(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
