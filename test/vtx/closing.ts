// A guest that computes over 64 pages for a long time without leaving, on an engine whose positions are
// exits: slices end between positions when it is kicked twice, and are closed by registers and pages.
// Replayed, it computes on from there by itself; digests at the exits say whether it had all it needed.
import { Worker } from 'node:worker_threads';
import type { Entry } from '../../firmware/lockstep/entry.ts';
import { repoPath, type SeededRandom } from '../harness/index.ts';
import { engineOf, Recording, replayPlant } from './plant.ts';

const KICKS_EVERY_MS = 2;
const KICKER = `
  const { workerData } = require('node:worker_threads');
  const { kick } = require(workerData.addon);
  const never = new Int32Array(new SharedArrayBuffer(4));
  while (Atomics.load(workerData.over, 0) === 0) {
    kick(workerData.engine);
    Atomics.wait(never, 0, 0, ${KICKS_EVERY_MS});
  }
`;

export interface Closed {
  /** Slices closed between positions, and pages that went with them. */
  readonly slices: number;
  readonly pages: number;
  readonly bytesTyped: number;
  /** What was recorded and what came out again. */
  readonly recorded: Record<string, string>;
  readonly replayed: Record<string, string>;
  readonly progress: string;
}

/** Types a byte now and then; runs until so many slices were closed and bytes came back. */
export async function closesSlices(random: SeededRandom, slices: number): Promise<Closed> {
  const make = engineOf('vtx-exits');
  const recording = Recording.of(make, 'cruncher');
  const { plant, recorder, entries } = recording;
  const over = new Int32Array(new SharedArrayBuffer(4));
  const kicker = new Worker(KICKER, {
    eval: true,
    workerData: { addon: addon(), engine: plant.engine.kickToken, over },
  });
  await new Promise((resolve) => kicker.once('online', resolve));
  let bytesTyped = 0;
  while (closings(entries).length < slices || plant.text.length < 3) {
    recorder.runSlice(plant.machine.position + 1_000n);
    recorder.writeDigest();
    if (plant.text.length < bytesTyped || !random.chance(0.3)) continue;
    recorder.inject({ kind: 'serial-rx', port: 'com1', bytes: random.bytes(1) });
    bytesTyped++;
  }
  Atomics.store(over, 0, 1);
  await new Promise((resolve) => kicker.once('exit', resolve));
  recorder.writeDigest();
  recording.end();

  const again = replayPlant(make, entries, 'cruncher');
  const recorded = plant.fingerprint();
  const replayed = again.plant.fingerprint();
  const closed = closings(entries);
  for (const each of [plant, again.plant]) each.close();
  return {
    slices: closed.length,
    pages: closed.reduce((sum, { pages }) => sum + Math.floor(pages.length / 4096), 0),
    ...{ bytesTyped, recorded, replayed },
    progress: again.replayer.divergence?.what ?? again.progress,
  };
}

/** The parts with a state. */
function closings(entries: readonly Entry[]) {
  return entries.flatMap(({ body }) => (body.kind === 'slice-close' ? [body] : []));
}

const addon = () =>
  repoPath(`native/build/${process.env.TWINSTEP_ADDON ?? 'Release'}/twinstep.node`);
