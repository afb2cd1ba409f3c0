// Deaths in pieces of the primary: carriers, serial line and processor go one after the other, in any order, within
// half a second. With the usual limits and the log also over the front LAN. twin-deaths-run.ts measures.
import { type Comparison, quantile, valueAgainst } from './frame.ts';
import { measuredBy } from './twin-child.ts';
import type { DeathsMeasured } from './twin-deaths-run.ts';

/** What we promise ourselves (docs/PROMISES.md). */
const BAR_MS = 200;
/** A machine that stands still for longer than this adds to a blackout what no plant's board does. */
const MACHINE_MS = 10;

export async function comparisons(): Promise<Comparison[] | { skipped: string }> {
  const run = measuredBy<DeathsMeasured>('twin-deaths-run');
  if ('skipped' in run) return run;
  const { blackoutMs, machineMs, tcpMs, wentOn, seed } = run.measured;
  const whole = blackoutMs.filter((_, n) => (machineMs[n] ?? 0) <= MACHINE_MS);
  const rows: Comparison[] = [0.5, 0.99].map((q) => ({
    name: `death in pieces of the primary, p${q * 100} of ${blackoutMs.length}, seed ${seed}: datagrams (taken over ${wentOn} times; a TCP client: ${quantile(tcpMs, q).toFixed(0)} ms)`,
    unit: 'ms',
    ours: { name: 'longest time without an answer', run: () => quantile(blackoutMs, q) },
    ...valueAgainst(`the bar of ${BAR_MS} ms`, BAR_MS),
  }));
  rows.push({
    name: `the same, p99 of the ${whole.length} beside which this machine stood still for at most ${MACHINE_MS} ms`,
    unit: 'ms',
    ours: { name: 'longest time without an answer', run: () => quantile(whole, 0.99) },
    ...valueAgainst(`the bar of ${BAR_MS} ms`, BAR_MS),
  });
  return rows;
}
