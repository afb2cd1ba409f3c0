// What an idle pair costs its boards, beside a bare loop that turns and says as often: idle-run.ts measures.
import { type Comparison, quantile } from './frame.ts';
import type { IdleShares } from './idle-run.ts';
import { measuredBy } from './twin-child.ts';

const PERCENT = 100;

export async function comparisons(): Promise<Comparison[] | { skipped: string }> {
  const run = measuredBy<IdleShares>('idle-run');
  if ('skipped' in run) return run;
  const shares = run.measured;
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
