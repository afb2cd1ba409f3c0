// The measuring half of clock.bench.ts, in a network namespace: one pair with a Linux guest, a client that asks the
// guest's clock a hundred times a second, and everything that happens to roles. After each, how far the clock is
// from its line five seconds later; and how far it ever was in a quiet time.
import { enterNamespace } from '../harness/netns.ts';
import { other, type Side } from '../twin/network.ts';
import { plantOrWhy } from '../twin/plant-guest.ts';
import { TwinRig } from '../twin/rig.ts';
import { type ClockSample, GuestClockClient } from './guest-clock.ts';

/** What a fault lost is to be made good by then. */
const AFTER_MS = 5_000;
const LOOK_MS = 500;
const CALM_MS = 4 * AFTER_MS;
const QUIET_MS = Number(process.env.TWINSTEP_BENCH_QUIET_S ?? '60') * 1_000;
const STOP_MS = 1_000;
const FAULT_MS = 60_000;

export interface ClockMeasured {
  /** Guest's time beyond its line 5 s after each, and the furthest from it before. */
  readonly after: readonly {
    readonly what: string;
    readonly offMs: number;
    readonly worstMs: number;
    readonly errorMs: number;
  }[];
  /** Furthest from the line in a quiet time, and how long that was. */
  readonly quietMs: number;
  readonly quietS: number;
  readonly backMs: number;
  /** As the primary tells at the end. */
  readonly told: unknown;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const nowMs = () => Number(process.hrtime.bigint()) / 1e6;
const middle = ({ fromMs, toMs }: { fromMs: number; toMs: number }) => (fromMs + toMs) / 2;
/** Nothing less can be said for sure of a sample. */
const atLeast = (line: number, { fromMs, toMs }: ClockSample) =>
  fromMs > line ? line - fromMs : toMs < line ? line - toMs : 0;

async function measured(): Promise<ClockMeasured> {
  const { guest, why } = plantOrWhy();
  if (guest === undefined) throw new Error(why);
  const rig = await TwinRig.make({ guest });
  try {
    await rig.begin('a');
    await rig.client.connect();
    await rig.redundant();
    const clock = new GuestClockClient();
    // What the sync-up cost is made good first: the line is where the guest is when nothing has happened for a while.
    await pause(CALM_MS);
    const line = middle(GuestClockClient.met(clock.between(nowMs() - AFTER_MS, nowMs())));
    const quiet = await quietOff(clock, line);
    const after: ClockMeasured['after'][number][] = [];
    for (const [what, happens] of EVENTS) {
      const startMs = nowMs();
      await happens(rig);
      await pause(AFTER_MS);
      const endMs = nowMs();
      await pause(LOOK_MS);
      const seen = GuestClockClient.met(clock.between(endMs, nowMs()));
      const offs = clock.between(startMs, endMs).map((sample) => atLeast(line, sample));
      const worstMs = offs.reduce((far, off) => (Math.abs(off) > Math.abs(far) ? off : far), 0);
      const errorMs = (seen.toMs - seen.fromMs) / 2;
      after.push({ what, offMs: line - middle(seen), worstMs, errorMs });
      await rig.redundant(FAULT_MS);
      await pause(AFTER_MS);
    }
    const told = rig.boards[rig.primary!].status?.guest.clock;
    clock.close();
    return { after, quietMs: quiet, quietS: QUIET_MS / 1_000, backMs: clock.backMs, told };
  } finally {
    await rig.close();
  }
}

async function quietOff(clock: GuestClockClient, line: number): Promise<number> {
  const startMs = nowMs();
  await pause(QUIET_MS);
  const offs = clock.between(startMs, nowMs()).map((sample) => Math.abs(atLeast(line, sample)));
  return Math.max(...offs);
}

async function taken(rig: TwinRig, from: Side): Promise<void> {
  await rig.until('a takeover', () => rig.primary === other(from), FAULT_MS);
}

async function stopped(rig: TwinRig, side: Side): Promise<void> {
  rig.boards[side].hang();
  await pause(STOP_MS);
  rig.boards[side].wake();
}

type Happens = (rig: TwinRig) => Promise<void>;
/** Each begins with a pair in step; the client's five seconds begin where it returns. */
const EVENTS: readonly (readonly [string, Happens])[] = [
  [
    'crash of the primary',
    async (rig) => {
      const side = rig.primary!;
      rig.boards[side].crash();
      await taken(rig, side);
    },
  ],
  [
    'hand-over',
    async (rig) => {
      const side = rig.primary!;
      await rig.boards[side].ask({ do: 'switch-over' });
      await taken(rig, side);
    },
  ],
  [
    'sync-up',
    async (rig) => {
      rig.boards[other(rig.primary!)].crash();
      await rig.until('the backup is gone', () => !rig.isRedundant, FAULT_MS);
      await rig.redundant();
    },
  ],
  ['SIGSTOP of the primary for 1 s', (rig) => stopped(rig, rig.primary!)],
  ['SIGSTOP of the backup for 1 s', (rig) => stopped(rig, other(rig.primary!))],
];

await enterNamespace();
console.log(JSON.stringify(await measured()));
