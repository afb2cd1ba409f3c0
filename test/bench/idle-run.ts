// The measuring half of idle.bench.ts, in a network namespace: an idle pair in step, and beside it a bare loop that
// only turns and says as often as a board must. Processor time of the deciding threads, by the kernel's count.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { repoPath } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { SIDES } from '../twin/network.ts';
import { plantOrWhy } from '../twin/plant-guest.ts';
import { TwinRig } from '../twin/rig.ts';

const ROUNDS = Number(process.env.TWINSTEP_BENCH_ROUNDS ?? '5');
/** Compiled, and calm after the sync-up. */
const SETTLED_MS = 30_000;
const WINDOW_MS = 5_000;

export interface IdleShares {
  /** Of one core, each round: boards a and b, and the bare loop. */
  readonly a: number[];
  readonly b: number[];
  readonly bare: number[];
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Nanoseconds on a processor (Documentation/scheduler/sched-stats.rst: schedstat, first field). */
const runNs = (pid: number) =>
  Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')[0]);

async function measured(): Promise<IdleShares> {
  const { guest, why } = plantOrWhy();
  if (guest === undefined) throw new Error(why);
  const rig = await TwinRig.make({ guest });
  const bare = spawn(process.execPath, [repoPath('dist/test/bench/bare-loop.js')]);
  try {
    await rig.begin('a');
    await rig.redundant();
    await pause(SETTLED_MS);
    const pids = [...SIDES.map((side) => rig.boards[side].boardPid()), bare.pid as number];
    const shares: IdleShares = { a: [], b: [], bare: [] };
    for (let round = 0; round < ROUNDS; round++) {
      const [begunMs, before] = [performance.now(), pids.map(runNs)];
      await pause(WINDOW_MS);
      const windowNs = (performance.now() - begunMs) * 1e6;
      const [a, b, loop] = pids.map((pid, at) => (runNs(pid) - before[at]!) / windowNs);
      shares.a.push(a!);
      shares.b.push(b!);
      shares.bare.push(loop!);
    }
    return shares;
  } finally {
    bare.kill();
    await rig.close();
  }
}

await enterNamespace();
console.log(JSON.stringify(await measured()));
