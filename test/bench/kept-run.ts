// The measuring half of kept.bench.ts, in a network namespace: a pair whose guest has much memory and uses half of it,
// a client at twenty lines a second, the log cable out for two seconds and in again. Printed as one line of JSON.
import { randomFillSync } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { enterNamespace } from '../harness/netns.ts';
import { guestShell } from '../twin/client.ts';
import { other, SIDES } from '../twin/network.ts';
import { plantOrWhy } from '../twin/plant-guest.ts';
import { TwinRig } from '../twin/rig.ts';

const MIB = 2 ** 20;
export const KEPT = {
  memoryMib: Number(process.env.TWINSTEP_BENCH_MEMORY_MIB ?? '4096'),
  times: Number(process.env.TWINSTEP_BENCH_ROUNDS ?? '3'),
};
const OUT_MS = 2_000;
const LONG_MS = 600_000;
const CALM_MS = 5_000;
const RESIDENT_EVERY_MS = 100;

export interface KeptMeasured {
  /** From the power of a new backup to RUN-Redundant: all of the memory travels. */
  readonly freshS: number;
  /** From the cable's return to RUN-Redundant, each time. */
  readonly backS: readonly number[];
  /** Of the guest, when all that it uses is there, and the most of either board's process from then on. */
  readonly touchedMib: number;
  readonly residentMib: number;
  /** What the sync-ups said of themselves. */
  readonly reports: readonly Readonly<Record<string, unknown>>[];
  readonly waitP50Ms: number;
  readonly waitLongestMs: number;
  readonly story: readonly string[];
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Read by the guest it fills its memory: nothing of it is zeros, no two pages of it are alike. */
function fill(path: string, bytes: number): void {
  const fd = openSync(path, 'r+');
  const piece = randomFillSync(Buffer.alloc(4 * MIB));
  for (let at = 0; at < bytes; at += piece.length) {
    for (let page = 0; page < piece.length; page += 4096) piece.writeDoubleLE(at + page, page);
    writeSync(fd, piece, 0, Math.min(piece.length, bytes - at), at);
  }
  closeSync(fd);
}

async function measured(): Promise<KeptMeasured> {
  const { guest, why } = plantOrWhy();
  if (guest === undefined) throw new Error(why);
  const story: string[] = [];
  /** A board may say an event again. */
  const reports = new Map<string, Record<string, unknown>>();
  let beganMs = performance.now();
  const usedBytes = (KEPT.memoryMib / 2) * MIB;
  const rig = await TwinRig.make({
    guest: { ...guest, memoryMib: KEPT.memoryMib },
    client: { lineMs: 50 },
    largeBytes: usedBytes,
    onEvent: (side, { code, text, data }) => {
      if (/^(BOARD-STALLED|SYNC-|ROLE-|REDUNDANCY-)/.test(code))
        story.push(`${(performance.now() - beganMs).toFixed(0)} ms ${side} ${text}`);
      if (code === 'SYNC-PHASE' && data.pagesSent !== undefined)
        reports.set(String(data.totalMs), data);
    },
  });
  const seconds = async (work: () => Promise<void>): Promise<number> => {
    beganMs = performance.now();
    story.push('--');
    await work();
    await rig.redundant(LONG_MS);
    return (performance.now() - beganMs) / 1000;
  };
  try {
    for (const side of SIDES) fill(rig.boards[side].largeDisk, usedBytes);
    for (const side of SIDES) rig.boards[side].start();
    await rig.until('both seek', () => rig.boards.a.status?.peer?.isHeard === true, LONG_MS);
    await rig.boards.a.ask({ do: 'force-lead' });
    await rig.until('a leads', () => rig.primary === 'a', LONG_MS);
    await rig.redundant(LONG_MS);
    await rig.client.connect(LONG_MS);
    await guestShell('cat /dev/vdc > /dev/null', LONG_MS);
    await pause(CALM_MS);
    await rig.redundant(LONG_MS);
    const touchedMib = rig.boards[rig.primary!].residentMib();
    const backup = other(await rig.redundant(LONG_MS));
    await rig.cutPower(backup);
    await pause(CALM_MS);
    const freshS = await seconds(() => rig.restorePower(backup));
    await pause(CALM_MS);
    let residentMib = 0;
    const look = setInterval(() => {
      const now = SIDES.map((side) => rig.boards[side].residentMib());
      residentMib = Math.max(residentMib, ...now);
    }, RESIDENT_EVERY_MS);
    const backS: number[] = [];
    await rig.client.window();
    for (let i = 0; i < KEPT.times; i++) {
      rig.network.pull('log', 'a');
      await pause(OUT_MS);
      backS.push(await seconds(() => rig.network.mend('log', 'a')));
      await pause(CALM_MS);
    }
    clearInterval(look);
    const { latenciesMs, longestGapMs } = await rig.client.window();
    const sorted = [...latenciesMs].sort((a, b) => a - b);
    const waitP50Ms = sorted[Math.floor(sorted.length / 2)] ?? 0;
    const waitLongestMs = Math.max(longestGapMs, sorted.at(-1) ?? 0);
    const waits = { waitP50Ms, waitLongestMs };
    return {
      freshS,
      backS,
      touchedMib,
      residentMib,
      reports: [...reports.values()],
      ...waits,
      story,
    };
  } finally {
    await rig.close();
  }
}

await enterNamespace();
console.log(JSON.stringify(await measured()));
