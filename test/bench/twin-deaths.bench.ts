// Deaths in pieces of the primary: carriers, serial line and processor go one after the other, in any order, within
// half a second. With the usual limits and the log also over the front LAN. twin-deaths-run.ts measures.
import { spawnSync } from 'node:child_process';
import { needs, repoPath } from '../harness/index.ts';
import { plantOrWhy } from '../twin/plant-guest.ts';
import { type Comparison, quantile } from './frame.ts';
import type { DeathsMeasured } from './twin-deaths-run.ts';

/** What we promise ourselves (docs/PROMISES.md). */
const BAR_MS = 200;

export async function comparisons(): Promise<Comparison[] | { skipped: string }> {
  const { guest, why } = plantOrWhy();
  const missing = [needs.networkNamespaces(), needs.device('/dev/net/tun')].find(({ met }) => !met);
  if (guest === undefined || missing !== undefined)
    return { skipped: why ?? missing?.why ?? 'no guest' };
  const script = repoPath('dist/test/bench/twin-deaths-run.js');
  const run = spawnSync(process.execPath, ['--enable-source-maps', script], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const line = run.stdout.trim().split('\n').at(-1) ?? '';
  if (run.status !== 0) throw new Error(`a death was not survived: ${run.stdout}`);
  const { blackoutMs, tcpMs, wentOn, seed } = JSON.parse(line) as DeathsMeasured;
  return [0.5, 0.99].map((q) => ({
    name: `death in pieces of the primary, p${q * 100} of ${blackoutMs.length}, seed ${seed}: datagrams (taken over ${wentOn} times; a TCP client: ${quantile(tcpMs, q).toFixed(0)} ms)`,
    unit: 'ms',
    better: 'lower',
    rounds: 1,
    ours: { name: 'longest time without an answer', run: () => quantile(blackoutMs, q) },
    peer: { name: `the bar of ${BAR_MS} ms`, run: () => BAR_MS },
  }));
}
