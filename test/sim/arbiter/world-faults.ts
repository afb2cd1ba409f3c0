// What can go wrong in a world: boards that die, at once or piece by piece, hang, limp or are slandered, and cables
// that are pulled.
import type { DiskRecord } from '../../../watchdog/arbiter-types.ts';
import { PATHS } from '../../../watchdog/limits.ts';
import { lastGaspOf } from '../../../watchdog/statement-wire.ts';
import { boardStep, fire, putBoard } from './board-step.ts';
import { isCut, putQueues } from './queues.ts';
import {
  type Board,
  type Cut,
  EMPTY,
  LIMPS,
  type Message,
  MODEL_LIMITS,
  type Model,
  NAME,
  other,
  SIDES,
  type Side,
  UNIT_MS,
  WORD_PATHS,
  type World,
} from './world-types.ts';

/** `wrote`: the record on its way reached the disk. `gasp`: a supervisor lives to tell. */
export function crash(world: World, side: Side, wrote: boolean, gasp: boolean): World {
  const board = world.boards[side];
  const { arbiter } = board;
  const disk = wrote && arbiter.writing !== null ? arbiter.writing : board.disk;
  const dead: Board = {
    ...board,
    up: false,
    hung: false,
    asleep: false,
    at: null,
    disk,
    ticked: false,
  };
  const after = putBoard(world, side, dead);
  return gasp ? sayLastWord(after, side, disk, arbiter.boot) : after;
}

/** A power cut that the state folder does not survive: no record, and starts are counted from one again. */
export function wipe(world: World, side: Side): World {
  const after = crash(world, side, false, false);
  const disk: DiskRecord = { generation: 0, standing: 'unknown' };
  return putBoard(after, side, { ...after.boards[side], disk, boot: 0 });
}

/**
 * A supervisor that is not the board's tells of its death while it lives. `wrote`: it read the record
 * when the bytes were on the disk and the board did not know yet. `next`: of a start that the board did
 * not take; the number is used up on its disk.
 */
export function slander(world: World, side: Side, wrote: boolean, next: boolean): World {
  const board = world.boards[side];
  const { arbiter, disk } = board;
  const after = next ? putBoard(world, side, { ...board, boot: board.boot + 1 }) : world;
  const record = wrote && arbiter.writing !== null ? arbiter.writing : disk;
  return sayLastWord(after, side, record, next ? board.boot + 1 : arbiter.boot);
}

function sayLastWord(world: World, side: Side, record: DiskRecord, boot: number): World {
  const { arbiter } = world.boards[side];
  const statement = lastGaspOf(boot, record);
  const said = { boot: arbiter.boot, seq: arbiter.seq + 0.5 };
  const message: Message = { statement, said, log: null, age: 0 };
  const to = other(side);
  if (world.boards[to].asleep) return world;
  const queues = { ...world.queues[to] };
  for (const path of WORD_PATHS) {
    if (isCut(world, path, to)) continue;
    queues[path] = [...queues[path].slice(0, 1), message];
  }
  return putQueues(world, to, queues);
}

export function setHung(world: World, side: Side, hung: boolean, asleep: boolean): World {
  const after = putBoard(world, side, { ...world.boards[side], hung, asleep });
  return asleep ? putQueues(after, side, EMPTY) : after;
}

/** The host of this board begins to limp, or ends to. */
export function setLimp(model: Model, world: World, side: Side, limps: boolean): World {
  return boardStep(model, world, side, (draft) => {
    draft.board = { ...draft.board, limps };
    if (draft.board.up) fire(draft, { type: 'limp', why: limps ? LIMPS : null });
  });
}

export function setCuts(world: World, cuts: ReadonlySet<Cut>): World {
  let next: World = { ...world, cuts };
  for (const to of SIDES) {
    // What has reached the buffers of a board that stands still waits there, whatever becomes of the cable.
    if (next.boards[to].hung) continue;
    const queues = { ...next.queues[to] };
    for (const path of PATHS) if (isCut(next, path, to)) queues[path] = [];
    next = putQueues(next, to, queues);
  }
  return next;
}

/** A board that loses power, or whose kernel falls over: what hangs on it goes piece by piece, and it last. */
export function beginDeath(world: World, side: Side, byHand: boolean): World {
  return { ...world, dying: { side, unitsLeft: byHand ? HAND_UNITS : DEATH_UNITS, byHand } };
}

/** Less than an arbiter waits before it asks to lead alone. */
const DEATH_UNITS = MODEL_LIMITS.deathMs / UNIT_MS - 1;
/** A hand is four times as slow. */
const HAND_UNITS = 4 * DEATH_UNITS;

/** One of its cables goes, or its processor stands still. Both boards see at once that the log link has no carrier. */
export function losePiece(model: Model, world: World, side: Side, piece: Piece): World {
  if (piece === 'processor') return setHung(world, side, true, false);
  const front = `front-${NAME[side]}` as Cut;
  const cuts: readonly Cut[] = piece === 'front' ? [front] : [`${piece}>a`, `${piece}>b`];
  const cut = setCuts(world, new Set([...world.cuts, ...cuts]));
  if (piece === 'front') return frontOut(model, cut, side);
  const isSeen = piece === 'log' && isCut(cut, 'log', side);
  return isSeen ? SIDES.reduce((next, side) => carrierLost(model, next, side), cut) : cut;
}

export function frontOut(model: Model, world: World, side: Side): World {
  const { up, hung } = world.boards[side];
  if (model.seesFront !== true || !up || hung) return world;
  return boardStep(model, world, side, (draft) => fire(draft, { type: 'front-out' }));
}

function carrierLost(model: Model, world: World, side: Side): World {
  const { up, hung } = world.boards[side];
  if (!up || hung) return world;
  return boardStep(model, world, side, (draft) => fire(draft, { type: 'path-down', path: 'log' }));
}

export const PIECES = ['log', 'serial', 'front', 'processor'] as const;
export type Piece = (typeof PIECES)[number];

export function endDeath(world: World, wrote: boolean): World {
  if (world.dying === null) return world;
  const { side } = world.dying;
  return crash({ ...world, dying: null }, side, wrote, false);
}

/** It ends by itself when its time is over. */
export function deathGoesOn(world: World): World {
  const { dying } = world;
  if (dying === null) return world;
  const left = dying.unitsLeft - 1;
  return left > 0 ? { ...world, dying: { ...dying, unitsLeft: left } } : endDeath(world, false);
}
