// Measurements of a twin are taken by a program of its own, which can live in a network namespace; it prints them as one
// line of JSON.
import { spawnSync } from 'node:child_process';
import { needs, repoPath } from '../harness/index.ts';
import { plantOrWhy } from '../twin/plant-guest.ts';

/** What `dist/test/bench/NAME.js` measured, or why it cannot be measured here. Throws when it failed. */
export function measuredBy<Measured>(name: string): { measured: Measured } | { skipped: string } {
  const { guest, why } = plantOrWhy();
  const missing = [needs.networkNamespaces(), needs.device('/dev/net/tun')].find(({ met }) => !met);
  if (guest === undefined || missing !== undefined)
    return { skipped: why ?? missing?.why ?? 'no guest' };
  const run = spawnSync(
    process.execPath,
    ['--enable-source-maps', repoPath(`dist/test/bench/${name}.js`)],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  );
  if (run.status !== 0) throw new Error(`${name} could not measure: ${run.stdout}`);
  const line = run.stdout.trim().split('\n').at(-1) ?? '';
  return { measured: JSON.parse(line) as Measured };
}
