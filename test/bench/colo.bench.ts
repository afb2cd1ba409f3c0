// The twin beside QEMU's COLO, the same guest, client and benchmark for both, one after the other in one run.
// COLO runs on QEMU's own emulator (TCG), without a disk, and with two things in its favour: the moment of
// the crash is told to it, where ours is found out by the board itself; and its guest's answers do not hold
// what the guest counts by its own clock, which would be a checkpoint each.
import { spawnSync } from 'node:child_process';
import { needs, repoPath } from '../harness/index.ts';
import { plantOrWhy } from '../twin/plant-guest.ts';
import type { ColoMeasured } from './colo-run.ts';
import { type Comparison, quantile } from './frame.ts';
import type { Measured } from './twin-run.ts';

const CRASH = 'crash of the primary';

export async function comparisons(): Promise<Comparison[] | { skipped: string }> {
  const { guest, why } = plantOrWhy();
  const missing = [
    needs.networkNamespaces(),
    needs.device('/dev/net/tun'),
    needs.command('qemu-system-x86_64', 'qemu-system-x86'),
  ].find(({ met }) => !met);
  if (guest === undefined || missing !== undefined)
    return { skipped: why ?? missing?.why ?? 'no guest' };
  const colo = run<ColoMeasured>('colo-run');
  const twin = run<Measured>('twin-run', CRASH);
  for (const words of colo.failed) console.log(`COLO, a takeover that failed: ${words}`);
  return [...blackouts(twin, colo), ...costs(twin, colo), ...pauses(twin, colo)];
}

function blackouts({ blackouts: of }: Measured, { blackoutMs, failed }: ColoMeasured) {
  const { tcp = [] } = of[CRASH] ?? {};
  if (blackoutMs.length === 0) return [];
  const all = blackoutMs.length + failed.length;
  return [
    pair(
      `blackout, ${CRASH}, TCP, p50 of ${tcp.length} and ${all} (COLO: ${failed.length} failed; ours with, COLO without detection)`,
      'ms',
      quantile(tcp, 0.5),
      quantile(blackoutMs, 0.5),
    ),
  ];
}

function costs(twin: Measured, colo: ColoMeasured): Comparison[] {
  const p50 = (values: readonly number[]) => quantile(values, 0.5);
  const share = (of: { alone: readonly number[]; protected: readonly number[] }) =>
    p50(of.alone) / p50(of.protected);
  const added = (what: string): Comparison => {
    const [alone, shielded] = [p50(colo.alone.tcpMs), p50(colo.protected.tcpMs)];
    return pair(
      `${what}, p50: added by protection (alone ${(twin.tcpUs.alone / 1000).toFixed(1)} and ${alone.toFixed(1)} ms)`,
      'ms',
      (twin.tcpUs.protected - twin.tcpUs.alone) / 1000,
      shielded - alone,
    );
  };
  const benchS = { alone: colo.alone.benchS, protected: colo.protected.benchS };
  return [
    added('a line answered by the guest over TCP'),
    {
      ...pair(
        `shell benchmark in the guest, protected ÷ alone in throughput (alone ${p50(twin.benchS.alone).toFixed(1)} and ${p50(benchS.alone).toFixed(1)} s)`,
        'of alone',
        share(twin.benchS),
        share(benchS),
      ),
      better: 'higher',
    },
    pair('the link while the guest is idle', 'kbit/s', twin.idleKbps, colo.idleKbps),
    pair(
      'the link with 100 lines a second (ours: 250 datagrams as well)',
      'kbit/s',
      twin.loadedKbps,
      p50(colo.loadedKbps),
    ),
  ];
}

function pauses({ syncUps }: Measured, { pausesMs }: ColoMeasured): Comparison[] {
  const ours = syncUps.map(({ pauseMs }) => pauseMs);
  return Object.entries(pausesMs)
    .filter(([, values]) => values.length > 0)
    .map(([when, values]) =>
      pair(
        `the guest stands still: ours once a sync-up, COLO at each of ${values.length} checkpoints (${when}), p50`,
        'ms',
        quantile(ours, 0.5),
        quantile(values, 0.5),
      ),
    );
}

function pair(name: string, unit: string, ours: number, peer: number): Comparison {
  return {
    ...{ name, unit, better: 'lower', rounds: 1 },
    ours: { name: 'twinstep', run: () => ours },
    peer: { name: 'QEMU COLO', run: () => peer },
  };
}

/** What a measuring program printed last. */
function run<T>(program: string, ...args: string[]): T {
  const script = repoPath(`dist/test/bench/${program}.js`);
  const { status, stdout } = spawnSync(
    process.execPath,
    ['--enable-source-maps', script, ...args],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
      maxBuffer: 1 << 26,
    },
  );
  if (status !== 0) throw new Error(`${program} could not measure: ${stdout}`);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as T;
}
