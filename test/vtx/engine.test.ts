// The hardware engine on this machine's own KVM, where it works: a short look at each way of running.
// The long one is `npm run test:vtx`, inside emulated processors.
import { Worker } from 'node:worker_threads';
import { VtxEngine as BranchEngine } from '../../firmware/host/vtx-engine.ts';
import { type GuestMemory, kick, probeKvm, VtxEngine } from '../../native/index.ts';
import { assert, repoPath, seededRandom, suite } from '../harness/index.ts';
import { loadGuest, needsGcc } from '../softcpu/guest.ts';
import { differences, Exit, TestMachine } from '../softcpu/machine.ts';
import * as raw from '../softcpu/raw.ts';
import { type MakeEngine, softEngine, vtxEngine } from '../softcpu/under-test.ts';
import { shadowsTables } from './aged.ts';
import { toldBy, toldTwice } from './aging.ts';
import { closesSlices } from './closing.ts';
import { keepsCr8 } from './cr8.ts';
import { hidesXsave } from './hidden.ts';
import { keepsTime } from './keeper.ts';
import { engineOf, recordPlant, replayPlant, syncUp, takeOver } from './plant.ts';
import { runsRewritten } from './rewritten.ts';
import { tellsTime } from './told.ts';

const test = suite('vtx/engine');
const probe = probeKvm();
test.needs({ met: probe.isUsable, why: `needs a KVM that works here (${probe.words.join('; ')})` });
test.needs(needsGcc());

const slow = { timeoutMs: 120_000 };
const random = seededRandom('vtx');

const exits: MakeEngine = (memory) => new VtxEngine(memory, 'exits');
const branches =
  (skid: number, seed: number): MakeEngine =>
  (memory) =>
    new VtxEngine(memory, 'stepped-branches', skid, seed);
const counters = (machine: TestMachine) => (machine.engine as VtxEngine).counters;
/** As native/softcpu/cpu.h has them: general registers (and a zero), RIP, RFLAGS. */
const registers = (machine: TestMachine) => [
  ...new BigUint64Array(machine.engine.getState().slice(16, 16 + 19 * 8).buffer),
];

for (const name of ['busy', 'faults', 'paging', 'modes', 'fpu']) {
  test(
    `steps: ${name} is the same as on the software engine, to the bit`,
    () => {
      const hard = new TestMachine(loadGuest(name), undefined, vtxEngine);
      const soft = new TestMachine(loadGuest(name), undefined, softEngine);
      for (let n = 0; n < 4; n++) {
        const until = hard.icount + 1n + BigInt(random.int(4_000));
        assert.is(hard.run(until), soft.run(until));
        assert.equal(differences(hard.view, soft.view), [], `at ${until}`);
      }
      assert.ok(counters(hard).hardwareSteps > counters(hard).referenceSteps);
      hard.close();
      soft.close();
    },
    slow,
  );
}

test(
  'a guest moves between the engines and never notices',
  () => {
    const makes = [vtxEngine, softEngine];
    let machine = new TestMachine(loadGuest('busy'), undefined, makes[0]);
    for (let n = 1; n < 12; n++) {
      machine.run(machine.icount + 1n + BigInt(random.int(2_000)));
      const next = TestMachine.from(machine.view, makes[n % 2]);
      machine.close();
      machine = next;
    }
    const soft = new TestMachine(loadGuest('busy'), undefined, softEngine);
    soft.run(machine.icount);
    assert.equal(differences(machine.view, soft.view), []);
    machine.close();
    soft.close();
  },
  slow,
);

test('FS and GS keep the base an MSR gave them, also with a null selector', () => {
  const code = [
    [0x31, 0xc0, 0x8e, 0xe0, 0x8e, 0xe8], // xor eax, eax; mov fs, ax; mov gs, ax
    [0xb9, 0x00, 0x01, 0x00, 0xc0, 0xb8, 0, 0x50, 0x34, 0x12, 0x31, 0xd2, 0x0f, 0x30], // FS_BASE
    [0xff, 0xc1, 0x0f, 0x30], // inc ecx; wrmsr: GS_BASE
    [0xe6, 0x80, 0x90], // out 0x80, al; nop
  ];
  const guest = () => raw.rawGuest(...code, raw.halt);
  const hard = new TestMachine(guest(), undefined, vtxEngine);
  const soft = new TestMachine(guest(), undefined, softEngine);
  for (let until = 1n; until < 12n; until++) {
    assert.is(hard.run(until), soft.run(until));
    assert.equal(differences(hard.view, soft.view), [], `at ${until}`);
  }
  const free = new TestMachine(guest(), undefined, exits);
  assert.is(free.engine.run(9n), Exit.portOut);
  const next = TestMachine.from(free.view, softEngine);
  next.run(next.icount + 1n);
  const bases = new BigUint64Array(
    next.engine.getState().slice(16 + 152, 16 + 152 + 6 * 24).buffer,
  );
  assert.equal([bases[4 * 3], bases[5 * 3]], [0x12345000n, 0x12345000n]);
  for (const machine of [hard, soft, free, next]) machine.close();
});

const RDMSR = [0x0f, 0x32];

for (const ask of ['RDTSC', 'RDTSCP', 'RDMSR'] as const) {
  if (ask !== 'RDMSR' && !probe.tellsTsc) continue;
  test(`exits: ${ask} is answered in place, as the software engine answers it`, () =>
    tellsTime(exits, ask));
}

test('exits: another MSR goes to the software engine, and no translation is lost either', () => {
  const code = [raw.movEcx(0x1b), RDMSR, [0x0f, 0x30], RDMSR, raw.halt]; // APIC base: rdmsr, wrmsr
  const hard = new TestMachine(raw.rawGuest(...code), undefined, exits);
  const soft = new TestMachine(raw.rawGuest(...code), undefined, softEngine);
  const { slotsMade } = counters(hard);
  assert.is(hard.engine.run(9n), Exit.halt);
  assert.is(soft.run(9n), 'halt');
  assert.equal(registers(hard), registers(soft));
  assert.is(counters(hard).msrExits, 3);
  assert.is(counters(hard).slotsMade, slotsMade);
  for (const each of [hard, soft]) each.close();
});

for (const [name, make] of [
  ['exits', exits],
  ['branches', branches(0, 1)],
] as const)
  test(`${name}: a guest that lowers CR8 goes on, and another engine finds CR8 as it was`, () =>
    keepsCr8(make));

test('branches: what is left open to a processor a step answers as a free run does', () => {
  const code = [
    [0xb9, 7, 0, 0, 0, 0x31, 0xc0, 0xf3, 0x0f, 0xbc, 0xc8, 0x89, 0xce], // TZCNT or BSF of 0; mov esi, ecx
    [...raw.movEax(1), 0x0f, 0xa2, 0x89, 0xcf], // cpuid; mov edi, ecx
    [...raw.movEax(0x1234_5678), 0x69, 0xc0, 0x67, 0x45, 0x23, 1], // imul eax, eax, 1234567h: ZF, SF, AF, PF
    [0xdb, 0xe3, 0xd9, 0xeb, 0xd9, 0xfe, 0xdd, 0x1d, 0, 0x20, 0, 0], // fninit; fldpi; fsin; fstp [2000h]
    [0x8b, 0x2d, 0, 0x20, 0, 0, 0xe6, 0x80], // mov ebp, [2000h]; out 80h, al
  ];
  const found = [exits, branches(0, 1)].map((make) => {
    const machine = new TestMachine(raw.rawGuest(...code), undefined, make);
    assert.is(machine.engine.run(99n), Exit.portOut);
    const all = registers(machine);
    machine.close();
    return all;
  });
  assert.equal(found[1], found[0]);
});

const RFLAGS_AT = 16 + 18 * 8;

/** The same with RFLAGS.RF in force and a number in EAX: the first instruction is executed under it. */
function underRf(machine: TestMachine, eax: number): void {
  const state = machine.engine.getState();
  const at = new DataView(state.buffer, state.byteOffset);
  at.setBigUint64(16, BigInt(eax), true);
  at.setBigUint64(RFLAGS_AT, at.getBigUint64(RFLAGS_AT, true) | 0x1_0000n, true);
  machine.engine.setState(state);
}

test('branches: under RF, too', () => {
  const code = [0x0f, 0xa2, 0x89, 0xcf, 0xe6, 0x80]; // cpuid; mov edi, ecx; out 80h, al
  const found = [exits, branches(0, 1)].map((make) => {
    const machine = new TestMachine(raw.rawGuest(code), undefined, make);
    underRf(machine, 1);
    assert.is(machine.engine.run(99n), Exit.portOut);
    const all = registers(machine);
    machine.close();
    return all;
  });
  assert.equal(found[1], found[0]);
});

// A limited KVM answers with the host's own CPUID.
if (!probe.isLimited)
  test('exits: no XSAVE is shown, and none can be switched on', () => hidesXsave(exits));

test('exits: a handler that was rewritten is not run as it was', () => {
  assert.equal(runsRewritten(exits), { exits: 4n, faults: 3 });
});

test('exits: ports, device memory and HLT each count one, in the order of the contract', () => {
  const code = [
    [0xe6, 0x80], // out 0x80, al
    [0xe4, 0x81], // in al, 0x81
    raw.storeEax(0xe0000000),
    raw.loadEax(0xe0000000),
    [0xff, 0x05, 0, 0, 0, 0xe0], // inc [mmio]
  ];
  const machine = new TestMachine(raw.rawGuest(...code, raw.halt), undefined, exits);
  const seen: [number, bigint][] = [];
  for (let n = 0; n < 12; n++) {
    const reason = machine.engine.run(100n);
    seen.push([reason, machine.icount]);
    if (reason === Exit.portIn || reason === Exit.mmioRead) machine.engine.completeRead(5, 0);
    if (reason === Exit.halt) break;
  }
  assert.equal(seen, [
    [Exit.portOut, 1n],
    [Exit.portIn, 1n],
    [Exit.mmioWrite, 3n],
    [Exit.mmioRead, 3n],
    [Exit.mmioRead, 4n],
    [Exit.mmioWrite, 5n],
    [Exit.halt, 6n],
  ]);
  machine.close();
});

test('exits: a state taken while a read is out is the one before its instruction', () => {
  const machine = new TestMachine(raw.rawGuest(raw.nop, [0xe4, 0x81], raw.halt), undefined, exits);
  assert.is(machine.engine.run(9n), Exit.portIn);
  const state = machine.engine.getState();
  const other = new TestMachine(
    raw.rawGuest(raw.nop, [0xe4, 0x81], raw.halt),
    undefined,
    softEngine,
  );
  other.engine.setState(state);
  assert.is(other.engine.run(99n), Exit.portIn, 'the other engine asks again');
  machine.engine.completeRead(1, 0);
  machine.engine.setState(state);
  assert.is(machine.engine.run(9n), Exit.portIn, 'and so does this one');
  assert.is(machine.icount, 0n);
  for (const each of [machine, other]) each.close();
});

test('exits: a kick brings a guest back that never leaves by itself', () => {
  const machine = new TestMachine(raw.rawGuest(raw.forever(raw.nop)), undefined, exits);
  assert.ok(probe.isUsable);
  machine.engine.setState(machine.engine.getState());
  setKick(machine);
  assert.is(machine.engine.run(9n), Exit.kick);
  assert.is(machine.icount, 0n);
  machine.close();
});

test('exits: a kick from another thread ends a run that nothing else would', async () => {
  const counter = 0x2000;
  const machine = new TestMachine(
    raw.rawGuest(raw.forever(raw.increment(counter))),
    undefined,
    exits,
  );
  const worker = new Worker(
    `const { workerData } = require('node:worker_threads');
     const { GuestMemory, kick } = require(workerData.addon);
     const memory = new GuestMemory({ token: workerData.memory });
     const seen = new Int32Array(memory.buffer, ${counter}, 1);
     while (Atomics.load(seen, 0) < 3);
     kick(workerData.engine);
     memory.close();`,
    {
      eval: true,
      workerData: {
        addon: repoPath(`native/build/${process.env.TWINSTEP_ADDON ?? 'Release'}/twinstep.node`),
        memory: machine.memory.token,
        engine: machine.engine.kickToken,
      },
    },
  );
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  await new Promise((resolve) => worker.once('online', resolve));
  assert.is(machine.engine.run(9n), Exit.kick);
  assert.ok(new DataView(machine.memory.buffer).getUint32(counter, true) >= 3);
  await ended;
  machine.close();
});

test('exits: a triple fault is a shutdown, and stays one', () => {
  const machine = new TestMachine(raw.rawGuest(raw.nop, [0x0f, 0x0b]), undefined, exits);
  assert.is(machine.engine.run(9n), Exit.shutdown);
  assert.ok(machine.engine.getState().length > 0);
  assert.is(machine.engine.run(9n), Exit.shutdown);
  machine.close();
});

/** Before the run: the kick is sticky. */
function setKick(machine: TestMachine): void {
  assert.is(kick(machine.engine.kickToken), true);
}

test(
  'branches: runs land on their targets although the alarm comes late',
  () => {
    const skid = 60;
    const whole = new TestMachine(loadGuest('busy'), undefined, branches(skid, 3));
    whole.run(1_200n);
    assert.is(whole.icount, 1_200n);
    const cut = new TestMachine(loadGuest('busy'), undefined, branches(skid, 4));
    for (const until of [1n, 2n, 150n, 151n, 700n, 1_200n]) {
      assert.is(cut.run(until), 'limit');
      assert.is(cut.icount, until);
    }
    assert.equal(differences(whole.view, cut.view), []);
    assert.is(counters(cut).landed, 6);
    assert.is(counters(cut).missed, 0);
    whole.close();
    cut.close();
  },
  slow,
);

test(
  'branches: an alarm later than the margin is said, never run past in silence',
  () => {
    const machine = new TestMachine(loadGuest('busy'), undefined, branches(100_000, 5));
    assert.throws(() => machine.run(2_000n), /branches late: this processor cannot land/);
    machine.close();
  },
  slow,
);

test(
  'the plant controller, recorded and replayed in steps, ends in equal digests; a prefix goes live',
  () => {
    const make = engineOf('vtx-steps');
    const world = { rounds: 60, sliceMax: 500 };
    const { plant, entries } = recordPlant(make, 7, world);
    const again = replayPlant(make, entries);
    assert.is(again.progress, 'ended', again.replayer.divergence?.what);
    assert.equal(again.plant.fingerprint(), plant.fingerprint());
    const backup = replayPlant(make, entries.slice(0, Math.floor(entries.length / 2)));
    assert.is(backup.progress, 'waiting');
    assert.ok(takeOver(backup, 9, { ...world, rounds: 20 }) > 0);
    for (const each of [plant, again.plant, backup.plant]) each.close();
  },
  slow,
);

test(
  'the plant controller, recorded by branches near its limits, is replayed exactly to the end',
  () => {
    let seed = 0;
    const engines: VtxEngine[] = [];
    const make = (memory: GuestMemory) => {
      engines.push(new VtxEngine(memory, 'stepped-branches', 60, ++seed));
      return new BranchEngine('vtx-branches', engines.at(-1)!);
    };
    const { plant, entries } = recordPlant(make, 7, { rounds: 40, sliceMax: 1_500 });
    const again = replayPlant(make, entries);
    assert.is(again.progress, 'ended', again.replayer.divergence?.what);
    assert.equal(again.plant.fingerprint(), plant.fingerprint());
    const [recorded, replayed] = engines.map(({ counters }) => counters.landingSteps);
    assert.ok(recorded! * 3 < replayed!, `${recorded} steps to land, then ${replayed}`);
    for (const each of [plant, again.plant]) each.close();
  },
  slow,
);

test(
  'what one engine recorded in instructions, the other one replays',
  () => {
    const { plant, entries } = recordPlant(engineOf('soft'), 5, { rounds: 60, sliceMax: 500 });
    // A digest of state names the engine; everything else must agree.
    const hard = replayPlant(
      engineOf('vtx-steps'),
      entries.filter(({ body }) => body.kind !== 'digest'),
    );
    assert.is(hard.progress, 'ended', hard.replayer.divergence?.what);
    const { state: _, ...rest } = hard.plant.fingerprint();
    const { state: __, ...wanted } = plant.fingerprint();
    assert.equal(rest, wanted);
    for (const each of [plant, hard.plant]) each.close();
  },
  slow,
);

test(
  'a guest that reads the processor’s own clock is found out, and healed by a sync-up',
  () => {
    const make = engineOf('vtx-exits');
    const { plant, entries } = recordPlant(make, 7, { rounds: 12, sliceMax: 60 }, 'clock-reader');
    const again = replayPlant(make, entries, 'clock-reader');
    if (probe.tellsTsc) assert.is(again.progress, 'ended');
    else assert.is(again.progress, 'diverged');
    const healed = syncUp(plant, make);
    assert.equal(healed.digest.take(), plant.digest.take());
    for (const each of [plant, again.plant, healed]) each.close();
  },
  slow,
);

test(
  'exits: a run without any is closed by registers and pages, and replayed',
  async () => {
    const found = await closesSlices(seededRandom('closing'), 12);
    assert.is(found.progress, 'ended');
    assert.equal(found.replayed, found.recorded);
    assert.ok(found.slices >= 12);
    assert.ok(found.pages > 64, `${found.pages} pages`);
  },
  slow,
);

test(
  'a guest that keeps what the clock said is found out by a digest; after a sync-up it follows to the end',
  () => {
    const found = keepsTime(engineOf('vtx-exits'), seededRandom('keeper'));
    assert.is(found.divergence, probe.tellsTsc ? undefined : 'memory');
    assert.equal(found.healed, found.wanted);
  },
  slow,
);

// Where KVM walks page tables in software, as a limited one does; a whole one needs our patch for it (inside.ts).
if (probe.tablesFollow || (probe.isLimited && shadowsTables()))
  test(
    'a guest that ages its pages tells what it tells on the software engine, and again after it was put back',
    () => {
      const make = engineOf('vtx-exits');
      assert.is(toldBy(make, 15), toldBy(engineOf('soft'), 15));
      const [before, after] = toldTwice(make, 10);
      assert.is(after, before);
    },
    slow,
  );

test.run();
