// Starts that find something missing: a cable, the other board, the serial port, or the board itself
// running already. A board comes up whatever is missing, says what it waits for, and takes what comes
// later as it is: without another start.
import type { Role } from '../../watchdog/arbiter-types.ts';
import {
  alone,
  double,
  type Fault,
  type FaultContext,
  pathIs,
  planned,
  START_MS,
  takenOver,
  waits,
} from './fault.ts';
import { other, SIDES, type Side } from './network.ts';
import type { TwinRig } from './rig.ts';

/** On a machine that others use as well it may be long before a program runs. */
const SECOND_MS = 30_000;

export const STARTS: readonly Fault[] = [
  // Costs one takeover; the board that comes back stays outside until its cable is in.
  double(
    'power cut of the primary, back without log cable',
    async (at) => {
      const { rig, primary } = at;
      await rig.cutPower(primary);
      await takenOver(at);
      rig.network.pull('log', primary);
      await rig.restorePower(primary);
      await is(rig, primary, 'target');
      return inOneLife(rig, primary, () => rig.network.mend('log', primary));
    },
    { serves: true },
  ),
  // Costs nothing but the redundancy.
  double(
    'backup started without log and front cable',
    async (at) => {
      const { rig, backup } = at;
      await rig.cutPower(backup);
      await alone(at, at.primary);
      rig.network.pull('log', backup);
      rig.network.pull('front', backup);
      await rig.restorePower(backup);
      await is(rig, backup, 'target');
      return inOneLife(rig, backup, async () => {
        await rig.network.mend('log', backup);
        await rig.network.mend('front', backup);
      });
    },
    { serves: true },
  ),
  // Costs nothing: with two paths left it comes into step.
  double(
    'backup started without its serial port',
    async (at) => {
      const { rig, backup } = at;
      const board = rig.boards[backup];
      await rig.cutPower(backup);
      await alone(at, at.primary);
      board.plugSerialPort(false);
      await rig.restorePower(backup);
      await is(rig, backup, 'backup');
      return inOneLife(rig, backup, async () => {
        board.plugSerialPort(true);
        await pathIs(rig, 'serial', 'talks');
      });
    },
    { serves: true },
  ),
  // The next two cost the memory of the guest, which starts anew: nobody holds it any more.
  double(
    'power cut of both, one comes back alone',
    async ({ rig, random }) => {
      rig.client.mayBreak = true;
      await rig.cutPower(...SIDES);
      const first = random.pick(SIDES);
      await rig.restorePower(first);
      await rig.until(`board ${first} waits, and says for what`, () => waits(rig, first), START_MS);
      return inOneLife(rig, first, () => rig.restorePower(other(first)));
    },
    { restartsGuest: true },
  ),
  double(
    'power cut of both, both back at once',
    async ({ rig }) => {
      rig.client.mayBreak = true;
      await rig.cutPower(...SIDES);
      return () => rig.restorePower(...SIDES);
    },
    { restartsGuest: true },
  ),
  planned('a second start on the primary', (at) => secondStart(at, at.primary)),
  planned('a second start on the backup', (at) => secondStart(at, at.backup)),
];

function is(rig: TwinRig, side: Side, role: Role): Promise<void> {
  const isSo = () => rig.boards[side].status?.role === role;
  return rig.until(`board ${side} comes up and is ${role}`, isSo, START_MS);
}

/** Mends, and holds the board to it that it comes into step in the life it has now. */
function inOneLife(rig: TwinRig, side: Side, mend: () => Promise<void>) {
  const { status } = rig.boards[side];
  return async () => {
    await mend();
    await rig.redundant();
    const { boot } = rig.boards[side].status?.board ?? {};
    if (boot !== status?.board.boot) throw new Error(`board ${side} took another start`);
  };
}

/** What nothing but a death explains; and what a board that stood still may bring about as well. */
const DEATH = /^(PEER-DEAD|PEER-SEEN|BOARD-DIED|BOARD-STARTED|TAKEOVER-BEGUN|ROLE-PROMOTING)$/;
const DISTURBED = /^(ROLE-|PAIR-STATE)/;

/** Nothing but a refusal, in one line: the pair must not notice. */
async function secondStart({ rig }: FaultContext, side: Side) {
  const before = SIDES.map((at) => rig.boards[at].events.length);
  const { code, words } = await rig.boards[side].startAgain(SECOND_MS);
  const lines = words.trim().split('\n');
  if (code !== 1 || lines.length !== 1 || lines[0] === '')
    throw new Error(`a second start on board ${side} ended with ${code}, saying:\n${words}`);
  return () => {
    const told = SIDES.flatMap((at, i) => rig.boards[at].events.slice(before[i]));
    // The processor may be needed elsewhere for a while, on a machine that others use as well.
    const isStalled = told.some(({ code: what }) => what === 'BOARD-STALLED');
    const disturbed = told.filter(
      ({ code: what }) => DEATH.test(what) || (DISTURBED.test(what) && !isStalled),
    );
    if (disturbed.length > 0)
      throw new Error(
        `after a second start on board ${side}: ${disturbed.map(({ text }) => text).join('; ')}`,
      );
  };
}
