// The guest that clears accessed bits without a flush (test/guests/metal/aging.c): what its tables say then may
// depend on nothing but the guest, whatever the host does to KVM's own tables, over a sync-up, and over a
// takeover with the other board synced up from the new primary.
import { OutputCounter } from '../../firmware/lockstep/outputs.ts';
import type { SeededRandom } from '../harness/index.ts';
import { follow, type MakeMachineEngine, Plant, Recording, replayerOf, syncUp } from './plant.ts';
import { type Provocation, provoke } from './provoke.ts';
import { liveOn, liveThrough } from './world.ts';

const SLICE_MAX = 60;

/** What it tells in a life without inputs. */
export function toldBy(make: MakeMachineEngine, bytes: number): string {
  const plant = alone(make);
  const told = telling(plant, bytes);
  plant.close();
  return told;
}

/** The same machine put back to what it was, memory and all: what it tells then, both times. */
export function toldTwice(make: MakeMachineEngine, bytes: number): [string, string] {
  const plant = alone(make);
  telling(plant, bytes);
  const memory = new Uint8Array(plant.memory.buffer);
  const [kept, state] = [memory.slice(), plant.machine.state()];
  const before = telling(plant, bytes);
  memory.set(kept);
  plant.machine.restore(state);
  const after = telling(plant, bytes);
  plant.close();
  return [before, after];
}

function alone(make: MakeMachineEngine): Plant {
  const plant = new Plant(make, 'aging');
  plant.tap.target = (output) => {
    if (output.kind !== 'disk-request') plant.onOutput(output, 0n);
  };
  return plant.start();
}

/** The next so many bytes. What a slice made beyond them is lost. */
function telling(plant: Plant, bytes: number): string {
  plant.text = '';
  while (plant.text.length < bytes) {
    const end = plant.machine.runSlice(plant.machine.position + 100n);
    if (end === 'stopped') throw new Error(JSON.stringify(plant.machine.stopReason));
  }
  return plant.text.slice(0, bytes);
}

export interface Aged {
  /** Undefined: in step to the end. */
  readonly divergence: string | undefined;
  readonly entries: number;
  readonly provoked: number;
  /** From what first was not the same to what found it, in the guest's time and in positions. */
  readonly unprotectedUs: number;
  readonly unprotectedPositions: number;
}

interface Moment {
  readonly position: bigint;
  readonly ns: bigint;
}

/**
 * A life with this happening to the primary alone, and the backup beside it: the backup follows entry by
 * entry, and is provoked at other places, if at all.
 */
export function agesUnder(
  make: MakeMachineEngine,
  random: SeededRandom,
  kind: Provocation | undefined,
  rounds: number,
): Aged {
  const recording = Recording.of(make, 'aging');
  let first: Moment | undefined;
  let provoked = 0;
  for (let round = 0; round < rounds; round++) {
    if (kind !== undefined && random.chance(0.3)) {
      first ??= momentOf(recording.plant);
      provoke(kind, recording.plant);
      provoked++;
    }
    liveOn(recording.plant, recording.recorder, random, SLICE_MAX);
    if (round % 8 === 7) recording.recorder.writeDigest();
  }
  recording.end();
  const backup = new Plant(make, 'aging');
  const replayer = replayerOf(backup);
  backup.start();
  const aged = followed(backup, replayer, recording, first);
  recording.plant.close();
  backup.close();
  return { ...aged, provoked };
}

/** The backup is made from the primary in the middle of its life, and follows from there. */
export function agesOverSyncUp(
  make: MakeMachineEngine,
  random: SeededRandom,
  rounds: number,
): Aged & { healed: boolean } {
  const recording = Recording.of(make, 'aging');
  liveThrough(recording.plant, recording.recorder, random, { rounds, sliceMax: SLICE_MAX });
  const first = momentOf(recording.plant);
  const { backup, replayer } = backupOf(recording, make);
  liveFurther(recording, random, rounds);
  const aged = followed(backup, replayer, recording, first);
  backup.close();
  // Whatever was found: another sync-up, and they are the same again.
  const healed = syncUp(recording.plant, make);
  const isSame = JSON.stringify(digestOf(healed)) === JSON.stringify(digestOf(recording.plant));
  for (const each of [healed, recording.plant]) each.close();
  return { ...aged, provoked: 0, healed: isSame };
}

/** The backup takes over, and the other board is made anew from it and follows: there and back. */
export function agesOverTakeovers(
  make: MakeMachineEngine,
  random: SeededRandom,
  rounds: number,
  times: number,
): Aged {
  let primary = Recording.of(make, 'aging');
  let entries = 0;
  for (let time = 0; time < times; time++) {
    liveThrough(primary.plant, primary.recorder, random, { rounds, sliceMax: SLICE_MAX });
    const first = momentOf(primary.plant);
    const { backup, replayer } = backupOf(primary, make);
    liveFurther(primary, random, rounds);
    const aged = followed(backup, replayer, primary, first, 'waiting');
    entries += aged.entries;
    primary.plant.close();
    if (aged.divergence !== undefined || time === times - 1) {
      backup.close();
      return { ...aged, provoked: 0, entries };
    }
    primary = Recording.after(replayer, backup);
  }
  throw new Error('no takeover asked for');
}

/** A board synced up from this one; entries are for it from here on. */
function backupOf(recording: Recording, make: MakeMachineEngine) {
  recording.entries.length = 0;
  const backup = syncUp(recording.plant, make);
  const outputs = new OutputCounter();
  outputs.restore(recording.outputs.state());
  return { backup, replayer: replayerOf(backup, outputs) };
}

function liveFurther({ plant, recorder }: Recording, random: SeededRandom, rounds: number): void {
  for (let round = 0; round < rounds; round++) {
    liveOn(plant, recorder, random, SLICE_MAX);
    if (round % 8 === 7) recorder.writeDigest();
  }
  recorder.writeDigest();
}

function followed(
  backup: Plant,
  replayer: ReturnType<typeof replayerOf>,
  recording: Recording,
  first: Moment | undefined,
  wanted: 'ended' | 'waiting' = recording.entries.at(-1)?.body.kind === 'end' ? 'ended' : 'waiting',
): Omit<Aged, 'provoked'> {
  const { progress } = follow(backup, replayer, recording.entries);
  const { what, position } = replayer.divergence ?? {};
  const isSame =
    progress === wanted && backup.fingerprint().memory === recording.plant.fingerprint().memory;
  const divergence = what ?? (isSame ? undefined : `${progress}, at the end`);
  const last = momentOf(backup);
  return {
    divergence: divergence === undefined ? undefined : `${divergence} at position ${position}`,
    entries: recording.entries.length,
    unprotectedUs: first === undefined ? 0 : Number(last.ns - first.ns) / 1_000,
    unprotectedPositions: first === undefined ? 0 : Number(last.position - first.position),
  };
}

const momentOf = ({ machine }: Plant): Moment => ({
  position: machine.position,
  ns: machine.nowNs(),
});

function digestOf({ digest }: Plant): string[] {
  const { state, memory } = digest.take();
  return [String(state), String(memory)];
}
