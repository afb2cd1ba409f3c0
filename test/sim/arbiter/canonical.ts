// Two worlds that differ only in names (how high counters have run, what time it is, where on the
// number line of outputs) have the same future. This maps a world to a key that forgets the names:
// counters become ranks, times become ages up to the largest one that matters, positions become
// distances from what the plant has seen. The exploration then ends by itself. What each path has
// delivered is not in the key: queues keep their order, so a living statement in one is newer than
// all that came before, and a last word that comes twice the arbiter drops by itself. It is in the key while a
// board speaks under a number that is not above what was heard of it.
import type { ArbiterState, Grant, Statement } from '../../../watchdog/arbiter-types.ts';
import { ROLES } from '../../../watchdog/arbiter-types.ts';
import { PATHS } from '../../../watchdog/limits.ts';
import {
  type Board,
  type LogPart,
  MODEL_LIMITS,
  SIDES,
  type Side,
  UNIT_MS,
  type World,
} from './world-types.ts';

const ROLE_NUMBER = new Map<string, number>([...ROLES, 'dead'].map((role, index) => [role, index]));
const STANDINGS = ['sole', 'shared', 'behind', 'unknown', 'pending'];
const GATES = ['closed', 'acked', 'open'];
const MARKS = ['none', 'grant', 'leave'];
const AGE_MAX = 6;
const LONG_AGE_MAX = 9;

/** Collects the counters of each board, then answers their ranks. */
class Ranks {
  readonly boots = [new Set<number>(), new Set<number>()];
  readonly seqs = [new Set<number>(), new Set<number>()];
  readonly sessions = [new Set<number>(), new Set<number>()];
  private maps: Map<number, number>[][] = [];
  generationMin = Number.POSITIVE_INFINITY;

  boot(side: Side, boot: number): void {
    this.boots[side]?.add(boot);
  }
  seq(side: Side, boot: number, seq: number): void {
    this.boots[side]?.add(boot);
    this.seqs[side]?.add(boot * 2 ** 32 + Math.min(seq, 2 ** 31));
  }
  session(side: Side, boot: number, session: number): void {
    this.boots[side]?.add(boot);
    this.sessions[side]?.add(boot * 2 ** 32 + session);
  }
  generation(generation: number): void {
    if (generation < this.generationMin) this.generationMin = generation;
  }
  seal(): void {
    this.maps = [this.boots, this.seqs, this.sessions].map((sets) =>
      sets.map((set) => new Map([...set].sort((x, y) => x - y).map((v, index) => [v, index]))),
    );
  }
  rankBoot(side: Side, boot: number): number {
    return this.maps[0]?.[side]?.get(boot) ?? -1;
  }
  rankSeq(side: Side, boot: number, seq: number): number {
    return this.maps[1]?.[side]?.get(boot * 2 ** 32 + Math.min(seq, 2 ** 31)) ?? -1;
  }
  rankSession(side: Side, boot: number, session: number): number {
    return this.maps[2]?.[side]?.get(boot * 2 ** 32 + session) ?? -1;
  }
}

export function keyOf(world: World): number {
  const ranks = new Ranks();
  for (const side of SIDES) collectBoard(world, side, ranks);
  ranks.seal();
  const out: number[] = [
    world.witnessUp ? 1 : 0,
    world.budget.faults,
    world.budget.words,
    world.budget.losses,
    world.budget.delays,
    cutBits(world),
    Math.min(AGE_MAX, world.unit - world.limpUnit),
    dyingBits(world),
  ];
  for (const side of SIDES) encodeBoard(world, side, ranks, out);
  return hash(out);
}

function cutBits(world: World): number {
  const all = ['log>b', 'log>a', 'serial>b', 'serial>a', 'front-a', 'front-b', 'split'] as const;
  return all.reduce((bits, cut, index) => bits | (world.cuts.has(cut) ? 1 << index : 0), 0);
}

function collectBoard(world: World, side: Side, ranks: Ranks): void {
  const { arbiter, boot, up, disk } = world.boards[side];
  const peer = (1 - side) as Side;
  ranks.boot(side, boot);
  ranks.generation(disk.generation);
  if (up) {
    ranks.seq(side, arbiter.boot, arbiter.seq);
    for (const seq of [arbiter.doubt, arbiter.offPlantSeq]) {
      if (seq !== null) ranks.seq(side, arbiter.boot, seq);
    }
    ranks.session(side, arbiter.boot, arbiter.session);
    ranks.boot(peer, arbiter.followBoot);
    for (const grant of [arbiter.grant, arbiter.spent, arbiter.partner]) {
      if (grant !== null) ranks.session(peer, grant.boot, grant.session);
    }
    if (arbiter.peer !== null) collectStatement(arbiter.peer, peer, ranks);
    const { heard, lastWordBoot } = arbiter;
    ranks.seq(peer, heard.boot, heard.seq);
    if (isBehind(world, side)) {
      for (const path of PATHS) {
        const { boot, seq } = world.boards[side].delivered[path];
        ranks.seq(peer, boot, seq);
      }
    }
    if (lastWordBoot >= heard.boot) ranks.boot(peer, lastWordBoot);
  }
  for (const path of PATHS) {
    for (const { statement, said, log } of world.queues[side][path]) {
      collectStatement(statement, peer, ranks);
      ranks.seq(peer, said.boot, said.seq);
      if (log !== null) {
        const owner = log.kind === 'ack' ? peer : side;
        ranks.session(owner, log.session.boot, log.session.session);
      }
    }
  }
}

/** `from`: who said it. */
function collectStatement(statement: Statement, from: Side, ranks: Ranks): void {
  const peer = (1 - from) as Side;
  ranks.seq(from, statement.boot, statement.seq);
  ranks.session(from, statement.boot, statement.session);
  ranks.seq(peer, statement.echoBoot, statement.echoSeq);
  for (const grant of [statement.grant, statement.spent]) {
    if (grant !== null) ranks.session(peer, grant.boot, grant.session);
  }
  ranks.generation(statement.generation);
}

function encodeBoard(world: World, side: Side, ranks: Ranks, out: number[]): void {
  const board = world.boards[side];
  const near = (position: number | null) =>
    position === null ? -9 : Math.max(-2, Math.min(3, position - world.released));
  out.push(
    board.up ? 1 + (board.hung ? 1 : 0) + (board.asleep ? 1 : 0) : 0,
    board.ticked ? 1 : 0,
    board.limps ? 1 : 0,
    board.disk.generation - ranks.generationMin,
    STANDINGS.indexOf(board.disk.standing),
    ranks.rankBoot(side, board.boot),
    board.arbiter.writing === null ? 0 : 1 + Math.min(board.writeAge, 1),
    near(board.diskAt),
  );
  if (board.up) {
    const waits = board.at !== null && board.at > board.outAt ? 1 : 0;
    out.push(waits, near(board.at), near(board.forkAt), MARKS.indexOf(board.sentMark));
    encodeArbiter(board.arbiter, side, world.unit, ranks, out);
  }
  const behind = isBehind(world, side);
  for (const path of PATHS) {
    const queue = world.queues[side][path];
    if (behind) {
      const { boot, seq } = board.delivered[path];
      out.push(ranks.rankSeq((1 - side) as Side, boot, seq));
    }
    out.push(queue.length);
    for (const { statement, said, log, age } of queue) {
      out.push(age, ranks.rankSeq((1 - side) as Side, said.boot, said.seq));
      encodeStatement(statement, (1 - side) as Side, ranks, out);
      encodeLog(log, side, ranks, near, out);
    }
  }
}

/** What the peer of `side` says, or said and is on its way, is not above what was heard of it. */
function isBehind(world: World, side: Side): boolean {
  const { arbiter, up } = world.boards[side];
  const { arbiter: speaker, boot, up: speaks } = world.boards[1 - side] as Board;
  if (!up) return false;
  const { heard } = arbiter;
  const old = (said: { boot: number; seq: number }) =>
    said.boot < heard.boot || (said.boot === heard.boot && said.seq < heard.seq);
  if (speaks ? old(speaker) : boot < heard.boot) return true;
  return PATHS.some((path) => world.queues[side][path].some(({ said }) => old(said)));
}

function dyingBits({ dying }: World): number {
  if (dying === null) return -1;
  return dying.unitsLeft * 4 + dying.side * 2 + (dying.byHand ? 1 : 0);
}

function encodeArbiter(
  arbiter: ArbiterState,
  side: Side,
  unit: number,
  ranks: Ranks,
  out: number[],
): void {
  const peer = (1 - side) as Side;
  const nowMs = unit * UNIT_MS;
  const age = (ms: number, max = AGE_MAX) => Math.min(max, Math.round((nowMs - ms) / UNIT_MS));
  const waits = ['seeking', 'leaving', 'isolated'].includes(arbiter.role);
  out.push(
    ROLE_NUMBER.get(arbiter.role) ?? -1,
    waits ? age(arbiter.sinceMs, LONG_AGE_MAX) : 0,
    GATES.indexOf(arbiter.gate),
    ranks.rankSeq(side, arbiter.boot, arbiter.seq),
    arbiter.generation - ranks.generationMin,
    arbiter.record.generation - ranks.generationMin,
    STANDINGS.indexOf(arbiter.record.standing),
    arbiter.writing === null ? -1 : STANDINGS.indexOf(arbiter.writing.standing),
    arbiter.writing === null ? -1 : arbiter.writing.generation - ranks.generationMin,
    ['boot', 'go-live', 'swap', 'take'].indexOf(arbiter.plan),
    ranks.rankBoot(peer, arbiter.followBoot),
    ranks.rankSession(side, arbiter.boot, arbiter.session),
    MARKS.indexOf(arbiter.mark),
    arbiter.logLostMs === null ? -1 : age(arbiter.logLostMs),
    (arbiter.wantsRenounce ? 1 : 0) + (arbiter.switchOver ? 2 : 0) + (arbiter.resetAsked ? 4 : 0),
    age(arbiter.heardMs.log),
    age(arbiter.heardMs.serial),
    age(arbiter.heardMs.front),
    // The witness counts against the newest word of the peer, which may be older than AGE_MAX.
    age(arbiter.wordsRunMs),
    age(arbiter.witnessMs),
    age(arbiter.witnessRunMs),
    Math.min(AGE_MAX, witnessAfterWord(arbiter)),
    age(arbiter.awakeMs, arbiter.role === 'seeking' ? LONG_AGE_MAX : AGE_MAX),
    age(arbiter.tickedMs, LONG_AGE_MAX),
    arbiter.tickedMs - arbiter.awakeMs > MODEL_LIMITS.stallMs
      ? 0
      : age(arbiter.stalledMs, LONG_AGE_MAX),
    ...[arbiter.doubt, arbiter.offPlantSeq].map((seq) =>
      seq === null ? -1 : ranks.rankSeq(side, arbiter.boot, seq),
    ),
    arbiter.hasMissed ? 1 : 0,
    arbiter.peer === null ? 0 : 1,
    arbiter.limp === null ? 0 : 1,
    age(arbiter.swappedMs),
  );
  for (const grant of [arbiter.grant, arbiter.spent, arbiter.partner]) {
    encodeGrant(grant, peer, ranks, out);
  }
  const { heard, lastWordBoot } = arbiter;
  out.push(
    ranks.rankSeq(peer, heard.boot, heard.seq),
    // Of an earlier start it means nothing any more.
    lastWordBoot >= heard.boot ? ranks.rankBoot(peer, lastWordBoot) : -1,
  );
  if (arbiter.peer !== null) encodeStatement(arbiter.peer, peer, ranks, out);
}

function witnessAfterWord({ witnessMs, heardMs }: ArbiterState): number {
  const lastMs = Math.max(heardMs.log, heardMs.serial, heardMs.front);
  const after = Math.round((witnessMs - lastMs) / UNIT_MS);
  return Number.isNaN(after) ? -9 : Math.max(-2, after);
}

function encodeGrant(grant: Grant | null, owner: Side, ranks: Ranks, out: number[]): void {
  out.push(grant === null ? -1 : ranks.rankSession(owner, grant.boot, grant.session));
}

function encodeStatement(statement: Statement, from: Side, ranks: Ranks, out: number[]): void {
  const peer = (1 - from) as Side;
  const { hears } = statement;
  out.push(
    ROLE_NUMBER.get(statement.role) ?? -1,
    ranks.rankSeq(from, statement.boot, statement.seq),
    statement.generation - ranks.generationMin,
    STANDINGS.indexOf(statement.standing),
    ranks.rankSession(from, statement.boot, statement.session),
    ranks.rankSeq(peer, statement.echoBoot, statement.echoSeq),
    (statement.wantsRenounce ? 1 : 0) + (statement.ready ? 2 : 0) + (statement.witness ? 4 : 0),
    (hears.log ? 1 : 0) + (hears.serial ? 2 : 0) + (hears.front ? 4 : 0),
  );
  encodeGrant(statement.grant, peer, ranks, out);
  encodeGrant(statement.spent, peer, ranks, out);
}

function encodeLog(
  log: LogPart | null,
  to: Side,
  ranks: Ranks,
  near: (position: number) => number,
  out: number[],
): void {
  if (log === null) {
    out.push(-1);
    return;
  }
  const owner = log.kind === 'ack' ? ((1 - to) as Side) : to;
  out.push(
    log.kind === 'ack' ? 0 : 1,
    log.generation - ranks.generationMin,
    ranks.rankSession(owner, log.session.boot, log.session.session),
    near(log.position),
    MARKS.indexOf(log.mark),
  );
}

/** 53 bits: two multiply-xorshift lanes. Two worlds in 2^26 explored share one by chance once in 4. */
function hash(values: readonly number[]): number {
  let low = 0x9e3779b9;
  let high = 0x85ebca6b;
  for (const value of values) {
    low = Math.imul(low ^ (value + 0x7f4a), 0xcc9e2d51);
    low ^= low >>> 15;
    high = Math.imul(high ^ (value + 0x3c6e), 0x1b873593);
    high ^= high >>> 13;
    low = (low + high) | 0;
  }
  low = Math.imul(low ^ (low >>> 16), 0x2c1b3c6d);
  high = Math.imul(high ^ (high >>> 16), 0x297a2d39);
  return (low >>> 0) * 2 ** 21 + ((high ^ (high >>> 15)) >>> 11);
}
