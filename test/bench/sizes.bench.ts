// A pair with a disk of plant size, sparse: how long until it is redundant, beside the hash of the same data by
// sha256sum; sizes-run.ts measures. Sizes: TWINSTEP_BENCH_DISK_GIB, _DATA_GIB, _WRITTEN_MIB, _MEMORY_MIB, _FILLED_MIB. With
// TWINSTEP_BENCH_TOUCHED=0 a new backup of a filled guest also waits for what this machine's host has yet to give.
import { spawnSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { needs } from '../harness/index.ts';
import type { Comparison } from './frame.ts';
import type { Sizes } from './sizes-run.ts';
import { measuredBy } from './twin-child.ts';

const MIB = 2 ** 20;
const DISK_GIB = process.env.TWINSTEP_BENCH_DISK_GIB ?? '20';
const DATA_GIB = process.env.TWINSTEP_BENCH_DATA_GIB ?? '2';
const FILLED_MIB = process.env.TWINSTEP_BENCH_FILLED_MIB ?? '0';
const WRITTEN_MIB = process.env.TWINSTEP_BENCH_WRITTEN_MIB ?? '100';

export async function comparisons(): Promise<Comparison[] | { skipped: string }> {
  const sha256sum = needs.command('sha256sum');
  if (!sha256sum.met) return { skipped: sha256sum.why };
  const run = measuredBy<Sizes>('sizes-run');
  if ('skipped' in run) return run;
  console.log(JSON.stringify(run.measured));
  const sizes = run.measured;
  const once = { unit: 's', better: 'lower', rounds: 1 } as const;
  const ours = (seconds: number) => ({ name: 'until RUN-Redundant', run: () => seconds });
  const peer = (mib: number) => ({ name: 'sha256sum of as much', run: () => hashS(mib) });
  return [
    {
      ...{ ...once, name: `new backup, a disk of ${DISK_GIB} GiB with ${DATA_GIB} GiB in it` },
      ...{ ours: ours(sizes.fresh.seconds), peer: peer(Number(DATA_GIB) * 1024) },
    },
    {
      ...{ ...once, name: `log cable out for 2 s, ${FILLED_MIB} MiB in the guest's memory` },
      ...{ ours: ours(sizes.link.seconds), peer: peer(Math.max(4, Number(FILLED_MIB))) },
    },
    {
      ...{ ...once, name: `backup killed, ${WRITTEN_MIB} MiB written meanwhile` },
      ...{ ours: ours(sizes.away.seconds), peer: peer(Number(WRITTEN_MIB)) },
    },
  ];
}

function hashS(mib: number): number {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-sizes-'));
  const path = join(folder, 'data');
  const fd = openSync(path, 'w');
  const piece = randomFillSync(Buffer.alloc(4 * MIB));
  for (let done = 0; done < mib; done += 4) writeSync(fd, piece);
  closeSync(fd);
  const beganMs = performance.now();
  spawnSync('sha256sum', [path]);
  const seconds = (performance.now() - beganMs) / 1000;
  rmSync(folder, { recursive: true });
  return seconds;
}
