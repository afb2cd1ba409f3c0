// Recording and replaying a Linux guest in one process, for the tests of this folder.
import { readFileSync } from 'node:fs';
import type { Entry } from '../../firmware/lockstep/entry.ts';
import { LogReader, LogWriter } from '../../firmware/lockstep/log-file.ts';
import type { ExternalOutput } from '../../firmware/lockstep/outputs.ts';
import { Recorder } from '../../firmware/lockstep/recorder.ts';
import { type Progress, Replayer } from '../../firmware/lockstep/replayer.ts';
import type { SliceEnd } from '../../firmware/machine/machine-types.ts';
import { linuxGuestOrNone } from '../guests/linux/assemble.ts';
import { assert, seededRandom } from '../harness/index.ts';
import { type GuestFiles, Rig, TARGETS } from './rig.ts';
import { World } from './world.ts';

/** The guest's files, or undefined where it cannot be assembled. */
export function guestFiles(): GuestFiles | undefined {
  const guest = linuxGuestOrNone();
  return (
    guest && {
      kernel: readFileSync(guest.kernel),
      initrd: readFileSync(guest.initrd),
      commandLine:
        'console=ttyS0 quiet acpi=off noapic nolapic lpj=4000000 cryptomgr.notests twinstep.ip=10.0.0.2/24 twinstep.run=disk',
    }
  );
}

export interface Recording {
  rig: Rig;
  world: World;
  entries: Entry[];
  recorder: Recorder;
}

export interface RecordOptions {
  until?: (world: World) => boolean;
  onStart?: (rig: Rig) => void;
  onSlice?: (end: SliceEnd) => void;
  interprets?: boolean;
}

/** Boots Linux under a seeded world until its disk script is done (or `until`). */
export function record(
  files: GuestFiles,
  seed: number,
  {
    until = (world) => world.console.includes('@done'),
    onStart,
    onSlice,
    interprets,
  }: RecordOptions = {},
): Recording {
  const rig = new Rig(undefined, interprets);
  const world = new World(rig, seededRandom('world', seed));
  const log = new LogWriter({});
  const entries: Entry[] = [];
  const recorder = new Recorder({
    machine: rig.machine,
    tap: rig.tap,
    digest: rig.digest,
    append: (entry) => {
      entries.push(entry);
      log.append(entry);
    },
    onOutput: world.onOutput,
    onDiskRequest: (request) => rig.disk.submit(request),
  });
  rig.load(files);
  onStart?.(rig);
  world.run(recorder, () => until(world), onSlice);
  recorder.writeDigest();
  recorder.end();
  // What is replayed went through the bytes of a log file.
  assert.equal(new LogReader().push(log.take()).length, entries.length);
  return { rig, world, entries, recorder };
}

export function replay(
  files: GuestFiles,
  entries: readonly Entry[],
  onOutput: (output: ExternalOutput) => void = () => {},
  interprets = false,
) {
  const rig = new Rig(undefined, interprets);
  const replayer = new Replayer({
    machine: rig.machine,
    tap: rig.tap,
    digest: rig.digest,
    targets: TARGETS,
    onOutput,
    onDiskRequest: (request) => rig.disk.submit(request),
    localCompletion: (_disk, id) => rig.disk.local(id),
  });
  rig.load(files);
  for (const entry of entries) replayer.push(entry);
  let progress: Progress = 'applied';
  while (progress === 'applied') progress = replayer.advance();
  return { rig, replayer, progress };
}
