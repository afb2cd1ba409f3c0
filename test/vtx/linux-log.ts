// What runs inside the emulated machine for `npm run test:vtx -- --linux-log N`: an unmodified Debian Linux recorded
// on one engine for N thousand positions, or to its end, with bytes, frames and disk answers coming in; then replayed.
//
//     linux-log.js KIND KERNEL INITRD THOUSANDS [COMMAND LINE]
import { readFileSync } from 'node:fs';
import { ENGINE_KINDS, type EngineKind } from '../../firmware/host/engine-kinds.ts';
import { VtxEngine } from '../../firmware/host/vtx-engine.ts';
import { VtxEngine as NativeVtx, probeKvm, type VtxPositions } from '../../native/index.ts';
import { seededRandom } from '../harness/random.ts';
import {
  engineOf,
  type GuestImage,
  type MakeMachineEngine,
  Plant,
  Recording,
  replayerOf,
} from './plant.ts';
import { liveOn } from './world.ts';

const APPEND =
  'console=ttyS0 earlyprintk=ttyS0,115200 acpi=off noapic nolapic reboot=k panic=0 twinstep.run=bench';
const GUEST_BYTES = 96 << 20;
/** The kernel's first look at its timers asks for the time again and again, and each answer is an exit. */
const NS_PER_POSITION = 400n;
const SLICE_MAX = 60_000;
const STILL_ALIVE_MS = 15_000;

const [wanted, kernel = '', initrd = '', thousands = '1000', more = ''] = process.argv.slice(2);
const kind = ENGINE_KINDS.find((one) => one === wanted) ?? 'vtx-branches';
const until = BigInt(thousands) * 1000n;
const image: GuestImage = {
  kernel: new Uint8Array(readFileSync(kernel)),
  initrd: new Uint8Array(readFileSync(initrd)),
  commandLine: `${APPEND} ${more}`,
  memoryBytes: GUEST_BYTES,
  nsPerPosition: NS_PER_POSITION,
};
const say = (line: string) => process.stdout.write(`${line}\n`);

/** As the product makes it, but that its counters can be read. */
let native: NativeVtx | undefined;
const POSITIONS: Partial<Record<EngineKind, VtxPositions>> = {
  'vtx-branches': 'branches',
  'vtx-exits': 'exits',
};
const positions = POSITIONS[kind];
const make: MakeMachineEngine =
  positions === undefined
    ? engineOf(kind)
    : (memory) => {
        native = new NativeVtx(memory, positions);
        return new VtxEngine(kind, native);
      };

let [begunMs, toldMs] = [performance.now(), performance.now()];
const seconds = () => ((performance.now() - begunMs) / 1000).toFixed(1);

function tell(what: string, plant: Plant): void {
  if (performance.now() < toldMs + STILL_ALIVE_MS) return;
  toldMs = performance.now();
  const last = plant.text.trimEnd().split('\n').at(-1)?.trim().slice(-70);
  say(`# ${what} ${seconds()} s: ${plant.machine.position}, ${JSON.stringify(last)}`);
}

function counted(): string {
  if (native === undefined) return '';
  const { landed, missed, skidMax, tscExits, referenceSteps, hardwareSteps } = native.counters;
  return `${landed} landings, ${missed} missed, latest alarm ${skidMax}, ${tscExits} times told, ${hardwareSteps} steps by hardware, ${referenceSteps} by the software engine`;
}

function record(): Recording {
  const recording = Recording.of(make, image);
  const { plant, recorder } = recording;
  const random = seededRandom('linux', 1);
  while (plant.machine.position < until && liveOn(plant, recorder, random, SLICE_MAX))
    tell('recording', plant);
  recorder.writeDigest();
  return recording.end();
}

function replay({ entries }: Recording, wanted: Record<string, string>): string | undefined {
  const plant = new Plant(make, image);
  const replayer = replayerOf(plant);
  plant.start();
  for (const entry of entries) replayer.push(entry);
  while (replayer.advance() === 'applied') tell('replaying', plant);
  const { divergence: d } = replayer;
  if (d !== undefined) {
    const agreed = d.agreed === undefined ? 'never' : `at ${d.agreed.position}`;
    return `${d.what} differs at entry ${d.entryIndex} of ${entries.length}, position ${d.position}: ${d.actual}, not ${d.expected}; digests last agreed ${agreed}`;
  }
  const found = plant.fingerprint();
  const differing = Object.keys(wanted).filter((key) => found[key] !== wanted[key]);
  return differing.length === 0 ? undefined : `at the end differ: ${differing.join(', ')}`;
}

for (const line of probeKvm().words) say(`# ${line}`);
let problem: string | undefined;
try {
  const recording = record();
  const { plant, entries } = recording;
  const digests = entries.filter(({ body }) => body.kind === 'digest').length;
  say(
    `ok 1 - Linux recorded on ${kind} # ${plant.machine.position} positions, ${entries.length} entries, ${digests} digests, ${plant.text.length} bytes said, ${seconds()} s`,
  );
  say(`# ${counted()}`);
  for (const line of plant.text.trimEnd().split('\n').slice(-3)) say(`# said: ${line.trim()}`);
  const fingerprint = plant.fingerprint();
  plant.engine.close();
  begunMs = performance.now();
  problem = replay(recording, fingerprint);
  say(`# ${counted()}`);
} catch (error) {
  problem = (error as Error).stack ?? '';
}
const lines = (problem ?? '').split('\n');
if (problem === undefined) say(`ok 2 - replayed: every digest equal # ${seconds()} s`);
else say(`not ok - ${lines.join('\n  ')}`);
process.exitCode = problem === undefined ? 0 : 1;
