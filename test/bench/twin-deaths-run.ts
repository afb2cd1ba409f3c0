// The measuring half of twin-deaths.bench.ts, a program of its own because it must live in a network namespace: a primary
// that dies in pieces, again and again, printed as one line of JSON.
//   TWINSTEP_BENCH_DEATHS=N, @default 200
import { seededRandom } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { Chaos } from '../twin/chaos.ts';
import { faultNamed } from '../twin/faults.ts';
import { plantOrWhy } from '../twin/plant-guest.ts';

const DEATHS = Number(process.env.TWINSTEP_BENCH_DEATHS ?? '200');

export interface DeathsMeasured {
  /** Longest time without an answer to a datagram, a death each, from its first piece on. */
  readonly blackoutMs: readonly number[];
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
  try {
    for (let n = 1; n <= DEATHS; n++) {
      const { udpBlackoutMs, restarted } = await chaos.round(fault, random);
      process.stderr.write(`death ${n} of ${DEATHS}: ${udpBlackoutMs?.toFixed(0)} ms\n`);
      if (restarted) throw new Error(`death ${n}: the guest began anew`);
    }
    const { results } = chaos;
    return {
      blackoutMs: results.map(({ udpBlackoutMs }) => udpBlackoutMs ?? 0),
      tcpMs: results.map(({ blackoutMs }) => blackoutMs),
      wentOn: results.filter(({ tookOver }) => tookOver).length,
      seed: random.seed,
    };
  } finally {
    await chaos.close();
  }
}

console.log(JSON.stringify(await measure()));
