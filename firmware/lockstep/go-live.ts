// A backup that stops replaying and starts recording. It stands at the position of the last entry it
// holds: whatever the primary did beyond it, nobody has seen (Output Rule), so going on from here is
// consistent with the world.
import type { MachineDigest } from './digest.ts';
import { Recorder, type RecorderOptions } from './recorder.ts';
import type { Replayer } from './replayer.ts';

/**
 * The recorder that goes on where `replayer` stands. Every entry it holds must have been applied.
 * Outputs keep their numbers; those made since the last marker get one at the next slice end.
 *
 * Disk requests whose completion entry never came are still in flight in the machine; the caller's
 * replica has executed them (it got them from the replay) and injects their completions as new
 * entries. That a request may have been executed on both boards is harmless: it is the same request.
 */
export function goLive(
  replayer: Replayer,
  options: Omit<RecorderOptions, 'outputs' | 'digest'> & { digest: MachineDigest | undefined },
): Recorder {
  if (replayer.divergence !== undefined) throw new Error('a diverged machine must not go live');
  if (replayer.backlog > 0) throw new Error(`${replayer.backlog} entries are still to be applied`);
  return new Recorder({ ...options, outputs: replayer.outputs });
}
