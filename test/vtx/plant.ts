// The plant controller of test/guests/metal (timer interrupts, serial line, network card, disk) on the
// firmware's own machine, recorded under a seeded world and replayed, on any engine.
import { readFileSync } from 'node:fs';
import { createEngine, type EngineKind } from '../../firmware/host/vtx-engine.ts';
import { DirtyPages, MachineDigest } from '../../firmware/lockstep/digest.ts';
import type { ExternalOutput } from '../../firmware/lockstep/outputs.ts';
import { OutputTap } from '../../firmware/lockstep/outputs.ts';
import { Recorder } from '../../firmware/lockstep/recorder.ts';
import { type Progress, Replayer } from '../../firmware/lockstep/replayer.ts';
import { boot } from '../../firmware/machine/boot/boot.ts';
import type { Engine } from '../../firmware/machine/contracts.ts';
import { Machine } from '../../firmware/machine/machine.ts';
import { plugVirtio } from '../../firmware/machine/plug.ts';
import type { Entry } from '../../logchan/entry.ts';
import { GuestMemory, MemoryDigest } from '../../native/index.ts';
import { type SeededRandom, seededRandom } from '../harness/index.ts';
import { MemoryDisk } from '../lockstep/rig.ts';
import { elfImage } from '../machine/boot/images.ts';
import { buildGuest } from '../softcpu/guest.ts';

const MEMORY_BYTES = 8 << 20;
const MAC = [2, 0, 0, 0, 0, 1];

export type MakeMachineEngine = (memory: GuestMemory) => Engine;
export const engineOf =
  (kind: EngineKind): MakeMachineEngine =>
  (memory) =>
    createEngine(memory, kind);

/** The plant controller, or a guest that says what RDTSC tells it, again and again. */
export type PlantGuest = 'plc' | 'clock-reader';

function clockReader(): Uint8Array {
  const [entry, com1] = [0x10_0000, [0xf8, 0x03]];
  const again = [0x0f, 0x31, 0x66, 0xba, ...com1, 0xee]; // rdtsc; mov dx, 3f8; out dx, al
  const data = Uint8Array.from([
    ...[0x66, 0xba, 0xfb, 0x03, 0xb0, 3, 0xee], // eight bits a byte
    ...again,
    ...[0xeb, -again.length - 2],
  ]);
  const segment = { virtual: entry, physical: entry, data, memoryBytes: data.length };
  return elfImage({ is64: false, entry, multibootFlags: 0, segments: [segment] });
}

/** One board with the plant controller at its first instruction. */
export class Plant {
  readonly memory = new GuestMemory({ bytes: MEMORY_BYTES });
  readonly engine: Engine;
  readonly tap = new OutputTap();
  readonly disk = new MemoryDisk();
  readonly machine: Machine;
  readonly digest: MachineDigest;
  readonly guest: PlantGuest;
  text = '';
  frames = 0;

  constructor(make: MakeMachineEngine, guest: PlantGuest = 'plc') {
    this.guest = guest;
    this.engine = make(this.memory);
    this.machine = new Machine({
      engine: this.engine,
      memory: new Uint8Array(this.memory.buffer),
      output: this.tap.sink,
      epochSeconds: 1_700_000_000,
      entropySeed: new Uint8Array(32).fill(5),
      multiplier: 10n << 32n,
      plug: plugVirtio({
        nics: [{ mac: Uint8Array.from(MAC) }],
        disks: [{ sectors: this.disk.bytes.length / 512, isReadOnly: false, serial: 'plant' }],
        hasConsole: true,
      }),
    });
    this.digest = new MachineDigest({
      state: () => this.machine.state() as never,
      memory: new MemoryDigest(this.memory),
      dirty: new DirtyPages(this.engine, MEMORY_BYTES),
    });
  }

  /** Power on; `tap` has its target by now, as outputs may come at once. */
  start(): this {
    const kernel =
      this.guest === 'plc' ? new Uint8Array(readFileSync(buildGuest('plc'))) : clockReader();
    this.machine.start(boot(this.machine.ram, { kernel, initrd: undefined, commandLine: '' }));
    return this;
  }

  readonly onOutput = (output: ExternalOutput): void => {
    if (output.kind === 'net-tx') this.frames++;
    if (output.kind === 'serial-tx' && output.port === 'com1')
      this.text += String.fromCharCode(output.byte);
  };

  fingerprint(): Record<string, string> {
    const { state, memory } = this.digest.take();
    return {
      icount: String(this.machine.icount),
      state: state.toString(16),
      memory: memory.toString(16),
      disk: this.disk.hash(),
      text: this.text,
      frames: String(this.frames),
    };
  }

  close(): void {
    this.engine.close();
    this.memory.close();
  }
}

export interface Recorded {
  readonly plant: Plant;
  readonly entries: Entry[];
}

export interface WorldOptions {
  /** Rounds of run, answer, disturb. */
  readonly rounds: number;
  /** A slice is at most this long, in units of the engine's positions. */
  readonly sliceMax: number;
}

export function recordPlant(
  make: MakeMachineEngine,
  seed: number,
  options: WorldOptions,
  guest: PlantGuest = 'plc',
): Recorded {
  const plant = new Plant(make, guest);
  const entries: Entry[] = [];
  const recorder = new Recorder({
    machine: plant.machine,
    tap: plant.tap,
    digest: plant.digest,
    append: (entry) => entries.push(entry),
    onOutput: plant.onOutput,
    onDiskRequest: (request) => plant.disk.submit(request),
  });
  plant.start();
  drive(plant, recorder, seededRandom('plant', seed), options);
  recorder.writeDigest();
  recorder.end();
  return { plant, entries };
}

/** What happens around the guest, at moments it cannot predict. */
function drive(
  plant: Plant,
  recorder: Recorder,
  random: SeededRandom,
  { rounds, sliceMax }: WorldOptions,
): void {
  const { machine } = plant;
  for (let round = 0; round < rounds && machine.stopReason === undefined; round++) {
    const end = recorder.runSlice(machine.icount + BigInt(1 + random.int(sliceMax)));
    if (end === 'stopped') return;
    for (const id of plant.disk.waiting) {
      if (end === 'idle' || random.chance(0.5)) recorder.inject(plant.disk.take(id));
    }
    if (end === 'idle') wake(plant, recorder, random);
    if (random.chance(0.1)) disturb(recorder, random);
    if (random.chance(0.05)) recorder.writeDigest();
  }
}

function wake({ machine }: Plant, recorder: Recorder, random: SeededRandom): void {
  const nowNs = machine.nowNs();
  const deadline = machine.nextDeadlineNs() ?? nowNs + 1_000_000n;
  const ns = (deadline > nowNs ? deadline : nowNs) + BigInt(random.int(50_000));
  recorder.inject({ kind: 'clock-step', ns, multiplier: machine.multiplier });
}

function disturb(recorder: Recorder, random: SeededRandom): void {
  if (random.chance(0.5)) {
    // Bytes without a meaning to the guest come back plus one.
    const bytes = Uint8Array.from({ length: 1 + random.int(6) }, () => 0x30 + random.int(10));
    recorder.inject({ kind: 'serial-rx', port: 'com1', bytes });
    return;
  }
  const frame = Buffer.alloc(60 + random.int(200));
  frame.set(MAC, 0);
  frame.set([2, 0, 0, 0, 0, 9], 6);
  frame.set([0x88, 0xb6], 12);
  frame.set(random.bytes(frame.length - 14), 14);
  recorder.inject({ kind: 'net-rx', nic: 0, frame });
}

export interface Replayed {
  readonly plant: Plant;
  readonly replayer: Replayer;
  readonly progress: Progress;
}

export function replayPlant(
  make: MakeMachineEngine,
  entries: readonly Entry[],
  guest: PlantGuest = 'plc',
): Replayed {
  const plant = new Plant(make, guest);
  const replayer = new Replayer({
    machine: plant.machine,
    tap: plant.tap,
    digest: plant.digest,
    onOutput: plant.onOutput,
    onDiskRequest: (request) => plant.disk.submit(request),
    localCompletion: (_disk, id) => plant.disk.local(id),
    targets: { nics: 1, disks: 1, hasConsole: true },
  });
  plant.start();
  for (const entry of entries) replayer.push(entry);
  let progress: Progress = 'applied';
  while (progress === 'applied') progress = replayer.advance();
  return { plant, replayer, progress };
}

/** A board that stands where the other one stands, whatever it was before: sync-up without the wire. */
export function syncUp(from: Plant, make: MakeMachineEngine): Plant {
  const plant = new Plant(make, from.guest);
  plant.tap.target = () => {};
  new Uint8Array(plant.memory.buffer).set(new Uint8Array(from.memory.buffer));
  plant.machine.restore(from.machine.state());
  return plant;
}

/** The backup takes over where the log ends, and the world goes on around it. */
export function takeOver(
  { plant, replayer }: Replayed,
  seed: number,
  options: WorldOptions,
): number {
  let entries = 0;
  const recorder = new Recorder({
    outputs: replayer.outputs,
    machine: plant.machine,
    tap: plant.tap,
    digest: plant.digest,
    append: () => {
      entries++;
    },
    onOutput: plant.onOutput,
    onDiskRequest: (request) => plant.disk.submit(request),
  });
  recorder.markPending();
  drive(plant, recorder, seededRandom('takeover', seed), options);
  return entries;
}
