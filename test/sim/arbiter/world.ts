// Two boards running the real arbiter, the three paths between them, their disks, and a ghost: a
// number line of outputs. Each board's machine stands at a position of that line; `released` is how
// far the plant has seen it. A board that begins to lead behind `released` has lost something.
// Time goes in units of one heartbeat. Every method is one atomic step of one part.
import { strict as assert } from 'node:assert';
import { arbitrateWith, initialState } from '../../../watchdog/arbiter.ts';
import {
  type Action,
  type ArbiterEvent,
  type DiskRecord,
  type Gate,
  LEADING,
  type Statement,
} from '../../../watchdog/arbiter-types.ts';
import { PATHS, type Path } from '../../../watchdog/limits.ts';
import { afterDelivery } from '../../../watchdog/path-frame.ts';
import { lastGaspOf } from '../../../watchdog/statement-wire.ts';
import {
  type Board,
  type Cut,
  coldBoard,
  config,
  EMPTY,
  LIMPS,
  type LogPart,
  type Message,
  MODEL_LIMITS,
  type Model,
  NAME,
  other,
  type Queues,
  SIDES,
  type Side,
  UNIT_MS,
  WORD_PATHS,
  type World,
} from './world-types.ts';

/** Edges any arbiter of this process took: how much of the table the exploration reached. */
export const edgesTaken = new Set<string>();

// --- one step of one board -----------------------------------------------------------------------

/** A world being changed: one per step. */
interface Draft {
  world: World;
  board: Board;
  side: Side;
  model: Model;
}

export function boardStep(
  model: Model,
  world: World,
  side: Side,
  change: (draft: Draft) => void,
): World {
  const draft: Draft = { world, board: world.boards[side], side, model };
  change(draft);
  return putBoard(draft.world, side, draft.board);
}

function putBoard(world: World, side: Side, board: Board): World {
  const boards: [Board, Board] = [world.boards[0], world.boards[1]];
  boards[side] = board;
  return { ...world, boards };
}

export function fire(draft: Draft, event: ArbiterEvent): void {
  const { board, model, world } = draft;
  const outcome = arbitrateWith(model.rulesOff, board.arbiter, event, world.unit * UNIT_MS);
  let from = board.arbiter.role;
  draft.board = { ...draft.board, arbiter: outcome.state };
  for (const action of outcome.actions) {
    if (action.do !== 'report' || (action.role === from && from !== 'target')) continue;
    edgesTaken.add(`${from} ${action.role}`);
    from = action.role;
  }
  for (const action of outcome.actions) perform(draft, action);
  checkGates(draft);
}

function perform(draft: Draft, action: Action): void {
  const { board } = draft;
  switch (action.do) {
    case 'say':
      send(draft, action.statement);
      return;
    case 'persist':
      draft.board = { ...board, writeAge: 0 };
      return;
    case 'report':
      if (action.role === 'leaving' && action.why === LIMPS) handsOverForLimp(draft);
      return;
    case 'count-start':
      draft.board = { ...board, boot: action.boot };
      fire(draft, { type: 'start-counted', boot: action.boot });
      return;
    case 'gate':
      gateTurns(draft, action.gate);
      return;
    case 'boot-guest':
      draft.board = { ...board, at: board.diskAt, forkAt: board.diskAt, outAt: board.diskAt };
      return;
    case 'go-live':
      draft.board = goLive(board);
      return;
    case 'discard-guest':
    case 'sync-target':
      draft.board = { ...board, at: null, sentMark: 'none' };
      if (draft.board.arbiter.role === 'fenced') fire(draft, { type: 'guest-discarded' });
      return;
    case 'sync-stop':
      if (!LEADING.has(board.arbiter.role)) draft.board = { ...board, at: null };
      return;
    case 'follow':
      if (aheadOfNewReign(draft)) {
        violate(draft, `${NAME[draft.side]} stays in step with a machine ahead of the new reign`);
      }
      return;
    case 'mark-log':
      draft.board = { ...board, sentMark: action.mark };
      return;
    case 'reset':
      draft.board = { ...board, up: false, at: null };
      return;
    default:
      return;
  }
}

/** Both boards may limp in turn: one hand-over helps, a second one at once is to and fro. */
function handsOverForLimp(draft: Draft): void {
  const { unit, limpUnit } = draft.world;
  if ((unit - limpUnit) * UNIT_MS <= MODEL_LIMITS.limpRestMs) violate(draft, 'handed to and fro');
  draft.world = { ...draft.world, limpUnit: unit };
}

function goLive(board: Board): Board {
  const at = board.at ?? -1;
  return { ...board, diskAt: at, forkAt: at, outAt: at, sentMark: 'none' };
}

function aheadOfNewReign({ world, side, board }: Draft): boolean {
  const heir = world.boards[other(side)];
  const reigns = heir.up && heir.at !== null && LEADING.has(heir.arbiter.role);
  return (
    reigns && heir.arbiter.generation === board.arbiter.generation && (board.at ?? 0) > heir.forkAt
  );
}

/** The moment a reign may speak: the machine behind it must hold all that was ever said. */
function gateTurns(draft: Draft, gate: Gate): void {
  const { board, world } = draft;
  if (gate === 'closed') return;
  const at = board.at ?? Number.NEGATIVE_INFINITY;
  if (at < world.released) {
    violate(draft, `stale start: ${NAME[draft.side]} leads from before what the plant has seen`);
  }
}

function checkGates(draft: Draft): void {
  const peer = draft.world.boards[other(draft.side)];
  const open = (board: Board) => board.up && board.arbiter.gate === 'open';
  if (open(draft.board) && open(peer)) violate(draft, 'both gates are open');
}

function violate(draft: Draft, what: string): void {
  draft.world = { ...draft.world, violation: draft.world.violation ?? what };
}

// --- the log and its acknowledgement -------------------------------------------------------------

function send(draft: Draft, statement: Statement): void {
  const to = other(draft.side);
  if (draft.world.boards[to].asleep) return;
  const queues = { ...draft.world.queues[to] };
  for (const path of PATHS) {
    if (isCut(draft.world, path, to)) continue;
    const log = path === 'log' ? logPart(draft.board) : null;
    const queue = queues[path];
    const message: Message = { statement, said: statement, log, age: 0 };
    queues[path] = queue.length < 2 ? [...queue, message] : [queue[0] as Message, message];
  }
  draft.world = putQueues(draft.world, to, queues);
}

function putQueues(world: World, to: Side, queues: Queues): World {
  const both: [Queues, Queues] = [world.queues[0], world.queues[1]];
  both[to] = queues;
  return { ...world, queues: both };
}

function logPart({ arbiter, at, sentMark }: Board): LogPart | null {
  const { role, generation, boot, session, partner } = arbiter;
  if (at === null && role !== 'target') return null;
  if (LEADING.has(role) && partner !== null) {
    return {
      kind: 'entries',
      generation,
      session: partner,
      position: at as number,
      mark: sentMark,
    };
  }
  const follows = (role === 'target' || role === 'backup') && at !== null;
  if (!follows) return null;
  const own = { boot, session };
  return { kind: 'ack', generation, session: own, position: at, mark: 'none' };
}

function takeEntries(draft: Draft, sender: Statement, part: LogPart): void {
  const { board } = draft;
  const { arbiter } = board;
  const follows = arbiter.role === 'target' || arbiter.role === 'backup';
  const ours = part.session.boot === arbiter.boot && part.session.session === arbiter.session;
  if (!follows || !ours || arbiter.followBoot !== sender.boot) return;
  if (arbiter.generation !== part.generation) return;
  const first = board.at === null;
  const at = Math.max(board.at ?? part.position, part.position);
  draft.board = { ...board, at, diskAt: first ? at : board.diskAt };
  if (part.mark !== 'none' && arbiter.mark !== part.mark) {
    fire(draft, { type: 'marked', mark: part.mark, session: arbiter.session });
  }
}

function takeAck(draft: Draft, part: LogPart): void {
  const { board, world } = draft;
  const { arbiter } = board;
  if (arbiter.generation !== part.generation || board.at === null) return;
  if (arbiter.role === 'source' && part.position >= board.at - 1) {
    fire(draft, { type: 'sync-done', partner: part.session });
    return;
  }
  const { grant } = arbiter;
  const granted =
    grant !== null && grant.boot === part.session.boot && grant.session === part.session.session;
  if (arbiter.gate !== 'acked' || !granted || part.position < board.at) return;
  const peer = world.boards[other(draft.side)];
  const overtaken = LEADING.has(peer.arbiter.role) && peer.arbiter.generation > part.generation;
  const fork = peer.at === null ? peer.diskAt : peer.forkAt;
  if (overtaken && peer.up && board.at > fork) {
    violate(draft, `${NAME[draft.side]} releases what the newer reign does not hold`);
  }
  draft.board = { ...draft.board, outAt: board.at };
  draft.world = seen(draft.world, draft.side, board.at);
}

// --- steps ---------------------------------------------------------------------------------------

export function isCut({ cuts, overFront }: World, path: Path, to: Side): boolean {
  const front = cuts.has('front-a') || cuts.has('front-b') || cuts.has('split');
  if (path === 'front') return front;
  return cuts.has(`${path}>${NAME[to]}` as Cut) && (path !== 'log' || !overFront || front);
}

export function start(model: Model, world: World, side: Side): World {
  return boardStep(model, world, side, (draft) => {
    const { disk, diskAt } = draft.board;
    const boot = draft.board.boot + 1;
    const fresh = coldBoard(side, disk, diskAt, model);
    const arbiter = initialState(config(side, model), world.unit * UNIT_MS);
    draft.board = { ...fresh, boot, limps: draft.board.limps, up: true, ticked: true, arbiter };
    // What lay in the socket of the dead process is gone; a serial line's buffer survives.
    const { serial } = world.queues[side];
    draft.world = putQueues(world, side, { ...EMPTY, serial });
    fire(draft, { type: 'watchdog', armed: true });
    fire(draft, { type: 'loaded', boot, record: disk });
    if (draft.board.limps) fire(draft, { type: 'limp', why: LIMPS });
  });
}

export function tick(model: Model, world: World, side: Side): World {
  return boardStep(model, world, side, (draft) => {
    draft.board = { ...draft.board, ticked: true };
    const { cuts, witnessUp } = draft.world;
    if (witnessUp && !cuts.has(`front-${NAME[side]}` as Cut)) {
      fire(draft, { type: 'witness-answered' });
    }
    runMachine(draft);
    fire(draft, { type: 'tick' });
  });
}

/** The guest makes one output whenever none waits; an open gate lets it out at once. */
function runMachine(draft: Draft): void {
  const { board, world, side } = draft;
  const { role, gate } = board.arbiter;
  // Behind a closed gate it may run, but nothing it makes can be seen: as good as standing.
  if (!LEADING.has(role) || board.at === null || gate === 'closed') return;
  const at = board.at > board.outAt ? board.at : board.at + 1;
  draft.board = { ...board, at, diskAt: at };
  if (gate === 'open') {
    draft.board = { ...draft.board, outAt: at };
    draft.world = seen(world, side, at);
  }
}

/** What leaves a board whose front cable is out nobody sees. */
function seen(world: World, side: Side, at: number): World {
  if (world.cuts.has(`front-${NAME[side]}` as Cut)) return world;
  return { ...world, released: Math.max(world.released, at) };
}

export function deliver(model: Model, world: World, to: Side, paths: readonly Path[]): World {
  return boardStep(model, world, to, (draft) => {
    const taken: { path: Path; message: Message }[] = [];
    const queues = { ...world.queues[to] };
    const delivered = { ...draft.board.delivered };
    for (const path of paths) {
      const [head, ...rest] = queues[path];
      if (head === undefined) continue;
      queues[path] = rest;
      const after = afterDelivery(delivered[path], head.statement);
      if (after === null) continue;
      delivered[path] = after;
      taken.push({ path, message: head });
    }
    draft.board = { ...draft.board, delivered };
    draft.world = putQueues(draft.world, to, queues);
    for (const { path, message } of taken) {
      if (!draft.board.up) return;
      const { log, statement } = message;
      if (log?.kind === 'entries') takeEntries(draft, statement, log);
      fire(draft, { type: 'heard', path, statement });
      if (log?.kind === 'ack') takeAck(draft, log);
    }
  });
}

export function lose(world: World, to: Side, path: Path): World {
  const queues = { ...world.queues[to], [path]: world.queues[to][path].slice(1) };
  return putQueues(world, to, queues);
}

export function finishWrite(model: Model, world: World, side: Side): World {
  return boardStep(model, world, side, (draft) => {
    const record = draft.board.arbiter.writing;
    assert.ok(record !== null);
    draft.board = { ...draft.board, disk: record, writeAge: 0 };
    fire(draft, { type: 'persisted', record });
  });
}

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

export function nextUnit(before: World): World {
  const world = deathGoesOn(before);
  const older = (queues: Queues): Queues => ({
    log: queues.log.map(age),
    serial: queues.serial.map(age),
    front: queues.front.map(age),
  });
  const begin = (board: Board): Board => ({
    ...board,
    ticked: false,
    writeAge: board.arbiter.writing === null ? 0 : board.writeAge + 1,
  });
  return {
    ...world,
    unit: world.unit + 1,
    boards: [begin(world.boards[0]), begin(world.boards[1])],
    queues: [older(world.queues[0]), older(world.queues[1])],
  };
}

/** It ends by itself when its time is over. */
function deathGoesOn(world: World): World {
  const { dying } = world;
  if (dying === null) return world;
  const left = dying.unitsLeft - 1;
  return left > 0 ? { ...world, dying: { ...dying, unitsLeft: left } } : endDeath(world, false);
}

const age = (message: Message): Message => ({ ...message, age: Math.min(message.age + 1, 1) });

export function serves(world: World, side: Side): boolean {
  const { up, hung, arbiter, at } = world.boards[side];
  if (!up || hung || at === null) return false;
  if (arbiter.gate === 'open') return true;
  const peer = world.boards[other(side)];
  const { grant } = arbiter;
  const acknowledges = peer.up && !peer.hung && peer.arbiter.role === 'backup' && grant !== null;
  const carries = !isCut(world, 'log', 0) && !isCut(world, 'log', 1);
  return (
    arbiter.gate === 'acked' && acknowledges && carries && grant.session === peer.arbiter.session
  );
}

export function redundant(world: World): boolean {
  return SIDES.some((side) => {
    const mine = world.boards[side].arbiter;
    const role = world.boards[other(side)].arbiter.role;
    return serves(world, side) && mine.role === 'protected' && role === 'backup';
  });
}
