// What a pulled log cable costs a pair whose log has another way: the front LAN, or a second card. With the usual
// limits; so a host that is busy with other things shows in the figures. twin-ways-run.ts measures.
import { type Comparison, quantile, valueAgainst } from './frame.ts';
import { measuredBy } from './twin-child.ts';
import type { AllWays, WaysMeasured } from './twin-ways-run.ts';

const BAR = { pulledMs: 25, idleBps: 1000 } as const;

export async function comparisons(): Promise<Comparison[] | { skipped: string }> {
  const run = measuredBy<AllWays>('twin-ways-run');
  if ('skipped' in run) return run;
  const { front, cards } = run.measured;
  return [...rows('the front LAN', front), ...rows('a second card', cards), ...idleRow(cards)];
}

function rows(spare: string, measured: WaysMeasured): Comparison[] {
  const { pulledMs, backMs, usualMs, latencyUs, logKbps, syncUps, lost } = measured;
  const cost = `${syncUps} sync-ups, redundancy lost ${lost} times`;
  return [
    {
      ...valueAgainst(`the bar of ${BAR.pulledMs} ms`, BAR.pulledMs),
      name: `log cable pulled, goes on over ${spare}, longest of ${pulledMs.length} (${cost})`,
      unit: 'ms',
      ours: { name: 'longest time without an answer', run: () => Math.max(...pulledMs) },
    },
    {
      ...valueAgainst('without a fault', Math.max(...usualMs)),
      name: `back on the cable from ${spare}, longest of ${backMs.length}`,
      unit: 'ms',
      ours: { name: 'longest time without an answer', run: () => Math.max(...backMs) },
    },
    {
      ...valueAgainst('over the cable', latencyUs.cable),
      name: `a datagram answered while the log goes over ${spare} (log ${logKbps.spare.toFixed(0)} kbit/s, on the cable ${logKbps.cable.toFixed(0)})`,
      unit: 'us',
      ours: { name: 'p50', run: () => latencyUs.spare },
    },
    {
      ...valueAgainst('p50 without a fault', quantile(usualMs, 0.5)),
      name: `log cable pulled, goes on over ${spare}, p50`,
      unit: 'ms',
      ours: { name: 'longest time without an answer', run: () => quantile(pulledMs, 0.5) },
    },
  ];
}

function idleRow({ idleBps }: WaysMeasured): Comparison[] {
  if (idleBps === null) return [];
  return [
    {
      ...valueAgainst('the bar', BAR.idleBps),
      name: 'a second log cable that carries nothing, both directions, as its card counts',
      unit: 'bit/s',
      ours: { name: 'rate', run: () => idleBps },
    },
  ];
}
