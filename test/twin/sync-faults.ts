// A board dies while one brings the other into step: who is brought, or who brings, in each phase of the sync-up. The
// phase is what the leader itself says, asked again and again; how long the long ones last is set by the rate an
// operator may set. What is over sooner than an answer comes is tried again.
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Status } from '../../firmware/board/status.ts';
import { readJournal } from '../guests/plant/journal.ts';
import type { BoardUnderTest } from './board.ts';
import { guestShell } from './client.ts';
import { alone, double, type Fault, type FaultContext, START_MS, single, waits } from './fault.ts';
import { SIDES, type Side } from './network.ts';
import { end } from './processes.ts';

type Sync = Status['sync'];

interface Moment {
  readonly words: string;
  readonly isNow: (sync: Sync) => boolean;
  /** MiB a second; 0: as fast as it goes. */
  readonly mibS: number;
  /** What the target remembers of its disks is lost before. */
  readonly forgets?: boolean;
  /** The guest writes memory all the time, so that there is much left to send when it stops. */
  readonly hasRest?: boolean;
}

/** Slow enough for all that is compared or copied to last for seconds, and fast enough not to last for a minute. */
const SLOW_MIB_S = 4;
/** The guest writes its rest once more in every round, so that all of it is left when it stops. */
const STEADY_MIB_S = 16;
/** Of the phases that no rate makes longer. */
const TRIES_MAX = 12;
/** Below what a rest may be (sync-plan.ts), rewritten where it is. */
const REST = {
  begin:
    'dd if=/dev/urandom of=/rest bs=64k count=96 2>/dev/null; ' +
    '(while dd if=/rest of=/rest-copy bs=64k conv=notrunc; do :; done) </dev/null >/dev/null 2>&1 &',
  end: 'rm -f /rest; sleep 1; rm -f /rest-copy',
} as const;
const SYNC_MS = 60_000;
/** Of answers, when a board dies that nobody waits for. It would be two seconds if somebody did (limits.ts). */
const GAP_MS = 1_000;
const ANSWERS = { count: 50, withinMs: 20_000 } as const;
/** In the order in which they come. */
const PHASES: readonly Sync['phase'][] = ['disks', 'memory', 'stopping', 'adopting'];

const isIn = (phase: Sync['phase']) => (sync: Sync) => sync.phase === phase;
const compares = (what: Sync['kind']) => (sync: Sync) =>
  // Known from when it is known how much there is.
  sync.phase === 'disks' && sync.kind === what && sync.totalBytes > 0;

const MOMENTS: readonly Moment[] = [
  { words: 'all of the disks', isNow: compares('everything'), mibS: SLOW_MIB_S, forgets: true },
  { words: 'what changed', isNow: compares('changes'), mibS: SLOW_MIB_S },
  { words: 'memory', isNow: isIn('memory'), mibS: SLOW_MIB_S },
  { words: 'stopping', isNow: isIn('stopping'), mibS: STEADY_MIB_S, hasRest: true },
  { words: 'adopting', isNow: isIn('adopting'), mibS: 0 },
];

export const SYNC_FAULTS: readonly Fault[] = [
  ...MOMENTS.map((moment) =>
    single(`target dies in sync-up: ${moment.words}`, (at) => targetDies(at, moment)),
  ),
  // Nobody else is in step: this costs the memory of the guest, which starts anew.
  ...MOMENTS.map((moment) =>
    double(`source dies in sync-up: ${moment.words}`, (at) => sourceDies(at, moment), {
      restartsGuest: true,
    }),
  ),
];

/** Costs nothing: the guest goes on, and the next sync-up is the last. */
async function targetDies(at: FaultContext, moment: Moment) {
  const { rig, primary, backup: target, tell } = at;
  const { client } = rig;
  const source = rig.boards[primary];
  await diesWhen(at, target, moment);
  const { longestGapMs } = await client.answers(ANSWERS.count, ANSWERS.withinMs);
  tell(`longest pause ${longestGapMs.toFixed(0)} ms`);
  if (longestGapMs > GAP_MS)
    throw new Error(`no answer for ${longestGapMs.toFixed(0)} ms when the target died`);
  await rig.until('the source gives up', () => source.status?.role === 'solo', START_MS);
  if (moment.hasRest === true) await guestShell(REST.end);
  return async () => {
    await source.ask({ do: 'sync-rate', mibS: 0 });
    const before = source.events.length;
    await rig.restorePower(target);
    await rig.redundant();
    // Of its beginnings people are not told each.
    const begun = source.events.slice(before).filter(({ code }) => code === 'ROLE-SOURCE').length;
    if (begun !== 1 || rig.primary !== primary)
      throw new Error(`in step after ${begun} sync-ups, and board ${rig.primary} leads`);
  };
}

/** What the client was told of is on the disk of who led, and nobody but it may lead: the other has older state. */
async function sourceDies(at: FaultContext, moment: Moment) {
  const { rig, primary, backup: target, tell } = at;
  const { client } = rig;
  client.mayBreak = true;
  await diesWhen(at, primary, moment);
  const before = rig.boards[target].events.length;
  const { journal: told } = await client.window();
  tell(`record ${told}`);
  hasRecord(rig.boards[primary], told);
  // Time enough for a reign that must not be.
  await rig.until(`board ${target} waits, and says for what`, () => waits(rig, target), START_MS);
  return async () => {
    await rig.restorePower(primary);
    await rig.redundant();
    const reigns = rig.boards[target].events
      .slice(before)
      .filter(({ code }) => code === 'ROLE-PROMOTING');
    if (reigns.length > 0 || rig.primary !== primary)
      throw new Error(`board ${target} led from before: ${reigns.map(({ text }) => text)}`);
    for (const side of SIDES) hasRecord(rig.boards[side], told);
  };
}

function hasRecord({ side, disks }: BoardUnderTest, told: number): void {
  const { last } = readJournal(disks.journal);
  if (last < told)
    throw new Error(`the client was told of record ${told}, board ${side} has ${last} on its disk`);
}

/** A sync-up is begun, and a board ended in this phase of it. */
async function diesWhen(at: FaultContext, dies: Side, moment: Moment): Promise<void> {
  const { rig, primary, backup: target, tell } = at;
  const source = rig.boards[primary];
  await source.ask({ do: 'sync-rate', mibS: moment.mibS });
  if (moment.hasRest === true) await guestShell(REST.begin);
  for (let n = 1; n <= TRIES_MAX; n++) {
    await rig.cutPower(target);
    await alone(at, primary);
    if (moment.forgets === true) forgetChanges(rig.boards[target]);
    await rig.restorePower(target);
    await rig.until('a sync-up', () => reached(source.status?.sync) >= 0, SYNC_MS);
    // Before the moment: to look for them takes time.
    const { processes } = rig.boards[dies];
    // What the client is told from here on.
    await rig.client.window();
    if (await comes(source, moment)) {
      for (const pid of processes) end(pid);
      await rig.cutPower(dies);
      tell(`in sync-up ${n}`);
      await assertNotInStep(rig.boards[dies === target ? primary : target]);
      return;
    }
    await rig.redundant();
  }
  throw new Error(`not seen in ${TRIES_MAX} sync-ups: ${moment.words}`);
}

/** Who is left and was in step by then is right to do something else. */
async function assertNotInStep(left: BoardUnderTest): Promise<void> {
  const { role } = await left.askStatus();
  if (role !== 'source' && role !== 'target')
    throw new Error(`too late: board ${left.side} is ${role} already`);
}

/** What it remembers of its disks is lost; it must be off. */
function forgetChanges(board: BoardUnderTest): void {
  const state = board.path('state');
  for (const name of readdirSync(state))
    if (name.startsWith('disk-changes-')) rmSync(join(state, name));
}

/** As soon as it is so; false: it is over. */
async function comes(source: BoardUnderTest, { isNow }: Moment): Promise<boolean> {
  for (;;) {
    const { sync, role } = await source.askStatus();
    if (isNow(sync)) return true;
    if (role !== 'source') return false;
  }
}

const reached = (sync: Sync | undefined): number => PHASES.indexOf(sync?.phase ?? 'none');
