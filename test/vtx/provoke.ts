// What the host of an engine may do to the memory of its guest: everything that makes a KVM drop the page
// tables it keeps, but for what nobody can ask for. `refused` says what this host does not do at all.
import { writeFileSync } from 'node:fs';
import { compile } from '../harness/compile.ts';
import type { Plant } from './plant.ts';

interface Addon {
  provoke(kind: string, buffer: ArrayBufferLike): number;
}

/** Memory pressure, notifiers of several kinds, a limit, slots made anew, a dirty log that is read. */
export const PROVOCATIONS = {
  shrinker: () => writeFileSync('/proc/sys/vm/drop_caches', '2'),
  compaction: () => writeFileSync('/proc/sys/vm/compact_memory', '1'),
  protect: (plant: Plant) => ask('protect', plant),
  pageout: (plant: Plant) => ask('pageout', plant),
  collapse: (plant: Plant) => ask('collapse', plant),
  limit: (plant: Plant) => ask('limit', plant),
  slots: ({ machine }: Plant) => machine.restore(machine.state()),
  'dirty log': ({ digest }: Plant) => void digest.take(),
} as const;
export type Provocation = keyof typeof PROVOCATIONS;

const provoked = new Map<Provocation, string>();

export function provoke(kind: Provocation, plant: Plant): void {
  try {
    PROVOCATIONS[kind](plant);
  } catch (error) {
    provoked.set(kind, (error as Error).message);
  }
}

/** In words; empty: all was done. */
export const refused = () => [...provoked].map(([kind, why]) => `${kind}: ${why}`).join(', ');

function ask(kind: string, { memory }: Plant): void {
  const failed = addon().provoke(kind, memory.buffer);
  if (failed !== 0) throw new Error(`error ${failed}`);
}

/** Node-API by names of its own, so that it takes no headers. */
export const provokingAddon = () =>
  compile({
    name: 'provoke',
    inputs: ['test/vtx/provoke.c'],
    commands: (out) => [
      ['gcc', '-O1', '-shared', '-fPIC', '-o', `${out}/provoke.node`, 'test/vtx/provoke.c'],
    ],
    result: 'provoke.node',
  });

let loaded: Addon | undefined;
function addon(): Addon {
  if (loaded === undefined) {
    const found: { exports: unknown } = { exports: {} };
    process.dlopen(found, provokingAddon());
    loaded = found.exports as Addon;
  }
  return loaded;
}
