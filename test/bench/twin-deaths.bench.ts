// Deaths in pieces of the primary: carriers, serial line and processor go one after the other, in any order, within
// half a second. With the usual limits and the log also over the front LAN. twin-deaths-run.ts measures.
import { type Comparison, quantile, valueAgainst } from './frame.ts';
import { measuredBy } from './twin-child.ts';
import type { DeathsMeasured } from './twin-deaths-run.ts';

/** What we promise ourselves (docs/PROMISES.md). */
const BAR_MS = 200;

export async function comparisons(): Promise<Comparison[] | { skipped: string }> {
  const run = measuredBy<DeathsMeasured>('twin-deaths-run');
  if ('skipped' in run) return run;
  const { blackoutMs, tcpMs, wentOn, seed } = run.measured;
  return [0.5, 0.99].map((q) => ({
    name: `death in pieces of the primary, p${q * 100} of ${blackoutMs.length}, seed ${seed}: datagrams (taken over ${wentOn} times; a TCP client: ${quantile(tcpMs, q).toFixed(0)} ms)`,
    unit: 'ms',
    ours: { name: 'longest time without an answer', run: () => quantile(blackoutMs, q) },
    ...valueAgainst(`the bar of ${BAR_MS} ms`, BAR_MS),
  }));
}
