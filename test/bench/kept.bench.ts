// A guest with much memory, half of it used: how long until the pair is redundant when the log cable was out for two
// seconds, beside a new backup, which gets all of the memory; kept-run.ts measures. TWINSTEP_BENCH_MEMORY_MIB, _ROUNDS.
import type { Comparison } from './frame.ts';
import type { KeptMeasured } from './kept-run.ts';
import { measuredBy } from './twin-child.ts';

const MEMORY_MIB = process.env.TWINSTEP_BENCH_MEMORY_MIB ?? '4096';

export async function comparisons(): Promise<Comparison[] | { skipped: string }> {
  const run = measuredBy<KeptMeasured>('kept-run');
  if ('skipped' in run) return run;
  console.log(JSON.stringify(run.measured));
  const { backS, freshS } = run.measured;
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
