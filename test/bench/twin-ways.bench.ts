// What a pulled log cable costs a pair whose log has another way: the front LAN, or a second card. With the usual
// limits; so a host that is busy with other things shows in the figures. twin-ways-run.ts measures.
import { spawnSync } from 'node:child_process';
import { needs, repoPath } from '../harness/index.ts';
import { plantOrWhy } from '../twin/plant-guest.ts';
import { type Comparison, quantile } from './frame.ts';
import type { AllWays, WaysMeasured } from './twin-ways-run.ts';

const BAR = { pulledMs: 25, idleBps: 1000 } as const;

export async function comparisons(): Promise<Comparison[] | { skipped: string }> {
  const { guest, why } = plantOrWhy();
  const missing = [needs.networkNamespaces(), needs.device('/dev/net/tun')].find(({ met }) => !met);
  if (guest === undefined || missing !== undefined)
    return { skipped: why ?? missing?.why ?? 'no guest' };
  const script = repoPath('dist/test/bench/twin-ways-run.js');
  const run = spawnSync(process.execPath, ['--enable-source-maps', script], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const line = run.stdout.trim().split('\n').at(-1) ?? '';
  if (run.status !== 0) throw new Error(`the ways of the log could not be measured: ${run.stdout}`);
  const { front, cards } = JSON.parse(line) as AllWays;
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

/** One figure that has been measured, against one that is given. */
function valueAgainst(name: string, value: number) {
  return { better: 'lower', rounds: 1, peer: { name, run: () => value } } as const;
}
