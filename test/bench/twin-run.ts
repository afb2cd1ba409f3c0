// The measuring half of twin.bench.ts, a program of its own because it must live in a network namespace: one
// pair, everything measured on it one after the other, printed as one line of JSON.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { PlantGuest } from '../guests/plant/plant.ts';
import { seededRandom } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { Chaos } from '../twin/chaos.ts';
import { guestShell, type WindowFacts } from '../twin/client.ts';
import { faultNamed } from '../twin/faults.ts';
import { LOG_INTERFACE, other, type Side } from '../twin/network.ts';
import { plantOrWhy } from '../twin/plant-guest.ts';
import type { TwinRig } from '../twin/rig.ts';
import { quantile } from './frame.ts';
import { tcpPingPong, udpPingPong } from './ping-pong.ts';
import { compilePeer } from './veth.ts';

const ROUNDS = Number(process.env.TWINSTEP_BENCH_ROUNDS ?? '8');
const THROUGHPUT_ROUNDS = 3;
export const FAULTS = [
  'crash of the primary',
  'power cut of the primary',
  'hang of the primary',
  'log cable',
  'front cable of the primary',
  'switch-over',
] as const;
/** The faults named on the command line, else all. */
const CHOSEN = FAULTS.filter((name) => process.argv.length < 3 || process.argv.includes(name));
const QUIET_MS = 5_000;
const SAMPLE_MS = 100;
const ANSWERS = 400;
const ANSWER_MS = 60_000;
const PING_PONGS = 200;
const PING_COUNT = '2000';
const PING_BYTES = '200';

export interface BlackoutMs {
  readonly udp: number[];
  /** As a TCP client sees it, which repeats what was lost. */
  readonly tcp: number[];
  /** While the lost board came back into step. */
  readonly rejoin: number[];
}

export interface Measured {
  readonly blackouts: Readonly<Record<string, BlackoutMs>>;
  readonly benchS: { readonly alone: number[]; readonly protected: number[] };
  /** One small request at a time, p50. */
  readonly udpUs: { readonly alone: number; readonly protected: number };
  readonly tcpUs: { readonly alone: number; readonly protected: number };
  /** A datagram while 100 lines and 250 datagrams a second are asked, p50. */
  readonly busyUs: { readonly alone: number; readonly protected: number };
  readonly linkUs: number;
  readonly idleKbps: number;
  readonly loadedKbps: number;
  readonly lagMs: number[];
  readonly syncUps: { readonly pauseMs: number; readonly totalMs: number }[];
}

async function measureAll(guest: PlantGuest): Promise<Measured> {
  const syncUps: Measured['syncUps'] = [];
  const chaos = await Chaos.start(guest, {
    more: '',
    client: { lineMs: 10, udpMs: 4 },
    onEvent: (_side, { code, data }) => {
      const { pauseMs, totalMs } = data;
      if (code === 'SYNC-DONE' && typeof pauseMs === 'number' && typeof totalMs === 'number')
        syncUps.push({ pauseMs, totalMs });
    },
  });
  try {
    const { rig } = chaos;

    const protectedFacts = await steady(rig);
    const lagMs = await sampled(rig, ({ lagMs: lag }) => lag);
    const loadedKbps = mean(await sampled(rig, ({ logKbps }) => logKbps));
    const idleKbps = await idleRate(rig);
    const linkUs = await rawRoundTripUs(rig);
    const benchS = { alone: [] as number[], protected: [] as number[] };
    let aloneFacts = protectedFacts;
    const single = { protected: await singleUs(rig), alone: { udp: 0, tcp: 0 } };
    for (let round = 0; round < THROUGHPUT_ROUNDS; round++) {
      benchS.protected.push(await guestBenchS(rig));
      const backup = other(await rig.redundant());
      await rig.boards[backup].ask({ do: 'maintenance', on: true });
      await rig.until('alone', () => !rig.isRedundant && rig.primary !== undefined, ANSWER_MS);
      benchS.alone.push(await guestBenchS(rig));
      if (round === 0) {
        aloneFacts = await steady(rig);
        single.alone = await singleUs(rig);
      }
      await rig.boards[backup].ask({ do: 'maintenance', on: false });
      await rig.redundant();
    }
    const p50 = (values: readonly number[]) => quantile(values, 0.5) * 1000;
    return {
      blackouts: await blackouts(chaos),
      ...{ benchS, linkUs, idleKbps, loadedKbps, lagMs, syncUps },
      udpUs: { alone: single.alone.udp, protected: single.protected.udp },
      tcpUs: { alone: single.alone.tcp, protected: single.protected.tcp },
      busyUs: {
        alone: p50(aloneFacts.udpLatenciesMs),
        protected: p50(protectedFacts.udpLatenciesMs),
      },
    };
  } finally {
    await chaos.close();
  }
}

async function blackouts(chaos: Chaos): Promise<Measured['blackouts']> {
  const random = seededRandom('bench');
  const found: Record<string, { udp: number[]; tcp: number[]; rejoin: number[] }> = {};
  for (let round = 0; round < ROUNDS; round++)
    for (const name of CHOSEN) {
      const { blackoutMs, rejoinGapMs, udpBlackoutMs, udpRejoinGapMs } = await chaos.round(
        faultNamed(name),
        random,
      );
      const of = found[name] ?? { udp: [], tcp: [], rejoin: [] };
      found[name] = of;
      of.tcp.push(blackoutMs);
      of.udp.push(udpBlackoutMs ?? blackoutMs);
      of.rejoin.push(udpRejoinGapMs ?? rejoinGapMs);
    }
  return found;
}

async function steady(rig: TwinRig): Promise<WindowFacts> {
  await rig.client.window();
  return await rig.client.answers(ANSWERS, ANSWER_MS);
}

async function singleUs(rig: TwinRig): Promise<{ udp: number; tcp: number }> {
  rig.client.pause();
  const udp = quantile(await udpPingPong(PING_PONGS), 0.5);
  const tcp = quantile(await tcpPingPong(PING_PONGS), 0.5);
  rig.client.resume();
  return { udp, tcp };
}

/** The shell benchmark of the guest, wall time, nothing else asked of it. */
async function guestBenchS(rig: TwinRig): Promise<number> {
  rig.client.pause();
  const started = performance.now();
  await guestShell('sh /scripts/bench >/dev/null', ANSWER_MS);
  const tookS = (performance.now() - started) / 1000;
  rig.client.resume();
  return tookS;
}

/** Of the primary, a while long. */
async function sampled(
  rig: TwinRig,
  of: (status: NonNullable<TwinRig['boards']['a']['status']>) => number | null,
): Promise<number[]> {
  const values: number[] = [];
  for (let ms = 0; ms < QUIET_MS; ms += SAMPLE_MS) {
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
    const status = rig.primary === undefined ? undefined : rig.boards[rig.primary].status;
    const value = status === undefined ? null : of(status);
    if (value !== null) values.push(value);
  }
  return values;
}

/** Nobody asks the guest anything and it writes nothing. */
async function idleRate(rig: TwinRig): Promise<number> {
  rig.client.pause();
  await guestShell('sh /scripts/plant freeze');
  await sampled(rig, () => null);
  const rate = mean(await sampled(rig, ({ logKbps }) => logKbps));
  await guestShell('sh /scripts/plant thaw');
  rig.client.resume();
  return rate;
}

/** A bare frame there and back between two C programs on the same link, while the boards use it. */
async function rawRoundTripUs({ network }: TwinRig): Promise<number> {
  const program = compilePeer('packet-ping');
  const start = (side: Side, ...args: string[]) => {
    const inside = ['--net', '--target', String(network.boards[side].pid), program, LOG_INTERFACE];
    return spawn('nsenter', [...inside, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  };
  const echo = start('b', 'echo');
  try {
    await once(echo.stderr, 'data');
    const [line] = await once(start('a', PING_COUNT, PING_BYTES).stdout, 'data');
    return (JSON.parse(String(line)) as { p50: number }).p50;
  } finally {
    echo.kill('SIGKILL');
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

if (process.argv[1]?.endsWith('twin-run.js')) {
  const { guest } = plantOrWhy();
  if (guest === undefined) throw new Error('no guest');
  await enterNamespace();
  console.log(JSON.stringify(await measureAll(guest)));
  process.exit(0);
}
