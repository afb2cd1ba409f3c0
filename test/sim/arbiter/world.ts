// Two boards running the real arbiter, the three paths between them, their disks, and a ghost: a
// number line of outputs. Each board's machine stands at a position of that line; `released` is how
// far the plant has seen it. A board that begins to lead behind `released` has lost something.
// Time goes in units of one heartbeat. Every method is one atomic step of one part.
import { strict as assert } from 'node:assert';
import { initialState } from '../../../watchdog/arbiter.ts';
import { LEADING, type Statement } from '../../../watchdog/arbiter-types.ts';
import type { Path } from '../../../watchdog/limits.ts';
import { afterDelivery } from '../../../watchdog/path-frame.ts';
import { boardStep, type Draft, fire, seen, violate } from './board-step.ts';
import { isCut, older, putQueues } from './queues.ts';
import { deathGoesOn } from './world-faults.ts';
import {
  type Board,
  type Cut,
  coldBoard,
  config,
  EMPTY,
  LIMPS,
  type LogPart,
  type Message,
  type Model,
  NAME,
  other,
  SIDES,
  type Side,
  UNIT_MS,
  type World,
} from './world-types.ts';

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

export function finishWrite(model: Model, world: World, side: Side): World {
  return boardStep(model, world, side, (draft) => {
    const record = draft.board.arbiter.writing;
    assert.ok(record !== null);
    draft.board = { ...draft.board, disk: record, writeAge: 0 };
    fire(draft, { type: 'persisted', record });
  });
}

export function nextUnit(before: World): World {
  const world = deathGoesOn(before);
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
