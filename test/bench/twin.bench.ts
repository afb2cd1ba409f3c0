// The twin as the plant sees it, everything in one run on one pair: blackout per kind of fault, what
// protection costs (throughput, latency), log rate, sync-up, lag. With the usual limits; so a host
// that is busy with other things shows in the figures. twin-run.ts measures.
import { PLANT_MIB } from '../guests/plant/plant.ts';
import { type Comparison, quantile, valueAgainst } from './frame.ts';
import { measuredBy } from './twin-child.ts';
import { FAULTS, type Measured } from './twin-run.ts';

/** What we promise ourselves (docs/PROMISES.md). */
const BAR = {
  blackoutMs: 50,
  throughputRatio: 0.97,
  latencyRatio: 2,
  idleKbps: 50,
  pauseMs: 50,
} as const;
const MEBIBYTES_PER_GIB = 1024;

export async function comparisons(): Promise<Comparison[] | { skipped: string }> {
  const run = measuredBy<Measured>('twin-run');
  if ('skipped' in run) return run;
  const { measured } = run;
  return [
    ...blackoutComparisons(measured),
    ...costComparisons(measured),
    ...syncComparisons(measured),
  ];
}

function blackoutComparisons({ blackouts: of }: Measured): Comparison[] {
  return FAULTS.flatMap((fault) => {
    const { udp = [], tcp = [] } = of[fault] ?? {};
    return ([0.5, 0.99] as const).map((q) => ({
      ...valueAgainst(`the bar of ${BAR.blackoutMs} ms`, BAR.blackoutMs),
      name: `blackout, ${fault}, p${q * 100} of ${udp.length}: datagrams (a TCP client: ${quantile(tcp, q).toFixed(0)} ms)`,
      unit: 'ms',
      ours: { name: 'longest time without an answer', run: () => quantile(udp, q) },
    }));
  });
}

function costComparisons(measured: Measured): Comparison[] {
  const { benchS, udpUs, tcpUs, busyUs, linkUs, idleKbps, loadedKbps, lagMs } = measured;
  const latency = (name: string, us: { alone: number; protected: number }): Comparison => ({
    ...valueAgainst('raw round trip of the link', linkUs),
    name: `${name}, p50: added by protection (alone ${us.alone.toFixed(0)} us; goal: ratio at most ${BAR.latencyRatio})`,
    unit: 'us',
    ours: { name: 'added', run: () => us.protected - us.alone },
  });
  return [
    {
      name: `shell benchmark in the guest, alone ÷ protected (goal ${BAR.throughputRatio} with a core a board)`,
      unit: 's',
      better: 'higher',
      rounds: 1,
      ours: { name: 'alone', run: () => quantile(benchS.alone, 0.5) },
      peer: { name: 'protected', run: () => quantile(benchS.protected, 0.5) },
    },
    latency('a datagram echoed by the guest', udpUs),
    latency('a line answered by the guest over TCP', tcpUs),
    latency('a datagram while 100 lines and 250 datagrams a second are asked', busyUs),
    {
      ...valueAgainst('the bar', BAR.idleKbps),
      name: `log of an idle guest (with 100 lines and 250 datagrams a second: ${loadedKbps.toFixed(0)})`,
      unit: 'kbit/s',
      ours: { name: 'log rate', run: () => idleKbps },
    },
    {
      ...valueAgainst('p99', quantile(lagMs, 0.99)),
      name: 'how far the backup is behind',
      unit: 'ms',
      ours: { name: 'p50', run: () => quantile(lagMs, 0.5) },
    },
  ];
}

function syncComparisons({ syncUps, blackouts }: Measured): Comparison[] {
  const rejoins = Object.entries(blackouts).flatMap(([name, { rejoin }]) =>
    name === 'switch-over' ? [] : rejoin,
  );
  const pauses = syncUps.map(({ pauseMs }) => pauseMs);
  const perGib = syncUps.map(({ totalMs }) => (totalMs / PLANT_MIB.memory) * MEBIBYTES_PER_GIB);
  return [
    {
      ...valueAgainst('the bar', BAR.pauseMs),
      name: `sync-up: longest time a client waits meanwhile, p50 of ${rejoins.length}`,
      unit: 'ms',
      ours: { name: 'longest time without an answer', run: () => quantile(rejoins, 0.5) },
    },
    {
      ...valueAgainst('the bar', BAR.pauseMs),
      name: `sync-up: pause of the guest, p99 of ${pauses.length}`,
      unit: 'ms',
      ours: { name: 'pause', run: () => quantile(pauses, 0.99) },
    },
    {
      ...valueAgainst('p99', quantile(perGib, 0.99) / 1000),
      name: `sync-up: duration per GiB of guest memory (${PLANT_MIB.memory} MiB here)`,
      unit: 's',
      ours: { name: 'p50', run: () => quantile(perGib, 0.5) / 1000 },
    },
  ];
}
