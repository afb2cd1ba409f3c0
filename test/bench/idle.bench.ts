// What an idle pair costs its boards, beside a bare loop that turns and says as often: idle-run.ts measures.
import { spawnSync } from 'node:child_process';
import { needs, repoPath } from '../harness/index.ts';
import { plantOrWhy } from '../twin/plant-guest.ts';
import { type Comparison, quantile } from './frame.ts';
import type { IdleShares } from './idle-run.ts';

const PERCENT = 100;

export async function comparisons(): Promise<Comparison[] | { skipped: string }> {
  const { guest, why } = plantOrWhy();
  const missing = [needs.networkNamespaces(), needs.device('/dev/net/tun')].find(({ met }) => !met);
  if (guest === undefined || missing !== undefined)
    return { skipped: why ?? missing?.why ?? 'no guest' };
  const script = repoPath('dist/test/bench/idle-run.js');
  const run = spawnSync(process.execPath, ['--enable-source-maps', script], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (run.status !== 0) throw new Error(`the pair could not be measured: ${run.stdout}`);
  const shares = JSON.parse(run.stdout.trim().split('\n').at(-1)!) as IdleShares;
  const share = (of: readonly number[]) => quantile(of, 0.5) * PERCENT;
  return (['a', 'b'] as const).map((side) => ({
    name: `deciding thread of board ${side}, in step, an idle guest: share of a core`,
    unit: '%',
    better: 'lower',
    rounds: 1,
    ours: { name: `board ${side}`, run: () => share(shares[side]) },
    peer: {
      name: 'a loop that turns every 5 ms, says and hears one datagram',
      run: () => share(shares.bare),
    },
  }));
}
