// Every fault the twin is put through: how it is made, what it may cost, how it is mended. A fault is
// over when both boards say RUN-Redundant again, without a human hand.
import { guestShell } from './client.ts';
import {
  alone,
  both,
  double,
  type Fault,
  type FaultContext,
  nothing,
  pathIs,
  planned,
  START_MS,
  single,
  soloSomewhere,
  TAKEOVER_MS,
  takenOver,
} from './fault.ts';
import type { Side } from './network.ts';
import { STARTS } from './start-faults.ts';
import { SYNC_FAULTS } from './sync-faults.ts';

const BOARDS: readonly Fault[] = [
  single('crash of the primary', async (at) => {
    at.rig.boards[at.primary].crash();
    await takenOver(at);
    return nothing;
  }),
  single('crash of the backup', async (at) => {
    at.rig.boards[at.backup].crash();
    await alone(at, at.primary);
    return nothing;
  }),
  single('hang of the primary', async (at) => {
    at.rig.boards[at.primary].hang();
    await takenOver(at);
    // Its watchdog ends it; nobody wakes it.
    return nothing;
  }),
  single('hang of the backup', async (at) => {
    at.rig.boards[at.backup].hang();
    await alone(at, at.primary);
    return nothing;
  }),
  single('power cut of the primary', async (at) => {
    await at.rig.cutPower(at.primary);
    await takenOver(at);
    return () => at.rig.restorePower(at.primary);
  }),
  single('power cut of the backup', async (at) => {
    await at.rig.cutPower(at.backup);
    await alone(at, at.primary);
    return () => at.rig.restorePower(at.backup);
  }),
  single('death in pieces of the primary', async (at) => {
    const mend = await dieInPieces(at, at.primary);
    await takenOver(at);
    return mend;
  }),
  single('death in pieces of the backup', async (at) => {
    const mend = await dieInPieces(at, at.backup);
    await alone(at, at.primary);
    return mend;
  }),
  single('a short hang of the primary', (at) => nap(at, at.primary)),
  single('a short hang of the backup', (at) => nap(at, at.backup)),
];

/**
 * A board that loses power, is pulled out of its rack or whose kernel falls over: carriers, serial line and
 * processor go one after the other, in any order, within half a second; then all of it is gone.
 */
async function dieInPieces({ rig, random, tell }: FaultContext, side: Side) {
  const pieces: [string, () => unknown][] = [
    ['log', () => rig.network.pull('log', side)],
    ['front', () => rig.network.pull('front', side)],
    ['serial', () => rig.serial.set('cut')],
    ['processor', () => rig.boards[side].hang()],
  ];
  const windowMs = random.int(DEATH_MS);
  const order = pieces
    .map(([name, lose]) => ({ name, lose, at: random.float() }))
    .sort((a, b) => a.at - b.at);
  const gone = order.slice(0, 1 + random.int(pieces.length));
  const atMs = gone.map(() => random.int(windowMs + 1)).sort((a, b) => a - b);
  const begunMs = performance.now();
  const waitUntil = (ms: number) =>
    new Promise((resolve) => setTimeout(resolve, Math.max(0, begunMs + ms - performance.now())));
  const sinceMs = () => (performance.now() - begunMs).toFixed(0);
  for (const [n, { name, lose }] of gone.entries()) {
    await waitUntil(atMs[n]!);
    await lose();
    tell(`${name} ${sinceMs()}`);
  }
  await waitUntil(windowMs);
  tell(`all ${sinceMs()}`);
  return powerOff(rig, side);
}

/** The last piece. */
async function powerOff(rig: FaultContext['rig'], side: Side) {
  await rig.cutPower(side);
  // A cable carries when both its ends have power.
  return async () => {
    const { network } = rig;
    const cables = [
      network.mend('log', side),
      network.mend('front', side),
      rig.serial.set('whole'),
    ];
    await Promise.all([...cables, rig.restorePower(side)]);
  };
}

/** The log goes on over the front LAN. */
const LOG_GOES_ROUND: Fault = single('log cable, with another way for the log', async ({ rig }) => {
  rig.network.pull('log', 'a');
  const goesRound = (side: Side) => rig.boards[side].status?.link.paths[1]?.state === 'in-use';
  await rig.until('the log goes another way', () => goesRound('a') && goesRound('b'), START_MS);
  return () => rig.network.mend('log', 'a');
});

/** A hand pulls log, front and serial cable of the primary, in any order, and its power last: two seconds in all. */
export const PLUGS: Fault = single('plugs of the primary pulled one by one', async (at) => {
  const { rig, random, primary } = at;
  const plugs = [
    () => rig.network.pull('log', primary),
    () => rig.network.pull('front', primary),
    () => rig.serial.set('cut'),
  ];
  while (plugs.length > 0) {
    const [pull] = plugs.splice(random.int(plugs.length), 1);
    await pull!();
    await new Promise((resolve) => setTimeout(resolve, random.int(HAND_MS / 3)));
  }
  const mend = await powerOff(rig, primary);
  await takenOver(at);
  return mend;
});

const HAND_MS = 2_000;

/** Of a pair whose log also goes over the front LAN. */
const WITH_WAYS: readonly Fault[] = [LOG_GOES_ROUND, PLUGS];

/** All of it within this time (docs/PROMISES.md); the arbiter waits for longer. */
const DEATH_MS = 500;

/** Stands still for 20 to 400 ms and goes on: too short for the watchdog, long enough to be missed. */
async function nap({ rig, random }: FaultContext, side: Side) {
  rig.boards[side].hang();
  await new Promise((resolve) => setTimeout(resolve, 20 + random.int(380)));
  rig.boards[side].wake();
  return nothing;
}

const CABLES: readonly Fault[] = [
  single('log cable', async (at) => {
    at.rig.network.pull('log', 'a');
    await at.rig.until('RUN-Solo', () => soloSomewhere(at.rig), TAKEOVER_MS);
    return () => at.rig.network.mend('log', 'a');
  }),
  single('serial cable', async ({ rig }) => {
    await rig.serial.set('cut');
    await pathIs(rig, 'serial', 'silent');
    return async () => {
      await rig.serial.set('whole');
      await pathIs(rig, 'serial', 'talks');
    };
  }),
  single('front cable of the primary', async (at) => {
    at.rig.network.pull('front', at.primary);
    await takenOver(at);
    return () => at.rig.network.mend('front', at.primary);
  }),
  single('front cable of the backup', async ({ rig, backup }) => {
    rig.network.pull('front', backup);
    await pathIs(rig, 'front', 'silent');
    return async () => {
      await rig.network.mend('front', backup);
      await pathIs(rig, 'front', 'talks');
    };
  }),
  single('log link one way', async ({ rig, random }) => {
    const side = random.pick(['a', 'b'] as const);
    await rig.network.spoil('log', side, { lost: 'out' });
    await rig.until('RUN-Solo', () => soloSomewhere(rig), TAKEOVER_MS);
    return () => rig.network.mend('log', side);
  }),
  single('serial line one way', async ({ rig, random }) => {
    await rig.serial.set(random.pick(['a-to-b', 'b-to-a'] as const));
    await pathIs(rig, 'serial', 'silent');
    return () => rig.serial.set('whole');
  }),
  // Half of a front cable: the board is heard but does not hear.
  single('front cable of the primary, inwards', async (at) => {
    await at.rig.network.spoil('front', at.primary, { lost: 'in' });
    await takenOver(at);
    return () => at.rig.network.mend('front', at.primary);
  }),
  single('losses and wrong order on the log link', async ({ rig, random }) => {
    const ppm = () => 1_000 + random.int(40_000);
    const trouble = { lossPpm: ppm(), repeatPpm: ppm(), reorderPpm: ppm() };
    await rig.network.spoil('log', 'a', { ...trouble, seed: random.u32() });
    return () => rig.network.mend('log', 'a');
  }),
  single('the gateway is gone', async ({ rig }) => {
    rig.network.gateway(false);
    const isSilent = () => rig.boards.a.status?.witness.answers === false;
    await rig.until('the witness is silent', isSilent, START_MS);
    return () => rig.network.gateway(true);
  }),
];

const DISKS: readonly Fault[] = [
  single('disk of the primary full', (at) => fullDisk(at, at.primary)),
  single('disk of the backup full', (at) => fullDisk(at, at.backup)),
  single('disk of the primary fails', (at) => failingDisk(at, at.primary)),
  single('disk of the backup fails', (at) => failingDisk(at, at.backup)),
];

const TAPS: readonly Fault[] = [
  single('TAP of the primary deleted', async (at) => {
    at.rig.network.deleteTap(at.primary);
    await takenOver(at);
    return () => at.rig.network.addTap(at.primary);
  }),
  single('TAP of the backup deleted', async (at) => {
    at.rig.network.deleteTap(at.backup);
    await alone(at, at.primary);
    return () => at.rig.network.addTap(at.backup);
  }),
];

/** The board's file system has no room, and the guest wants some. */
async function fullDisk({ rig }: FaultContext, side: Side) {
  rig.boards[side].fillDisk();
  await guestShell(
    'dd if=/dev/urandom of=/mnt/big bs=16k count=24 2>/dev/null; sync; rm -f /mnt/big; sync',
  );
  return () => rig.boards[side].emptyDisk();
}

/** Writes behind the first 64 KiB of every file fail (by a resource limit of the process). */
async function failingDisk({ rig }: FaultContext, side: Side) {
  const board = rig.boards[side];
  const pid = board.boardPid();
  board.failWritesBeyond(64 << 10, pid);
  await guestShell('sync; echo; sync');
  // Another process of the board has no such limit.
  return () => board.failWritesBeyond(undefined, pid);
}

const PAIRS: readonly Fault[] = [
  double('log and serial cable', async ({ rig }) => {
    rig.network.pull('log', 'a');
    await rig.serial.set('cut');
    return both(
      () => rig.network.mend('log', 'a'),
      () => rig.serial.set('whole'),
    );
  }),
  double('log cable and front of the primary', (at) => logAndFront(at, at.primary)),
  double('log cable and front of the backup', (at) => logAndFront(at, at.backup)),
  double('serial and front of the primary', (at) => serialAndFront(at, at.primary)),
  double('serial and front of the backup', (at) => serialAndFront(at, at.backup)),
  double('both front cables', async ({ rig }) => {
    for (const side of ['a', 'b'] as const) rig.network.pull('front', side);
    await pathIs(rig, 'front', 'silent');
    return async () => {
      for (const side of ['a', 'b'] as const) await rig.network.mend('front', side);
    };
  }),
  double('crash of the primary without a serial line', async (at) => {
    await at.rig.serial.set('cut');
    at.rig.boards[at.primary].crash();
    await takenOver(at);
    return () => at.rig.serial.set('whole');
  }),
  double(
    'power cut of the primary without a log link',
    async (at) => {
      at.rig.network.pull('log', 'a');
      await at.rig.until('RUN-Solo', () => soloSomewhere(at.rig), TAKEOVER_MS);
      const side = at.rig.primary ?? at.primary;
      at.rig.client.mayBreak = true;
      await at.rig.cutPower(side);
      return async () => {
        await at.rig.network.mend('log', 'a');
        await at.rig.restorePower(side);
      };
    },
    { restartsGuest: true },
  ),
];

async function logAndFront({ rig }: FaultContext, side: Side) {
  rig.network.pull('log', 'a');
  rig.network.pull('front', side);
  return both(
    () => rig.network.mend('log', 'a'),
    () => rig.network.mend('front', side),
  );
}

async function serialAndFront({ rig }: FaultContext, side: Side) {
  await rig.serial.set('cut');
  rig.network.pull('front', side);
  return both(
    () => rig.serial.set('whole'),
    () => rig.network.mend('front', side),
  );
}

const OPERATOR: readonly Fault[] = [
  planned('switch-over', async (at) => {
    await at.rig.boards[at.primary].ask({ do: 'switch-over' });
    await takenOver(at);
    return nothing;
  }),
  planned('test failover', async (at) => {
    await at.rig.boards[at.primary].ask({ do: 'test-failover' });
    await takenOver(at);
    return nothing;
  }),
  planned('maintenance of the backup', async (at) => {
    const board = at.rig.boards[at.backup];
    await board.ask({ do: 'maintenance', on: true });
    await at.rig.until('maintenance', () => board.status?.role === 'maintenance', TAKEOVER_MS);
    return () => board.ask({ do: 'maintenance', on: false });
  }),
  planned('maintenance of the primary', async (at) => {
    const board = at.rig.boards[at.primary];
    await board.ask({ do: 'maintenance', on: true });
    await takenOver(at);
    await at.rig.until('maintenance', () => board.status?.role === 'maintenance', TAKEOVER_MS);
    return () => board.ask({ do: 'maintenance', on: false });
  }),
  planned('the primary is stopped in order', async (at) => {
    const board = at.rig.boards[at.primary];
    await board.ask({ do: 'stop' });
    await takenOver(at);
    await at.rig.until('it has stopped', () => !board.isOn, START_MS);
    return () => board.start();
  }),
];

/** Not survived yet: the primary's half cable outwards (it still hears the peer, and stays). */
export const NOT_YET: readonly Fault[] = [
  single('front cable of the primary, outwards', async (at) => {
    await at.rig.network.spoil('front', at.primary, { lost: 'out' });
    await takenOver(at);
    return () => at.rig.network.mend('front', at.primary);
  }),
];

export const FAULTS: readonly Fault[] = [
  ...BOARDS,
  ...CABLES,
  ...DISKS,
  ...TAPS,
  ...PAIRS,
  ...STARTS,
  ...SYNC_FAULTS,
  ...OPERATOR,
];

export function faultNamed(name: string): Fault {
  const found = [...FAULTS, ...WITH_WAYS].find((fault) => fault.name === name);
  if (found === undefined) throw new Error(`no fault "${name}"`);
  return found;
}
