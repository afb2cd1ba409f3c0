// The machine as a pure function: with a toy processor that hashes everything it sees, the same inputs
// at the same positions must give the same outputs and the same state, however the run was cut, where
// it was saved and restored, and whether it was recorded or replayed.

import type { Input, Output } from '../../firmware/devices/contracts.ts';
import { MULTIPLIER_ONE } from '../../firmware/machine/clock.ts';
import { Machine } from '../../firmware/machine/machine.ts';
import { MemoryBanks } from '../../firmware/machine/memory-banks.ts';
import { MIB } from '../../firmware/machine/memory-map.ts';
import { assert, type SeededRandom, seededRandom, suite } from '../harness/index.ts';
import { type Op, ToyEngine, type ToyProgram } from './toy-engine.ts';

const test = suite('machine/determinism');

const END = 20_000n;

// ---- guests ---------------------------------------------------------------------------------

const out = (port: number, value: number): Op => ({ op: 'out', port, bytes: 1, value });
const read = (port: number, bytes = 1): Op => ({ op: 'in', port, bytes });

const SETUP_OPS: readonly Op[] = [
  ...[0x11, 0x20, 4, 1].map((value, i) => out(i === 0 ? 0x20 : 0x21, value)),
  ...[0x11, 0x28, 2, 1].map((value, i) => out(i === 0 ? 0xa0 : 0xa1, value)),
  out(0x3fc, 0x0b), // serial: OUT2
  out(0x3fa, 0x41), // FIFO, trigger 4
  out(0x3f9, 0x07),
  out(0x70, 0x0b), // clock: periodic and update interrupts
  out(0x71, 0x52),
  out(0x43, 0x34),
  out(0x40, 0x00),
  out(0x40, 0x03),
  { op: 'sti' },
];

const HANDLER: readonly Op[] = [
  { op: 'tsc' },
  read(0x3fa),
  read(0x3fd),
  read(0x3f8),
  out(0x70, 0x0c),
  read(0x71),
  out(0xa0, 0x20),
  out(0x20, 0x20),
  { op: 'iret' },
];

const PIECES: readonly (readonly Op[])[] = [
  [{ op: 'nop' }, { op: 'nop' }, { op: 'nop' }],
  [{ op: 'hlt' }],
  [{ op: 'fault' }],
  [{ op: 'tsc' }],
  [out(0x43, 0x00), read(0x40), read(0x40)],
  [read(0x61), read(0x608, 4), out(0x80, 1)],
  [{ op: 'out', port: 0x3f8, bytes: 1 }],
  [{ op: 'cli' }, read(0x20), read(0x21), { op: 'sti' }],
  [{ op: 'load', address: 0xe000_0000, bytes: 4 }],
  [{ op: 'store', address: 0xfff0_0000, bytes: 8 }],
  [read(0x3fd), read(0x3fe)],
  [out(0x70, 0x00), read(0x71), out(0x70, 0x0a), read(0x71)],
];

function randomProgram(random: SeededRandom): ToyProgram {
  const main: Op[] = [];
  while (main.length < 400) main.push(...random.pick(PIECES));
  return { main: [...SETUP_OPS, ...main], handler: HANDLER };
}

// ---- running --------------------------------------------------------------------------------

type Bench = {
  readonly machine: Machine;
  readonly engine: ToyEngine;
  readonly trace: string[];
};

function build(program: ToyProgram): Bench {
  const engine = new ToyEngine(program);
  const trace: string[] = [];
  const output = (event: Output) => trace.push(`${machine.position} ${JSON.stringify(event)}`);
  const machine: Machine = new Machine({
    engine,
    memory: new MemoryBanks([new Uint8Array(4 * MIB)]),
    output,
    epochSeconds: 1_700_000_000,
    entropySeed: new Uint8Array(32).fill(9),
    multiplier: MULTIPLIER_ONE * 100n,
    plug: undefined,
  });
  machine.start({} as never);
  return { machine, engine, trace };
}

// Goes to the position. An idle guest gets a clock step to its next timer, as an input with position.
function runTo(bench: Bench, position: bigint, onInput: (input: Input) => void): void {
  const { machine } = bench;
  for (;;) {
    const end = machine.runSlice(position);
    if (machine.position >= position) return;
    if (end === 'kick') continue;
    assert.is(end, 'idle');
    const ns = machine.nextDeadlineNs();
    assert.ok(ns !== undefined, 'an idle guest without timers would wait for ever');
    inject(bench, { kind: 'clock-step', ns, multiplier: machine.multiplier }, onInput);
  }
}

function inject(bench: Bench, input: Input, onInput: (input: Input) => void): void {
  onInput(input);
  bench.machine.inject(input);
}

function randomInput(random: SeededRandom, machine: Machine): Input {
  switch (random.int(4)) {
    case 0:
      return {
        kind: 'clock-step',
        ns: machine.nowNs() + BigInt(random.int(3_000_000)),
        multiplier: MULTIPLIER_ONE * BigInt(1 + random.int(300)),
      };
    case 1:
      return { kind: 'serial-break', port: 'com1' };
    case 2:
      return {
        kind: 'serial-line',
        port: 'com1',
        cts: random.chance(0.5),
        dsr: true,
        dcd: random.chance(0.5),
        ri: false,
      };
    default:
      return { kind: 'serial-rx', port: 'com1', bytes: random.bytes(1 + random.int(30)) };
  }
}

type Entry = { readonly position: bigint; readonly input: Input };

// A run as a host would drive it: kicks at moments nobody planned, inputs where they end.
function record(bench: Bench, random: SeededRandom): Entry[] {
  const entries: Entry[] = [];
  const note = (input: Input) => entries.push({ position: bench.machine.position, input });
  while (bench.machine.position < END) {
    bench.engine.kickAfter = random.int(400);
    const end = bench.machine.runSlice(END);
    if (end === 'idle' && random.chance(0.6)) {
      const ns = bench.machine.nextDeadlineNs()!;
      const { multiplier } = bench.machine;
      inject(bench, { kind: 'clock-step', ns, multiplier }, note);
    } else {
      inject(bench, randomInput(random, bench.machine), note);
    }
  }
  return entries;
}

function replay(bench: Bench, entries: readonly Entry[]): void {
  const { machine } = bench;
  for (const { position, input } of entries) {
    while (machine.position < position) machine.runSlice(position);
    assert.is(machine.position, position);
    machine.inject(input);
  }
  while (machine.position < END && machine.runSlice(END) === 'kick');
}

// ---- what must hold -------------------------------------------------------------------------

test('a recorded run, replayed from its inputs, gives the same outputs and the same state', () => {
  const random = seededRandom('replay');
  let inputs = 0;
  for (let round = 0; round < 12; round++) {
    const program = randomProgram(random);
    const live = build(program);
    const entries = record(live, random);
    inputs += entries.length;
    const backup = build(program);
    replay(backup, entries);
    assert.equal(backup.trace, live.trace, `outputs of round ${round}`);
    assert.equal(backup.machine.state(), live.machine.state(), `state of round ${round}`);
  }
  assert.ok(inputs > 500, `only ${inputs} inputs: this proved little`);
});

test('cutting a run into slices anywhere changes nothing', () => {
  const random = seededRandom('cuts');
  for (let round = 0; round < 12; round++) {
    const program = randomProgram(random);
    const whole = build(program);
    const steps: Entry[] = [];
    runTo(whole, END, (input) => steps.push({ position: whole.machine.position, input }));

    const cut = build(program);
    for (const { position, input } of [...steps, { position: END, input: undefined }]) {
      while (cut.machine.position < position) {
        if (random.chance(0.3)) cut.engine.kickAfter = random.int(50);
        const left = Number(position - cut.machine.position);
        cut.machine.runSlice(cut.machine.position + BigInt(1 + random.int(Math.min(left, 700))));
      }
      if (input !== undefined) cut.machine.inject(input);
    }
    assert.equal(cut.trace, whole.trace, `outputs of round ${round}`);
    assert.equal(cut.machine.state(), whole.machine.state(), `state of round ${round}`);
  }
});

test('saved at any position and restored into a fresh machine, it goes on identically', () => {
  const random = seededRandom('restore');
  for (let round = 0; round < 12; round++) {
    const program = randomProgram(random);
    const original = build(program);
    const position = BigInt(random.int(Number(END)));
    runTo(original, position, () => {});
    const saved = structuredClone(original.machine.state());

    const copy = build(program);
    if (random.chance(0.5)) runTo(copy, BigInt(random.int(5000)), () => {}); // not even fresh
    copy.machine.restore(saved);
    assert.equal(copy.machine.state(), saved);
    original.trace.length = 0;
    copy.trace.length = 0;
    runTo(original, END, () => {});
    runTo(copy, END, () => {});
    assert.equal(copy.trace, original.trace, `outputs of round ${round}`);
    assert.equal(copy.machine.state(), original.machine.state(), `state of round ${round}`);
  }
});

test('the toy guests do take interrupts and write output', () => {
  const bench = build(randomProgram(seededRandom('sanity')));
  runTo(bench, END, () => {});
  assert.ok(bench.trace.length > 50);
  const state = new TextDecoder().decode(bench.machine.state().engine);
  assert.ok(state.includes('"interruptsOn"'));
});

test('state of another machine is refused in words', () => {
  const bench = build(randomProgram(seededRandom('refuse')));
  const good = bench.machine.state();
  const cases: [object, RegExp][] = [
    [{ version: 99 }, /state version 99/],
    [{ engineKind: 'vtx' }, /engine vtx/],
    [{ ramBytes: 1 }, /RAM bytes 1/],
    [{ devices: {} }, /without device pit/],
  ];
  for (const [change, words] of cases)
    assert.throws(() => bench.machine.restore({ ...good, ...change }), words);
  // Its engine says whose states it goes on from.
  bench.machine.restore({ ...good, engineKind: 'toy-elsewhere' });
});

test.run();
