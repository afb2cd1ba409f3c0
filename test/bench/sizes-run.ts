// The measuring half of sizes.bench.ts, in a network namespace: a pair with a large sparse disk, a client at twenty
// lines a second through all of it. Rows: a new backup; the log cable out, where the log has no other way; a backup that
// was killed while the guest wrote. Printed as one line of JSON.

import { execFile } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { repoPath } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { guestShell } from '../twin/client.ts';
import { SIDES } from '../twin/network.ts';
import { plantOrWhy } from '../twin/plant-guest.ts';
import { TwinRig } from '../twin/rig.ts';
import { Bystanders, monotonicMs } from './bystanders.ts';

const GIB = 2 ** 30;
const MIB = 2 ** 20;
export const SIZES = {
  diskGib: Number(process.env.TWINSTEP_BENCH_DISK_GIB ?? '20'),
  dataGib: Number(process.env.TWINSTEP_BENCH_DATA_GIB ?? '2'),
  writtenMib: Number(process.env.TWINSTEP_BENCH_WRITTEN_MIB ?? '100'),
  /** Of the guest; @default its own. */
  memoryMib: Number(process.env.TWINSTEP_BENCH_MEMORY_MIB ?? '0'),
  /** So much of it holds files. */
  filledMib: Number(process.env.TWINSTEP_BENCH_FILLED_MIB ?? '0'),
  /** This machine's memory is touched before the new backup needs it (touch-memory.ts). */
  isTouched: process.env.TWINSTEP_BENCH_TOUCHED !== '0',
};
const LONG_MS = 600_000;
const CALM_MS = 5_000;
const CABLE_OUT_MS = 2_000;
const SEED_MIB = 16;
/** Of a guest beside its files, and of a board beside its guest. */
const SPARE_MIB = 768;

export interface Row {
  readonly seconds: number;
  readonly attempts: number;
  /** Of both boards, the longest that one stood still: at all, and where the machine under it did not (bystanders.ts). */
  readonly stalledMs: number;
  readonly ownStallMs: number;
  /** Each time a board stood still, and what a sync-up did: when, since the row began. */
  readonly story: readonly string[];
  readonly waitP50Ms: number;
  readonly waitLongestMs: number;
}

export interface Sizes {
  /** Before anything: what a client waits for. */
  readonly calmP50Ms: number;
  /** Of a page of this machine's memory, microseconds; null: not looked at. */
  readonly firstTouchUs: number | null;
  readonly fresh: Row;
  readonly link: Row;
  readonly away: Row;
  /** Of each board's process, MiB. */
  readonly residentMib: number;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** So much that is no zeros, over all of the disk. */
function fill(path: string, diskBytes: number, dataBytes: number): void {
  const fd = openSync(path, 'r+');
  const piece = randomFillSync(Buffer.alloc(4 * MIB));
  const count = dataBytes / piece.length;
  for (let i = 0; i < count; i++) {
    piece.writeUInt32LE(i, (i * 4096) % piece.length);
    writeSync(fd, piece, 0, piece.length, Math.floor((i * (diskBytes / count)) / MIB) * MIB);
  }
  closeSync(fd);
}

/** Copies of a seed: no page of them is zeros. */
function fillMemory(mib: number): string {
  const seed = `dd if=/dev/urandom of=/tmp/seed bs=1M count=${SEED_MIB} 2>/dev/null`;
  const copies = `for i in $(seq ${Math.floor(mib / SEED_MIB) - 1}); do cat /tmp/seed; done > /tmp/filled`;
  return `${seed}; ${copies}; ls -l /tmp/filled`;
}

/** As much as a new backup will need. */
async function touch(mib: number): Promise<number> {
  const bytes = (mib + SPARE_MIB) * MIB;
  const script = repoPath('dist/test/bench/touch-memory.js');
  const { stdout } = await promisify(execFile)(process.execPath, [script, String(bytes)]);
  return Number(stdout);
}

async function measured(): Promise<Sizes> {
  const { guest, why } = plantOrWhy();
  if (guest === undefined) throw new Error(why);
  const stalls: { atMs: number; gapMs: number }[] = [];
  const bystanders = new Bystanders();
  const story: string[] = [];
  let attempts = 0;
  let beganMs = performance.now();
  const diskBytes = SIZES.diskGib * GIB;
  const memory = SIZES.memoryMib > 0 ? { memoryMib: SIZES.memoryMib } : {};
  const rig = await TwinRig.make({
    guest: { ...guest, ...memory },
    client: { lineMs: 50 },
    largeBytes: diskBytes,
    onEvent: (side, { code, text, data }) => {
      if (/^(BOARD-STALLED|SYNC-|ROLE-|BOARD-)/.test(code))
        story.push(`${(performance.now() - beganMs).toFixed(0)} ms ${side} ${text}`);
      if (code === 'BOARD-STALLED') stalls.push({ atMs: monotonicMs(), gapMs: Number(data.gapMs) });
      if (code === 'SYNC-BEGUN') attempts++;
    },
  });
  const row = async (work: () => Promise<void>): Promise<Row> => {
    await rig.client.window();
    [attempts, stalls.length, story.length] = [0, 0, 0];
    beganMs = performance.now();
    await work();
    await rig.redundant(LONG_MS);
    const seconds = (performance.now() - beganMs) / 1000;
    const { latenciesMs, longestGapMs } = await rig.client.window();
    const sorted = [...latenciesMs].sort((a, b) => a - b);
    const waitP50Ms = sorted[Math.floor(sorted.length / 2)] ?? 0;
    const own = stalls.filter(({ atMs, gapMs }) => !bystanders.saw(atMs, gapMs));
    return {
      ...{ seconds, attempts, story: [...story] },
      stalledMs: Math.max(0, ...stalls.map(({ gapMs }) => gapMs)),
      ownStallMs: Math.max(0, ...own.map(({ gapMs }) => gapMs)),
      ...{ waitP50Ms, waitLongestMs: Math.max(longestGapMs, sorted.at(-1) ?? 0) },
    };
  };
  try {
    fill(rig.boards.a.largeDisk, diskBytes, SIZES.dataGib * GIB);
    for (const side of SIDES) rig.boards[side].start();
    await rig.until('both seek', () => rig.boards.a.status?.peer?.isHeard === true, LONG_MS);
    await rig.cutPower('b');
    await rig.boards.a.ask({ do: 'force-lead' });
    await rig.until('a leads', () => rig.primary === 'a', LONG_MS);
    await rig.client.connect(LONG_MS);
    if (SIZES.filledMib > 0) await guestShell(fillMemory(SIZES.filledMib), LONG_MS);
    await rig.client.window();
    await pause(CALM_MS);
    const calm = [...(await rig.client.window()).latenciesMs].sort((a, b) => a - b);
    const isToTouch = SIZES.filledMib > 0 && SIZES.isTouched;
    const firstTouchUs = isToTouch ? await touch(SIZES.filledMib) : null;
    const fresh = await row(() => rig.restorePower('b'));
    await pause(CALM_MS);
    await rig.network.pull('log', 'a');
    await pause(CABLE_OUT_MS);
    const link = await row(() => rig.network.mend('log', 'a'));
    await pause(CALM_MS);
    await rig.cutPower('b');
    const to = `of=/dev/vdc bs=1M count=${SIZES.writtenMib} seek=${SIZES.diskGib * 100}`;
    await guestShell(`dd if=/dev/urandom ${to} conv=fsync 2>/dev/null`, LONG_MS);
    const away = await row(() => rig.restorePower('b'));
    const residentMib = Math.max(...SIDES.map((side) => rig.boards[side].residentMib()));
    const calmP50Ms = calm[Math.floor(calm.length / 2)] ?? 0;
    return { calmP50Ms, firstTouchUs, fresh, link, away, residentMib };
  } finally {
    bystanders.close();
    await rig.close();
  }
}

await enterNamespace();
console.log(JSON.stringify(await measured()));
