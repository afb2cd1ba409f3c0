// What happens around the plant controller, at moments it cannot predict: slices of any length, disks
// that answer late, wakes, bytes on the line, frames. Seeded.
import type { Recorder } from '../../firmware/lockstep/recorder.ts';
import type { SeededRandom } from '../harness/index.ts';
import type { Plant } from './plant.ts';

export const PLANT_MAC = [2, 0, 0, 0, 0, 1];

export interface WorldOptions {
  /** Rounds of run, answer, disturb. */
  readonly rounds: number;
  /** A slice is at most this long, in units of the engine's positions. */
  readonly sliceMax: number;
}

export function liveThrough(
  plant: Plant,
  recorder: Recorder,
  random: SeededRandom,
  { rounds, sliceMax }: WorldOptions,
): void {
  for (let round = 0; round < rounds; round++)
    if (!liveOn(plant, recorder, random, sliceMax)) return;
}

/** One round; false: the guest has stopped. */
export function liveOn(
  plant: Plant,
  recorder: Recorder,
  random: SeededRandom,
  sliceMax: number,
): boolean {
  const { machine } = plant;
  if (machine.stopReason !== undefined) return false;
  const end = recorder.runSlice(machine.position + BigInt(1 + random.int(sliceMax)));
  if (end === 'stopped') return false;
  for (const id of plant.disk.waiting) {
    if (end === 'idle' || random.chance(0.5)) recorder.inject(plant.disk.take(id));
  }
  if (end === 'idle') wake(plant, recorder, random);
  if (random.chance(0.1)) disturb(recorder, random);
  if (random.chance(0.05)) recorder.writeDigest();
  return true;
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
  frame.set(PLANT_MAC, 0);
  frame.set([2, 0, 0, 0, 0, 9], 6);
  frame.set([0x88, 0xb6], 12);
  frame.set(random.bytes(frame.length - 14), 14);
  recorder.inject({ kind: 'net-rx', nic: 0, frame });
}
