// The plant controller of test/guests/metal (timer interrupts, serial line, network card, disk) on the
// firmware's own machine, recorded under a seeded world and replayed, on any engine.
import { readFileSync } from 'node:fs';
import type { EngineKind } from '../../firmware/host/engine-kinds.ts';
import { createEngine } from '../../firmware/host/engines.ts';
import { DirtyPages, MachineDigest } from '../../firmware/lockstep/digest.ts';
import type { Entry } from '../../firmware/lockstep/entry.ts';
import type { ExternalOutput } from '../../firmware/lockstep/outputs.ts';
import { OutputCounter, OutputTap } from '../../firmware/lockstep/outputs.ts';
import { Recorder } from '../../firmware/lockstep/recorder.ts';
import { type Progress, Replayer } from '../../firmware/lockstep/replayer.ts';
import type { SliceMemory } from '../../firmware/lockstep/slice-pages.ts';
import { boot } from '../../firmware/machine/boot/boot.ts';
import type { Engine } from '../../firmware/machine/engine.ts';
import { Machine } from '../../firmware/machine/machine.ts';
import { MemoryBanks } from '../../firmware/machine/memory-banks.ts';
import { plugVirtio } from '../../firmware/machine/plug.ts';
import { GuestMemory, MemoryDigest, probeKvm } from '../../native/index.ts';
import { type SeededRandom, seededRandom } from '../harness/index.ts';
import { MemoryDisk } from '../lockstep/rig.ts';
import { elfImage } from '../machine/boot/images.ts';
import { buildGuest } from '../softcpu/guest.ts';
import { liveThrough, PLANT_MAC, type WorldOptions } from './world.ts';

const MEMORY_BYTES = 8 << 20;

export type MakeMachineEngine = (memory: GuestMemory) => Engine;
export const engineOf =
  (kind: EngineKind): MakeMachineEngine =>
  (memory) =>
    createEngine(memory, kind);

/**
 * The plant controller; a guest that says what RDTSC tells it, again and again; and one that reads it
 * once, keeps it in memory and never mentions it; one that computes, and looks at the line now and then; one
 * that ages its pages.
 */
export type PlantGuest =
  | 'plc'
  | 'plc-timeless'
  | 'aging'
  | 'clock-reader'
  | 'clock-keeper'
  | 'cruncher'
  | GuestImage;

/** A guest from outside, a Linux say. */
export interface GuestImage {
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array | undefined;
  readonly commandLine: string;
  readonly memoryBytes: number;
  /** How fast its clock goes. */
  readonly nsPerPosition: bigint;
}

const READS_AND_TELLS = [
  ...[0x66, 0xba, 0xfb, 0x03, 0xb0, 3, 0xee], // COM1: eight bits a byte
  ...[0x0f, 0x31, 0x66, 0xba, 0xf8, 0x03, 0xee], // rdtsc; mov dx, 3f8; out dx, al
  ...[0xeb, -9],
];
const READS_AND_KEEPS = [
  ...[0x66, 0xba, 0xfb, 0x03, 0xb0, 3, 0xee],
  ...[0x0f, 0x31, 0xa3, 0, 0, 0x20, 0], // rdtsc; mov [200000], eax
  ...[0x31, 0xc0, 0x31, 0xd2], // xor eax, eax; xor edx, edx
  ...[0xb0, 0x2e, 0x66, 0xba, 0xf8, 0x03, 0xee], // mov al, '.'; mov dx, 3f8; out dx, al
  ...[0xeb, -9],
];

// Between two looks at the line, 30,000 rounds over 64 pages without an exit.
const CRUNCHES = [
  ...[0x66, 0xba, 0xfb, 0x03, 0xb0, 3, 0xee],
  ...[0xbe, 0, 0, 0x20, 0], // mov esi, 200000
  ...[0xb9, 0x30, 0x75, 0, 0], // mov ecx, 30000
  ...[0x69, 0xc0, 0x0d, 0x66, 0x19, 0], // imul eax, eax, 1664525
  ...[0x05, 0x5f, 0xf3, 0x6e, 0x3c], // add eax, 1013904223
  ...[0x89, 0xc2, 0x81, 0xe2, 0xfc, 0xff, 0x03, 0], // mov edx, eax; and edx, 3fffc
  ...[0x01, 0x04, 0x16], // add [esi + edx], eax
  ...[0x49, 0x75, -25], // dec ecx; jnz
  ...[0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 1, 0x74, -39], // mov dx, 3fd; in al, dx; test al, 1; jz
  ...[0x66, 0xba, 0xf8, 0x03, 0xec, 0xfe, 0xc0, 0xee], // mov dx, 3f8; in al, dx; inc al; out dx, al
  ...[0xeb, -49],
];
const CODE = {
  'clock-reader': READS_AND_TELLS,
  'clock-keeper': READS_AND_KEEPS,
  cruncher: CRUNCHES,
};

function imageOf(guest: PlantGuest): GuestImage {
  if (typeof guest === 'object') return guest;
  const memoryBytes = MEMORY_BYTES;
  const kernel = kernelOf(guest);
  return { kernel, initrd: undefined, commandLine: '', memoryBytes, nsPerPosition: 10n };
}

export const TIMELESS = 'TIMELESS=1';

let tellsTsc: boolean | undefined;

/** The plant controller, as far as an engine is exact for it: on a stock KVM a free run shows the host's TSC. */
export function plantOn(kind: EngineKind): PlantGuest {
  if (kind !== 'vtx-exits' && kind !== 'vtx-branches') return 'plc';
  tellsTsc ??= probeKvm().tellsTsc;
  return tellsTsc ? 'plc' : 'plc-timeless';
}

function kernelOf(guest: Exclude<PlantGuest, GuestImage>): Uint8Array {
  if (guest === 'plc' || guest === 'aging') return new Uint8Array(readFileSync(buildGuest(guest)));
  if (guest === 'plc-timeless') return new Uint8Array(readFileSync(buildGuest('plc', TIMELESS)));
  const data = Uint8Array.from(CODE[guest]);
  const entry = 0x10_0000;
  const segment = { virtual: entry, physical: entry, data, memoryBytes: data.length };
  return elfImage({ is64: false, entry, multibootFlags: 0, segments: [segment] });
}

/** One board with the plant controller at its first instruction. */
export class Plant {
  readonly memory: GuestMemory;
  readonly engine: Engine;
  readonly tap = new OutputTap();
  readonly disk = new MemoryDisk();
  readonly machine: Machine;
  readonly digest: MachineDigest;
  readonly slices: SliceMemory | undefined;
  readonly guest: PlantGuest;
  private readonly image: GuestImage;
  text = '';
  readonly sent: Uint8Array[] = [];
  heard: ((output: ExternalOutput, sequence: bigint) => void) | undefined;

  constructor(make: MakeMachineEngine, guest: PlantGuest = 'plc') {
    this.guest = guest;
    this.image = imageOf(guest);
    const { memoryBytes, nsPerPosition } = this.image;
    this.memory = new GuestMemory({ bytes: memoryBytes });
    this.engine = make(this.memory);
    this.machine = new Machine({
      engine: this.engine,
      memory: MemoryBanks.of(this.memory),
      output: this.tap.sink,
      epochSeconds: 1_700_000_000,
      entropySeed: new Uint8Array(32).fill(5),
      multiplier: nsPerPosition << 32n,
      plug: plugVirtio({
        nics: [{ mac: Uint8Array.from(PLANT_MAC) }],
        disks: [{ sectors: this.disk.bytes.length / 512, isReadOnly: false, serial: 'plant' }],
        hasConsole: true,
      }),
    });
    const dirty = new DirtyPages(this.engine, memoryBytes);
    this.digest = new MachineDigest({
      state: () => this.machine.state() as never,
      memory: new MemoryDigest(this.memory),
      dirty,
    });
    const isAtExits = this.engine.kind === 'vtx-exits';
    this.slices = isAtExits
      ? { memory: MemoryBanks.of(this.memory), takeDirty: dirty.reader() }
      : undefined;
  }

  /** Power on; `tap` has its target by now, as outputs may come at once. */
  start(): this {
    this.machine.start(boot(this.machine.ram, this.image));
    return this;
  }

  onOutput(output: ExternalOutput, sequence: bigint): void {
    this.heard?.(output, sequence);
    if (output.kind === 'net-tx') this.sent.push(output.frame.slice());
    if (output.kind === 'serial-tx' && output.port === 'com1')
      this.text += String.fromCharCode(output.byte);
  }

  get frames(): number {
    return this.sent.length;
  }

  fingerprint(): Record<string, string> {
    const { state, memory } = this.digest.take();
    return {
      position: String(this.machine.position),
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

/** Which bytes of the first frame that is not the same in both lives. */
export function frameDifference(found: Plant, wanted: Plant): string | undefined {
  const n = found.sent.findIndex(
    (frame, at) => Buffer.compare(frame, wanted.sent[at] ?? frame) !== 0,
  );
  if (n < 0) return undefined;
  const [one, other] = [found.sent[n] as Uint8Array, wanted.sent[n] as Uint8Array];
  const bytes = [...one.keys()].filter((at) => one[at] !== other[at]);
  return `frame ${n}, ${one.length} and ${other.length} bytes, differs in ${bytes.length} from ${bytes[0]} to ${bytes.at(-1)}`;
}

/** A life with everything written down. */
export class Recording {
  readonly plant: Plant;
  readonly entries: Entry[] = [];
  readonly outputs: OutputCounter;
  readonly recorder: Recorder;

  constructor(plant: Plant, outputs = new OutputCounter()) {
    this.plant = plant;
    this.outputs = outputs;
    this.recorder = recorderOf(plant, outputs, (entry) => this.entries.push(entry));
  }

  /** From power on. */
  static of(make: MakeMachineEngine, guest: PlantGuest = 'plc'): Recording {
    const recording = new Recording(new Plant(make, guest));
    recording.plant.start();
    return recording;
  }

  /** Of a backup that followed to where its log ends. */
  static after({ outputs }: Replayer, plant: Plant): Recording {
    const recording = new Recording(plant, outputs);
    recording.recorder.markPending();
    return recording;
  }

  run(random: SeededRandom, options: WorldOptions): this {
    liveThrough(this.plant, this.recorder, random, options);
    this.recorder.writeDigest();
    return this;
  }

  end(): this {
    this.recorder.end();
    return this;
  }
}

export function recorderOf(
  plant: Plant,
  outputs: OutputCounter,
  append: (entry: Entry) => void,
): Recorder {
  return new Recorder({
    ...{ machine: plant.machine, tap: plant.tap, digest: plant.digest, outputs, append },
    slices: plant.slices,
    onOutput: (output, sequence) => plant.onOutput(output, sequence),
    onDiskRequest: (request) => plant.disk.submit(request),
  });
}

export function recordPlant(
  make: MakeMachineEngine,
  seed: number,
  options: WorldOptions,
  guest: PlantGuest = 'plc',
): Recording {
  return Recording.of(make, guest).run(seededRandom('plant', seed), options).end();
}

export interface Replayed {
  readonly plant: Plant;
  readonly replayer: Replayer;
  readonly progress: Progress;
}

export function replayerOf(plant: Plant, outputs = new OutputCounter()): Replayer {
  return new Replayer({
    ...{ machine: plant.machine, tap: plant.tap, digest: plant.digest, outputs },
    onOutput: (output, sequence) => plant.onOutput(output, sequence),
    onDiskRequest: (request) => plant.disk.submit(request),
    localCompletion: (_disk, id) => plant.disk.local(id),
    targets: { nics: 1, disks: 1, hasConsole: true },
  });
}

/** As far as this log leads. */
export function follow(plant: Plant, replayer: Replayer, entries: readonly Entry[]): Replayed {
  for (const entry of entries) replayer.push(entry);
  let progress: Progress = 'applied';
  while (progress === 'applied') progress = replayer.advance();
  return { plant, replayer, progress };
}

export function replayPlant(
  make: MakeMachineEngine,
  entries: readonly Entry[],
  guest: PlantGuest = 'plc',
): Replayed {
  const plant = new Plant(make, guest);
  const replayer = replayerOf(plant);
  plant.start();
  return follow(plant, replayer, entries);
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
  const recorder = recorderOf(plant, replayer.outputs, () => {
    entries++;
  });
  recorder.markPending();
  liveThrough(plant, recorder, seededRandom('takeover', seed), options);
  return entries;
}
