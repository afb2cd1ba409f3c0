// How right the guest's clock is, from a client: after everything that happens to roles, and in a quiet time.
// clock-run.ts measures. TWINSTEP_BENCH_QUIET_S=3600 looks at it for an hour.
import { spawnSync } from 'node:child_process';
import { needs, repoPath } from '../harness/index.ts';
import { plantOrWhy } from '../twin/plant-guest.ts';
import type { ClockMeasured } from './clock-run.ts';
import type { Comparison } from './frame.ts';

/** docs/PROMISES.md. */
const BAR = { afterMs: 10, quietMs: 20 } as const;

export async function comparisons(): Promise<Comparison[] | { skipped: string }> {
  const { guest, why } = plantOrWhy();
  const missing = [needs.networkNamespaces(), needs.device('/dev/net/tun')].find(({ met }) => !met);
  if (guest === undefined || missing !== undefined)
    return { skipped: why ?? missing?.why ?? 'no guest' };
  const script = repoPath('dist/test/bench/clock-run.js');
  const run = spawnSync(process.execPath, ['--enable-source-maps', script], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (run.status !== 0) throw new Error(`the clock could not be measured: ${run.stdout}`);
  const measured = JSON.parse(run.stdout.trim().split('\n').at(-1)!) as ClockMeasured;
  const { after, quietMs, quietS, backMs, told } = measured;
  console.log(
    `the clock never went back: ${backMs <= 0}; the primary tells ${JSON.stringify(told)}`,
  );
  return [
    ...after.map(({ what, offMs, worstMs, errorMs }) => ({
      ...against(BAR.afterMs),
      name: `guest clock off its line 5 s after: ${what} (${worstMs.toFixed(0)} ms before, read to ${errorMs.toFixed(1)} ms)`,
      ours: { name: 'off', run: () => Math.abs(offMs) },
    })),
    {
      ...against(BAR.quietMs),
      name: `guest clock off its line at worst in ${quietS} quiet seconds`,
      ours: { name: 'off', run: () => quietMs },
    },
  ];
}

function against(bar: number) {
  const peer = { name: `the bar of ${bar} ms`, run: () => bar };
  return { unit: 'ms', better: 'lower', rounds: 1, peer } as const;
}
