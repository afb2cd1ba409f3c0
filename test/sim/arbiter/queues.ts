// What is under way between the boards, and what of it a cable that is out does not carry.
import { LEADING, type Statement } from '../../../watchdog/arbiter-types.ts';
import { PATHS, type Path } from '../../../watchdog/limits.ts';
import {
  type Board,
  type Cut,
  type LogPart,
  type Message,
  NAME,
  other,
  type Queues,
  type Side,
  type World,
} from './world-types.ts';

export function isCut({ cuts, overFront }: World, path: Path, to: Side): boolean {
  const front = cuts.has('front-a') || cuts.has('front-b') || cuts.has('split');
  if (path === 'front') return front;
  return cuts.has(`${path}>${NAME[to]}` as Cut) && (path !== 'log' || !overFront || front);
}

/** Said by `board`, the one on this side. */
export function send(world: World, side: Side, board: Board, statement: Statement): World {
  const to = other(side);
  if (world.boards[to].asleep) return world;
  const queues = { ...world.queues[to] };
  for (const path of PATHS) {
    if (isCut(world, path, to)) continue;
    const log = path === 'log' ? logPart(board) : null;
    const queue = queues[path];
    const message: Message = { statement, said: statement, log, age: 0 };
    queues[path] = queue.length < 2 ? [...queue, message] : [queue[0] as Message, message];
  }
  return putQueues(world, to, queues);
}

export function putQueues(world: World, to: Side, queues: Queues): World {
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

export function lose(world: World, to: Side, path: Path): World {
  const queues = { ...world.queues[to], [path]: world.queues[to][path].slice(1) };
  return putQueues(world, to, queues);
}

/** All of it has waited a unit more. */
export function older(queues: Queues): Queues {
  return { log: queues.log.map(age), serial: queues.serial.map(age), front: queues.front.map(age) };
}

const age = (message: Message): Message => ({ ...message, age: Math.min(message.age + 1, 1) });
