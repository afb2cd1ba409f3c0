// The measuring half of colo.bench.ts, a program of its own because it must live in a network namespace: the
// guest alone and under COLO taking turns, each pair ended by the death of its primary. Prints one line of
// JSON. Its client and its shell benchmark are those of twin-run.ts.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as passed } from 'node:timers/promises';
import type { PlantGuest } from '../guests/plant/plant.ts';
import { seededRandom } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { guestShell, PlantClient } from '../twin/client.ts';
import { plantOrWhy } from '../twin/plant-guest.ts';
import { ColoPair, linkBytes, makePlant, Qemu } from './peers/colo.ts';

const ROUNDS = Number(process.env.TWINSTEP_BENCH_ROUNDS ?? '6');
const THROUGHPUT_ROUNDS = 3;
/** No datagrams: with 250 a second COLO does nothing but checkpoints and answers take seconds. */
const CLIENT = { lineMs: 10 } as const;
const ANSWERS = 400;
const ANSWERS_AFTER = 20;
const ANSWER_MS = 60_000;
const TAKEOVER_MS = 10_000;
const BENCH_MS = 180_000;
/** Two of COLO's own intervals between checkpoints (x-checkpoint-delay, 20 s unless told otherwise). */
const IDLE_MS = 40_000;
/** The moment of the crash, anywhere in this time. */
const PHASE_MS = 1_000;

interface Series {
  readonly tcpMs: number[];
  readonly benchS: number[];
}

export interface ColoMeasured {
  readonly alone: Series;
  readonly protected: Series;
  readonly blackoutMs: number[];
  /** Takeovers after which the client's connection was dead, broken or a byte wrong, in words. */
  readonly failed: string[];
  /** The guest stands still: while nobody asks it, and else. */
  readonly pausesMs: { readonly idle: number[]; readonly loaded: number[] };
  readonly idleKbps: number;
  readonly loadedKbps: number[];
}

async function measureAll(guest: PlantGuest, folder: string): Promise<ColoMeasured> {
  const random = seededRandom('colo');
  const series = (): Series => ({ tcpMs: [], benchS: [] });
  const measured = {
    ...{ alone: series(), protected: series(), failed: [] as string[], idleKbps: 0 },
    ...{ blackoutMs: [] as number[], loadedKbps: [] as number[] },
    pausesMs: { idle: [] as number[], loaded: [] as number[] },
  };
  for (let round = 0; round < ROUNDS; round++) {
    const hasBench = round < THROUGHPUT_ROUNDS;
    await aloneRound(guest, folder, measured.alone, hasBench);
    const pair = await ColoPair.start(guest, folder);
    const client = new PlantClient(CLIENT);
    try {
      await client.connect();
      const since = { bytes: linkBytes(), ms: performance.now() };
      await steady(client, measured.protected);
      measured.loadedKbps.push(kbps(since));
      if (hasBench) measured.protected.benchS.push(await guestBenchS(client));
      measured.pausesMs.loaded.push(...pair.primary.pausesMs.splice(0));
      if (round === 0) {
        measured.idleKbps = await idleRate(client);
        measured.pausesMs.idle.push(...pair.primary.pausesMs.splice(0));
      }
      await passed(random.int(PHASE_MS));
      await takeover(pair, client, measured);
    } catch (error) {
      measured.failed.push(`round ${round}: ${(error as Error).message}`);
    } finally {
      client.close();
      await pair.close();
    }
  }
  return measured;
}

async function aloneRound(
  guest: PlantGuest,
  folder: string,
  into: Series,
  hasBench: boolean,
): Promise<void> {
  const qemu = new Qemu(guest, folder, 'alone');
  const client = new PlantClient(CLIENT);
  try {
    await qemu.serving();
    await client.connect();
    await steady(client, into);
    if (hasBench) into.benchS.push(await guestBenchS(client));
  } finally {
    client.close();
    await qemu.close();
  }
}

/** From before the crash until answers flow again. */
async function takeover(
  pair: ColoPair,
  client: PlantClient,
  { blackoutMs }: Pick<ColoMeasured, 'blackoutMs'>,
): Promise<void> {
  await client.window();
  await pair.failOver();
  const facts = await client.answers(ANSWERS_AFTER, TAKEOVER_MS);
  if (client.faults.length > 0) throw new Error(client.faults.join('; '));
  blackoutMs.push(facts.longestGapMs);
}

async function steady(client: PlantClient, into: Series): Promise<void> {
  await client.window();
  const { latenciesMs } = await client.answers(ANSWERS, ANSWER_MS);
  into.tcpMs.push(...latenciesMs);
}

/** The shell benchmark of the guest, wall time, nothing else asked of it. */
async function guestBenchS(client: PlantClient): Promise<number> {
  client.pause();
  const started = performance.now();
  await guestShell('sh /scripts/bench >/dev/null', BENCH_MS);
  const tookS = (performance.now() - started) / 1000;
  client.resume();
  return tookS;
}

async function idleRate(client: PlantClient): Promise<number> {
  client.pause();
  const since = { bytes: linkBytes(), ms: performance.now() };
  await passed(IDLE_MS);
  const rate = kbps(since);
  client.resume();
  return rate;
}

function kbps(since: { readonly bytes: number; readonly ms: number }): number {
  return ((linkBytes() - since.bytes) * 8) / (performance.now() - since.ms);
}

if (process.argv[1]?.endsWith('colo-run.js')) {
  const { guest } = plantOrWhy();
  if (guest === undefined) throw new Error('no guest');
  await enterNamespace();
  makePlant();
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-colo-'));
  try {
    console.log(JSON.stringify(await measureAll(guest, folder)));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  process.exit(0);
}
