// The measuring half of twin-ways.bench.ts, a program of its own because it must live in a network namespace: pairs
// whose log has several ways, cables pulled and plugged in again, printed as one line of JSON.
//   TWINSTEP_BENCH_ROUNDS=N, @default 8
import { readFileSync } from 'node:fs';
import type { PlantGuest } from '../guests/plant/plant.ts';
import { enterNamespace } from '../harness/netns.ts';
import type { LogWays } from '../twin/board.ts';
import { Chaos } from '../twin/chaos.ts';
import { port, SIDES } from '../twin/network.ts';
import { plantOrWhy } from '../twin/plant-guest.ts';
import type { TwinRig } from '../twin/rig.ts';
import { quantile } from './frame.ts';

const ROUNDS = Number(process.env.TWINSTEP_BENCH_ROUNDS ?? '8');
const ANSWERS = { quiet: 100, around: 60, rate: 400 } as const;
const ANSWER_MS = 60_000;
const CHANGE_MS = 5_000;
/** Good for five seconds, and a little. */
const BACK_MS = 15_000;
const IDLE_MS = 20_000;

export interface WaysMeasured {
  /** Longest time without an answer to a datagram, a round each. */
  readonly pulledMs: number[];
  /** The same while the log goes back to its cable. */
  readonly backMs: number[];
  /** Without any fault, for comparison. */
  readonly usualMs: number[];
  /** A datagram there and back, p50, while the log goes over the cable and over the way after it. */
  readonly latencyUs: { readonly cable: number; readonly spare: number };
  readonly logKbps: { readonly cable: number; readonly spare: number };
  /** Sync-ups and losses of redundancy since the pair came into step. */
  readonly syncUps: number;
  readonly lost: number;
  /** On the cable of a second card that carries nothing, both directions, in bits a second; null: there is none. */
  readonly idleBps: number | null;
}

export interface AllWays {
  readonly front: WaysMeasured;
  readonly cards: WaysMeasured;
}

async function measure(guest: PlantGuest, ways: LogWays): Promise<WaysMeasured> {
  const counts = { syncUps: 0, lost: 0 };
  const chaos = await Chaos.start(guest, {
    ...{ more: '', ways, client: { lineMs: 10, udpMs: 4 } },
    onEvent: (_side, { code }) => {
      if (code === 'SYNC-DONE') counts.syncUps++;
      if (code === 'REDUNDANCY-LOST') counts.lost++;
    },
  });
  try {
    const { rig } = chaos;
    const before = { ...counts };
    const idleBps = ways.secondCard === true ? await idleRate(rig) : null;
    const [pulledMs, backMs, usualMs]: number[][] = [[], [], []];
    const onCable = await steady(rig);
    let onSpare = onCable;
    for (let round = 0; round < ROUNDS; round++) {
      usualMs!.push((await window(rig, ANSWERS.quiet)).udpGapMs ?? 0);
      await rig.client.window();
      rig.network.pull('log', 'a');
      await rig.until('the next way', () => goesOver(rig, 1), CHANGE_MS);
      pulledMs!.push((await rig.client.answers(ANSWERS.around, ANSWER_MS)).udpGapMs ?? 0);
      if (round === 0) onSpare = await steady(rig);
      await rig.network.mend('log', 'a');
      await rig.client.window();
      await rig.until('back on the cable', () => goesOver(rig, 0), BACK_MS);
      backMs!.push((await rig.client.answers(ANSWERS.around, ANSWER_MS)).udpGapMs ?? 0);
    }
    return {
      ...{ pulledMs: pulledMs!, backMs: backMs!, usualMs: usualMs!, idleBps },
      latencyUs: { cable: onCable.latencyUs, spare: onSpare.latencyUs },
      logKbps: { cable: onCable.logKbps, spare: onSpare.logKbps },
      syncUps: counts.syncUps - before.syncUps,
      lost: counts.lost - before.lost,
    };
  } finally {
    await chaos.close();
  }
}

/** Both boards send the log over this way. */
function goesOver(rig: TwinRig, way: number): boolean {
  return SIDES.every((side) => rig.boards[side].status?.link.paths[way]?.state === 'in-use');
}

async function window(rig: TwinRig, answers: number) {
  await rig.client.window();
  return await rig.client.answers(answers, ANSWER_MS);
}

async function steady(rig: TwinRig): Promise<{ latencyUs: number; logKbps: number }> {
  const { udpLatenciesMs } = await window(rig, ANSWERS.rate);
  const { primary } = rig;
  const logKbps = primary === undefined ? 0 : (rig.boards[primary].status?.logKbps ?? 0);
  return { latencyUs: quantile(udpLatenciesMs, 0.5) * 1000, logKbps };
}

/** Of what the second card says and hears, by the counters of our end of its cable. */
async function idleRate(rig: TwinRig): Promise<number> {
  await rig.redundant();
  const bytes = () => {
    // Of this namespace; /sys shows that in which it was mounted.
    const lines = readFileSync('/proc/net/dev', 'utf8').split('\n');
    const line = lines.find((one) => one.trim().startsWith(`${port('log2', 'a')}:`)) ?? '';
    const counters = line.replace(/^.*:/, '').trim().split(/\s+/).map(Number);
    const [heard = Number.NaN] = counters;
    return heard + (counters[8] ?? Number.NaN);
  };
  const [before, startMs] = [bytes(), performance.now()];
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
  return ((bytes() - before) * 8) / ((performance.now() - startMs) / 1000);
}

if (process.argv[1]?.endsWith('twin-ways-run.js')) {
  const { guest } = plantOrWhy();
  if (guest === undefined) throw new Error('no guest');
  await enterNamespace();
  const front = await measure(guest, { overFront: true });
  const cards = await measure(guest, { secondCard: true });
  console.log(JSON.stringify({ front, cards } satisfies AllWays));
  process.exit(0);
}
