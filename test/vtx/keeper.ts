// A guest that reads the time stamp counter once and keeps it in memory: on a kernel without our patch
// both boards read another number, and nothing the guest says shows it. The digest of memory does. Then
// the backup is synced up from the primary, which has gone on meanwhile, and follows the same log to
// its end.
import { OutputCounter } from '../../firmware/lockstep/outputs.ts';
import type { SeededRandom } from '../harness/index.ts';
import {
  follow,
  type MakeMachineEngine,
  Recording,
  replayerOf,
  replayPlant,
  syncUp,
} from './plant.ts';

export interface KeptTime {
  /** What differed; undefined: nothing. */
  readonly divergence: string | undefined;
  readonly entryIndex: number | undefined;
  /** Backup and primary at the end of the log. */
  readonly healed: unknown;
  readonly wanted: unknown;
  readonly entriesAfter: number;
}

export function keepsTime(make: MakeMachineEngine, random: SeededRandom): KeptTime {
  const world = { rounds: 12, sliceMax: 60 };
  const recording = Recording.of(make, 'clock-keeper').run(random, world);
  const before = recording.entries.length;
  const backup = replayPlant(make, recording.entries, 'clock-keeper');
  const { divergence } = backup.replayer;

  const healed = syncUp(recording.plant, make);
  const outputs = new OutputCounter();
  outputs.restore(recording.outputs.state());
  const replayer = replayerOf(healed, outputs);
  recording.run(random, world).end();
  const after = recording.entries.slice(before);
  const { progress } = follow(healed, replayer, after);
  const found = {
    divergence: divergence?.what,
    entryIndex: divergence?.entryIndex,
    healed: { progress, at: healed.machine.position, ...healed.digest.take() },
    wanted: {
      progress: 'ended',
      at: recording.plant.machine.position,
      ...recording.plant.digest.take(),
    },
    entriesAfter: after.length,
  };
  for (const each of [recording.plant, backup.plant, healed]) each.close();
  return found;
}
