// A guest with much memory, half of it used: how long until the pair is redundant when the log cable was out for two
// seconds, beside a new backup, which gets all of the memory; kept-run.ts measures. TWINSTEP_BENCH_MEMORY_MIB, _ROUNDS.
import { spawnSync } from 'node:child_process';
import { needs, repoPath } from '../harness/index.ts';
import { plantOrWhy } from '../twin/plant-guest.ts';
import type { Comparison } from './frame.ts';
import type { KeptMeasured } from './kept-run.ts';

const MEMORY_MIB = process.env.TWINSTEP_BENCH_MEMORY_MIB ?? '4096';

export async function comparisons(): Promise<Comparison[] | { skipped: string }> {
  const { guest, why } = plantOrWhy();
  const missing = [needs.networkNamespaces(), needs.device('/dev/net/tun')].find(({ met }) => !met);
  if (guest === undefined || missing !== undefined)
    return { skipped: why ?? missing?.why ?? 'no guest' };
  const script = repoPath('dist/test/bench/kept-run.js');
  const run = spawnSync(process.execPath, ['--enable-source-maps', script], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (run.status !== 0) throw new Error(`the pair could not be measured: ${run.stdout}`);
  const line = run.stdout.trim().split('\n').at(-1)!;
  console.log(line);
  const { backS, freshS } = JSON.parse(line) as KeptMeasured;
  let round = 0;
  return [
    {
      ...{ unit: 's', better: 'lower', rounds: backS.length },
      name: `log cable out for 2 s, ${MEMORY_MIB} MiB of memory half used`,
      ours: { name: 'until RUN-Redundant', run: () => backS[round++ % backS.length] ?? 0 },
      peer: { name: 'a new backup', run: () => freshS },
    },
  ];
}
