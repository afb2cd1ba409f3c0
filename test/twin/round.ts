// One fault and all that must hold around it: it is made, answers go on (or may pause, where the design
// says so), it is mended, both boards come back into step, and the client was told nothing wrong.
import type { SeededRandom } from '../harness/index.ts';
import { joined, type WindowFacts } from './client.ts';
import type { Fault } from './fault.ts';
import { other, type Side } from './network.ts';
import type { TwinRig } from './rig.ts';

export interface RoundResult {
  readonly fault: Fault;
  /** When it was made, and when answers had gone on for long enough to mend it: of performance.now(). */
  readonly madeMs: number;
  readonly mendedMs: number;
  /**
   * Longest time without an answer around the fault itself: until answers flow again, before the lost
   * part is put back. Where the service may pause, until it is back; where the guest started
   * again, until it answered.
   */
  readonly blackoutMs: number;
  /** The same after that, while the lost part comes back into step. */
  readonly rejoinGapMs: number;
  /** The same of datagrams, which are not repeated; null: none are sent. */
  readonly udpBlackoutMs: number | null;
  readonly udpRejoinGapMs: number | null;
  /** Between the faultless answers just before it, for comparison. */
  readonly usualGapMs: number;
  /** From mended (or made, where nothing is to mend) to RUN-Redundant. */
  readonly redundantMs: number;
  readonly tookOver: boolean;
  /** The guest started again, as it may after this fault. */
  readonly restarted: boolean;
  readonly primary: Side;
  /** What was done, in words. */
  readonly told: readonly string[];
}

const ANSWERS = { before: 10, during: 20, after: 10 } as const;
const ANSWER_MS = 20_000;
/** Where the service may pause while the fault lasts. */
const PAUSE_MS = 1_500;
const REDUNDANT_MS = 90_000;

/** Throws, in words, at the first thing that is not as it must be. */
export async function faultRound(
  rig: TwinRig,
  fault: Fault,
  random: SeededRandom,
): Promise<RoundResult> {
  const { client } = rig;
  const primary = await rig.redundant(REDUNDANT_MS);
  await client.window();
  const before = await client.answers(ANSWERS.before, ANSWER_MS);
  const connections = client.connections;
  const madeMs = performance.now();
  const told: string[] = [];
  const tell = (words: string) => told.push(words);
  const mend = await fault.make({ rig, random, primary, backup: other(primary), tell });
  const windows: WindowFacts[] = [];
  const answers = async (count: number, withinMs: number) => {
    windows.push(await client.answers(count, withinMs));
  };
  if (fault.serves) await answers(ANSWERS.during, ANSWER_MS);
  else if (fault.restartsGuest !== true) await answers(ANSWERS.during, PAUSE_MS).catch(() => {});
  const mendedMs = performance.now();
  await mend();
  if (fault.restartsGuest === true) {
    await client.connect();
    await answers(1, ANSWER_MS);
  }
  const outageMs = performance.now() - madeMs;
  const now = await rig.redundant(REDUNDANT_MS);
  const redundantMs = performance.now() - mendedMs;
  await answers(ANSWERS.after, ANSWER_MS);
  client.mayBreak = false;
  if (client.faults.length > 0) throw new Error(`${fault.name}: ${client.faults.join('; ')}`);
  const around = fault.serves ? windows[0]! : joined(windows);
  const restarted = client.connections > connections;
  return {
    ...{ fault, madeMs, mendedMs, redundantMs, primary: now, tookOver: now !== primary },
    udpBlackoutMs: around.udpGapMs,
    blackoutMs: restarted ? outageMs : around.longestGapMs,
    rejoinGapMs: windows.at(-1)?.longestGapMs ?? 0,
    udpRejoinGapMs: windows.at(-1)?.udpGapMs ?? null,
    usualGapMs: before.longestGapMs,
    restarted,
    told,
  };
}
