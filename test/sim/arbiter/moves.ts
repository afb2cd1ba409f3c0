// What can happen next in a world, each move a line of text: the exploration tries them all, a
// transcript is a list of them, and a scenario file is read back into them.
import { LEADING, type Statement } from '../../../watchdog/arbiter-types.ts';
import { PATHS, type Path } from '../../../watchdog/limits.ts';
import { lose } from './queues.ts';
import { deliver, finishWrite, nextUnit, start, tick } from './world.ts';
import {
  beginDeath,
  crash,
  endDeath,
  frontOut,
  losePiece,
  PIECES,
  type Piece,
  setCuts,
  setHung,
  setLimp,
  slander,
  wipe,
} from './world-faults.ts';
import {
  type Cut,
  type Message,
  MODEL_LIMITS,
  type Model,
  NAME,
  other,
  SIDES,
  type Side,
  UNIT_MS,
  type World,
} from './world-types.ts';

/**
 * `gasp`: a crash that the supervisor tells of. `wipe`: one that takes the state folder with it, while the
 * other board holds the machine. `limp`: lives and answers, but badly; with one `steady` it ends. `death`: a board
 * dies in pieces, which is one fault; `hand`: somebody pulls its cables, the power last.
 */
export type FaultKind =
  | 'crash'
  | 'gasp'
  | 'wipe'
  | 'limp'
  | 'death'
  | 'hand'
  | 'hang'
  | 'sleep'
  | 'witness'
  | Cut
  | 'log'
  | 'serial';

/** A cable is cut both ways by one fault. */
const BOTH_WAYS: Partial<Record<FaultKind, readonly Cut[]>> = {
  log: ['log>a', 'log>b'],
  serial: ['serial>a', 'serial>b'],
};

export interface Menu {
  readonly faults: readonly FaultKind[];
  /** Faults that may be in force at the same time. */
  readonly atOnce: number;
  /** May a fault be repaired before the end? */
  readonly repairs: boolean;
  /**
   * `all`: every order of every step. `units`: whole units, either board first, disks fast or slow;
   * far fewer worlds, so that more faults and longer stories fit.
   */
  readonly grain: 'all' | 'units';
}

export function faultsInForce(world: World): number {
  const down = world.boards.filter((board) => !board.up || board.hung).length;
  const has = (cut: Cut) => world.cuts.has(cut);
  let cuts = 0;
  for (const path of ['log', 'serial'] as const) {
    if (has(`${path}>a`) || has(`${path}>b`)) cuts += 1;
  }
  for (const cut of ['front-a', 'front-b', 'split'] as const) if (has(cut)) cuts += 1;
  const limps = world.boards.filter((board) => board.limps).length;
  const words = SIDES.filter((side) => isSlandered(world, side)).length;
  const dying = world.dying === null ? 0 : 1;
  return down + cuts + limps + words + dying + (world.witnessUp ? 0 : 1);
}

/** A false last word is in force while it is on its way or believed. */
function isSlandered(world: World, of: Side): boolean {
  const { arbiter, up } = world.boards[of];
  const to = other(of);
  const listener = world.boards[to];
  const isIt = (said: Statement | null) => said?.role === 'dead' && said.boot >= arbiter.boot;
  if (!up) return false;
  if (listener.up && isIt(listener.arbiter.peer)) return true;
  return PATHS.some((path) => world.queues[to][path].some(({ statement }) => isIt(statement)));
}

/** Every move that is possible in `world`. */
export function movesOf(world: World, menu: Menu): string[] {
  const moves: string[] = [];
  if (menu.grain === 'all') {
    for (const side of SIDES) boardMoves(world, side, moves);
    if (canAdvance(world)) moves.push('advance');
  } else {
    unitMoves(world, moves);
  }
  if (faultsInForce(world) < menu.atOnce) {
    if (world.budget.faults > 0) faultMoves(world, menu, moves);
    if (world.budget.words > 0) slanderMoves(world, moves);
  }
  dyingMoves(world, moves);
  if (menu.repairs) repairMoves(world, moves);
  return moves;
}

function unitMoves(world: World, moves: string[]): void {
  const writes = world.boards.some(({ up, hung, arbiter }) => up && !hung && arbiter.writing);
  const overdue = world.boards.some(({ writeAge }) => writeAge >= 1);
  for (const first of ['a', 'b']) {
    moves.push(`unit ${first}`);
    if (!writes || !overdue) moves.push(`unit ${first} slow`);
  }
}

function boardMoves(world: World, side: Side, moves: string[]): void {
  const board = world.boards[side];
  const name = NAME[side];
  if (!board.up || board.hung) return;
  if (!board.ticked) moves.push(`tick ${name}`);
  if (board.arbiter.writing !== null) moves.push(`written ${name}`);
  const waiting = PATHS.filter((path) => world.queues[side][path].length > 0);
  if (waiting.length === 0) return;
  moves.push(`deliver ${name}`);
  for (const path of waiting) {
    if (world.budget.delays > 0 && waiting.length > 1) moves.push(`deliver ${name} ${path}`);
    if (world.budget.losses > 0) moves.push(`lose ${name} ${path}`);
  }
}

/** The heads that arrive together: those of the oldest statement waiting. */
function together(world: World, side: Side): Path[] {
  const heads = PATHS.filter((path) => world.queues[side][path].length > 0);
  const number = (path: Path) => {
    const { said } = world.queues[side][path][0] as Message;
    return said.boot * 2 ** 32 + said.seq;
  };
  const oldest = Math.min(...heads.map(number));
  return heads.filter((path) => number(path) === oldest);
}

/** Time goes on when everyone awake has ticked and nothing is overdue. */
function canAdvance(world: World): boolean {
  return heldOver(world) <= world.budget.delays;
}

/** Messages and writes that would be late; Infinity when something may not wait any longer. */
function heldOver(world: World): number {
  let late = 0;
  for (const side of SIDES) {
    const board = world.boards[side];
    if (!board.up || board.hung) continue;
    if (!board.ticked) return Number.POSITIVE_INFINITY;
    if (board.arbiter.writing !== null && board.writeAge >= 1) return Number.POSITIVE_INFINITY;
    for (const path of PATHS) {
      for (const message of world.queues[side][path]) {
        if (message.age >= 1) return Number.POSITIVE_INFINITY;
        late += 1;
      }
    }
  }
  return late;
}

/** A cut takes what is in flight with it, so it matters only between units. */
function isBetweenUnits({ boards }: World): boolean {
  return boards.every((board) => !board.ticked || !board.up);
}

function faultMoves(world: World, menu: Menu, moves: string[]): void {
  const between = isBetweenUnits(world);
  for (const fault of menu.faults) {
    if (fault === 'limp') {
      for (const side of SIDES) {
        const { up, hung, limps } = world.boards[side];
        if (up && !hung && !limps) moves.push(`limp ${NAME[side]}`);
      }
    } else if (fault === 'death' || fault === 'hand') {
      for (const side of SIDES) {
        const { up, hung } = world.boards[side];
        if (between && up && !hung && world.dying === null) moves.push(`${fault} ${NAME[side]}`);
      }
    } else if (fault === 'wipe') {
      for (const side of SIDES) {
        const { up, hung } = world.boards[side];
        if (up && !hung && holdsMachine(world, other(side))) moves.push(`wipe ${NAME[side]}`);
      }
    } else if (fault === 'crash' || fault === 'gasp' || fault === 'hang' || fault === 'sleep') {
      for (const side of SIDES) {
        const board = world.boards[side];
        if (!board.up || board.hung) continue;
        const verb = fault === 'gasp' ? 'crash' : fault;
        const tail = fault === 'gasp' ? ' gasp' : '';
        moves.push(`${verb} ${NAME[side]}${tail}`);
        if (verb === 'crash' && board.arbiter.writing !== null) {
          moves.push(`crash ${NAME[side]} wrote${tail}`);
        }
      }
    } else if (between && fault === 'witness') {
      if (world.witnessUp) moves.push('witness down');
    } else if (between) {
      const cuts = BOTH_WAYS[fault] ?? [fault as Cut];
      if (cuts.every((cut) => !world.cuts.has(cut))) moves.push(`cut ${fault}`);
    }
  }
}

/** What a board that dies may lose next, and its end. */
function dyingMoves(world: World, moves: string[]): void {
  const { dying, boards, cuts } = world;
  if (dying === null) return;
  const name = NAME[dying.side];
  const { hung, arbiter } = boards[dying.side];
  for (const piece of isBetweenUnits(world) ? PIECES : []) {
    const isLost =
      piece === 'processor'
        ? hung || dying.byHand
        : cuts.has((piece === 'front' ? `front-${name}` : `${piece}>a`) as Cut);
    if (!isLost) moves.push(`piece ${name} ${piece}`);
  }
  moves.push(`end ${name}`);
  if (arbiter.writing !== null) moves.push(`end ${name} wrote`);
}

/** A machine that holds all the plant has seen; where that is the lost one alone, nothing can be promised. */
function holdsMachine(world: World, side: Side): boolean {
  const { up, hung, arbiter, at } = world.boards[side];
  const follows = arbiter.role === 'backup' && arbiter.doubt === null;
  const holds = follows || (LEADING.has(arbiter.role) && arbiter.gate !== 'closed');
  return up && !hung && holds && at !== null && at >= world.released;
}

/** Of a board that hangs, too: its process is there. */
function slanderMoves(world: World, moves: string[]): void {
  for (const side of SIDES) {
    const { up, arbiter } = world.boards[side];
    if (!up) continue;
    moves.push(`slander ${NAME[side]}`, `slander ${NAME[side]} next`);
    if (arbiter.writing !== null) moves.push(`slander ${NAME[side]} wrote`);
  }
}

function repairMoves(world: World, moves: string[]): void {
  const between = world.boards.every((board) => !board.ticked || !board.up || board.hung);
  if (!between) return;
  for (const side of SIDES) {
    const board = world.boards[side];
    if (!board.up) moves.push(`start ${NAME[side]}`);
    if (board.hung && !isHalfAsleep(world, side)) moves.push(`wake ${NAME[side]}`);
    if (board.limps && !board.hung) moves.push(`steady ${NAME[side]}`);
  }
  if (!world.witnessUp) moves.push('witness up');
  for (const fault of ['log', 'serial'] as const) {
    if (world.cuts.has(`${fault}>a`) || world.cuts.has(`${fault}>b`)) moves.push(`heal ${fault}`);
  }
  for (const cut of ['front-a', 'front-b', 'split'] as const) {
    if (world.cuts.has(cut)) moves.push(`heal ${cut}`);
  }
}

/**
 * What a machine loses that is said to it is a matter of suspending it, which takes longer than its buffers
 * hold; or of a moment shorter than a stall.
 */
function isHalfAsleep({ boards, unit }: World, side: Side): boolean {
  const { asleep, arbiter } = boards[side];
  const { stallMs, bufferedMs } = MODEL_LIMITS;
  const standsMs = unit * UNIT_MS - arbiter.tickedMs;
  return asleep && standsMs > stallMs && standsMs <= bufferedMs;
}

/** Performs a move. Also understands `run N`: N fair units, for scenario files. */
export function play(model: Model, world: World, move: string): World {
  const [verb = '', what = '', ...more] = move.split(' ');
  const side: Side = what === 'a' ? 0 : 1;
  const { budget } = world;
  switch (verb) {
    case 'tick':
      return tick(model, world, side);
    case 'written':
      return finishWrite(model, world, side);
    case 'deliver': {
      const path = more[0] as Path | undefined;
      if (path === undefined) return deliver(model, world, side, together(world, side));
      return deliver(model, spend(world, { delays: budget.delays - 1 }), side, [path]);
    }
    case 'lose':
      return lose(spend(world, { losses: budget.losses - 1 }), side, more[0] as Path);
    case 'advance':
      return nextUnit(spend(world, { delays: budget.delays - heldOver(world) }));
    case 'crash': {
      const after = crash(world, side, more.includes('wrote'), more.includes('gasp'));
      return spend(after, { faults: budget.faults - 1 });
    }
    case 'slander': {
      const after = slander(world, side, more.includes('wrote'), more.includes('next'));
      return spend(after, { words: budget.words - 1 });
    }
    case 'death':
    case 'hand':
      return spend(beginDeath(world, side, verb === 'hand'), { faults: budget.faults - 1 });
    case 'piece':
      return losePiece(model, world, side, more[0] as Piece);
    case 'end':
      return endDeath(world, more.includes('wrote'));
    case 'limp':
      return spend(setLimp(model, world, side, true), { faults: budget.faults - 1 });
    case 'steady':
      return setLimp(model, world, side, false);
    case 'wipe':
      return spend(wipe(world, side), { faults: budget.faults - 1 });
    case 'hang':
    case 'sleep':
      return spend(setHung(world, side, true, verb === 'sleep'), { faults: budget.faults - 1 });
    case 'wake':
      return setHung(world, side, false, false);
    case 'start':
      return start(model, world, side);
    case 'witness': {
      const witnessUp = what === 'up';
      return spend({ ...world, witnessUp }, { faults: budget.faults - (witnessUp ? 0 : 1) });
    }
    case 'cut':
    case 'heal':
      return cutOrHeal(model, world, verb, what as FaultKind);
    case 'unit':
      return fairUnit(model, world, side, more.includes('slow'));
    case 'run':
      return run(model, world, Number(what));
    default:
      throw new Error(`unknown move "${move}"`);
  }
}

function spend(world: World, change: Partial<World['budget']>): World {
  return { ...world, budget: { ...world.budget, ...change } };
}

function cutOrHeal(model: Model, world: World, verb: 'cut' | 'heal', fault: FaultKind): World {
  const cuts = new Set(world.cuts);
  for (const cut of BOTH_WAYS[fault] ?? [fault as Cut]) {
    if (verb === 'cut') cuts.add(cut);
    else cuts.delete(cut);
  }
  const after = setCuts(world, cuts);
  if (verb === 'heal') return after;
  const cut = spend(after, { faults: world.budget.faults - 1 });
  if (fault !== 'front-a' && fault !== 'front-b') return cut;
  return frontOut(model, cut, fault === 'front-a' ? 0 : 1);
}

/** Fair units: everyone ticks, everything arrives, every write ends. */
export function run(model: Model, world: World, units: number): World {
  let now = world;
  for (let unit = 0; unit < units; unit++) now = fairUnit(model, now);
  return now;
}

export function fairUnit(model: Model, world: World, first: Side = 0, slowDisks = false): World {
  const order = first === 0 ? SIDES : ([1, 0] as const);
  const awake = (now: World, side: Side) => now.boards[side].up && !now.boards[side].hung;
  let now = world;
  for (const side of order) {
    if (awake(now, side) && !now.boards[side].ticked) now = tick(model, now, side);
  }
  // Answers cause answers; four rounds are plenty, and what is left arrives next unit.
  for (let round = 0; round < 4; round++) {
    for (const side of order) {
      if (!awake(now, side)) continue;
      const paths = together(now, side);
      if (paths.length > 0) now = deliver(model, now, side, paths);
      if (slowDisks || !awake(now, side)) continue;
      if (now.boards[side].arbiter.writing !== null) now = finishWrite(model, now, side);
    }
  }
  return nextUnit(now);
}

/** Everything repaired and everyone started, nothing else changed. */
export function repairAll(model: Model, world: World): World {
  let now: World = { ...setCuts(endDeath(world, false), new Set()), witnessUp: true };
  while (SIDES.some((side) => isHalfAsleep(now, side))) now = fairUnit(model, now);
  for (const side of SIDES) {
    if (!now.boards[side].up) now = start(model, now, side);
    else if (now.boards[side].hung) now = setHung(now, side, false, false);
    if (now.boards[side].limps) now = setLimp(model, now, side, false);
  }
  return now;
}

export function describe(world: World): string {
  const text = SIDES.map((side) => {
    const { up, hung, asleep, arbiter, at } = world.boards[side];
    if (!up) return `${NAME[side]}: down`;
    const { role, generation, gate, doubt } = arbiter;
    const machine = at === null ? 'no machine' : `at ${at}`;
    const lead = LEADING.has(role) ? '*' : ' ';
    const states = `${hung ? (asleep ? ' ASLEEP' : ' HUNG') : ''}${doubt === null ? '' : ' doubts'}`;
    return `${NAME[side]}:${lead}${role} g${generation} ${gate}, ${machine}${states}`;
  });
  return `${text[0]?.padEnd(46)}${text[1]?.padEnd(46)}seen ${world.released}`;
}
