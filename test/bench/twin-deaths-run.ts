// The measuring half of twin-deaths.bench.ts, a program of its own because it must live in a network namespace: a primary
// that dies in pieces, again and again, printed as one line of JSON.
//   TWINSTEP_BENCH_DEATHS=N, @default 200
import { seededRandom } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { Chaos } from '../twin/chaos.ts';
import { faultNamed } from '../twin/faults.ts';
import { SIDES } from '../twin/network.ts';
import { plantOrWhy } from '../twin/plant-guest.ts';
import type { TwinRig } from '../twin/rig.ts';
import type { RoundResult } from '../twin/round.ts';
import { Bystanders, monotonicMs } from './bystanders.ts';
import { quantile } from './frame.ts';

const ANSWERS = 30;
const SETTLED_MS = 100;
const SETTLED_LAG_MS = 30;
const SETTLE_MS = 30_000;
/** What takes longer is told with all that both boards said. */
const TOLD_MS = 200;
const DEATHS = Number(process.env.TWINSTEP_BENCH_DEATHS ?? '200');

export interface DeathsMeasured {
  /** Longest time without an answer to a datagram, a death each, from its first piece on. */
  readonly blackoutMs: readonly number[];
  /** The longest that a processor stood still for everybody meanwhile (bystanders.ts): no doing of the boards. */
  readonly machineMs: readonly number[];
  readonly tcpMs: readonly number[];
  /** The service went on by itself, with the connection it had. */
  readonly wentOn: number;
  readonly seed: number;
}

async function measure(): Promise<DeathsMeasured> {
  const { guest, why } = plantOrWhy();
  if (guest === undefined) throw new Error(why);
  await enterNamespace();
  const random = seededRandom('deaths');
  const chaos = await Chaos.start(guest, {
    ...{ more: '', ways: { overFront: true } },
    client: { lineMs: 10, udpMs: 4 },
  });
  const fault = faultNamed('death in pieces of the primary');
  const bystanders = new Bystanders();
  const machineMs: number[] = [];
  try {
    for (let n = 1; n <= DEATHS; n++) {
      await settled(chaos.rig);
      const round = await chaos.round(fault, random);
      const { restarted, madeMs, mendedMs } = round;
      const offsetMs = monotonicMs() - performance.now();
      const stalledMs = bystanders.longestMs(madeMs + offsetMs, mendedMs + offsetMs);
      machineMs.push(stalledMs);
      const words = `${inWords(round, chaos.rig)}; the machine stood still for ${stalledMs.toFixed(0)} ms`;
      process.stderr.write(`death ${n} of ${DEATHS}: ${words}\n`);
      if ((round.udpBlackoutMs ?? 0) > TOLD_MS) process.stderr.write(`${chaos.rig.words()}\n`);
      if (restarted) throw new Error(`death ${n}: the guest began anew`);
    }
    const { results } = chaos;
    return {
      blackoutMs: results.map(({ udpBlackoutMs }) => udpBlackoutMs ?? 0),
      machineMs,
      tcpMs: results.map(({ blackoutMs }) => blackoutMs),
      wentOn: results.filter(({ tookOver }) => tookOver).length,
      seed: random.seed,
    };
  } finally {
    bystanders.close();
    await chaos.close();
  }
}

/** What was lost when, and how the other board came to lead: milliseconds. */
function inWords({ udpBlackoutMs, told, primary }: RoundResult, rig: TwinRig): string {
  // Between two reigns nobody says that it leads.
  const { cause, timeline } = rig.boards[primary]?.status?.lastTakeover ?? {};
  const { silenceMs, gateMs, liveMs, firstOutputMs } = timeline ?? {};
  const times = [silenceMs, gateMs, liveMs, firstOutputMs].map((ms) => ms?.toFixed(0) ?? '-');
  return `${udpBlackoutMs?.toFixed(0)} ms; lost at ${told.join(', ')}; ${cause}, silence, gate, live, first output ${times.join(' ')}`;
}

/**
 * A guest that was slowed down for its new backup has datagrams of a whole second to answer first, and the backup
 * comes nearer for a while; neither is the death's.
 */
async function settled(rig: TwinRig): Promise<void> {
  const endMs = performance.now() + SETTLE_MS;
  for (;;) {
    await rig.client.window();
    const { udpLatenciesMs } = await rig.client.answers(ANSWERS, SETTLE_MS);
    const isQuick = udpLatenciesMs.length > 0 && quantile(udpLatenciesMs, 0.99) < SETTLED_MS;
    const lagMs = Math.max(...SIDES.map((side) => rig.boards[side].status?.lagMs ?? 0));
    if (isQuick && lagMs < SETTLED_LAG_MS) return;
    if (performance.now() > endMs) throw new Error(`the guest does not catch up: lag ${lagMs} ms`);
  }
}

console.log(JSON.stringify(await measure()));
