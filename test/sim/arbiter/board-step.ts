// One step of one board: its arbiter is asked, what it orders is done, and what must never be is looked for.
import { arbitrateWith } from '../../../watchdog/arbiter.ts';
import {
  type Action,
  type ArbiterEvent,
  type Gate,
  LEADING,
} from '../../../watchdog/arbiter-types.ts';
import { send } from './queues.ts';
import {
  type Board,
  type Cut,
  LIMPS,
  MODEL_LIMITS,
  type Model,
  NAME,
  other,
  type Side,
  UNIT_MS,
  type World,
} from './world-types.ts';

/** Edges any arbiter of this process took: how much of the table the exploration reached. */
export const edgesTaken = new Set<string>();

/** A world being changed: one per step. */
export interface Draft {
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

export function putBoard(world: World, side: Side, board: Board): World {
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
      draft.world = send(draft.world, draft.side, board, action.statement);
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

export function violate(draft: Draft, what: string): void {
  draft.world = { ...draft.world, violation: draft.world.violation ?? what };
}

/** What leaves a board whose front cable is out nobody sees. */
export function seen(world: World, side: Side, at: number): World {
  if (world.cuts.has(`front-${NAME[side]}` as Cut)) return world;
  return { ...world, released: Math.max(world.released, at) };
}
