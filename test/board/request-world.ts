// Two real arbiters with a fake replication in virtual time, and the tracker of requests that a board has: how a pair is
// brought into each role, what an operator asks there, and how it ends. Disk, sync-up and every way between the
// boards can be held up or broken.
import { EventLog } from '../../firmware/board/events.ts';
import type { RequestAnswer } from '../../firmware/board/operator-requests.ts';
import { RequestTracker } from '../../firmware/board/request-tracker.ts';
import { arbitrate, initialState } from '../../watchdog/arbiter.ts';
import type {
  Action,
  ArbiterConfig,
  ArbiterEvent,
  ArbiterState,
  DiskRecord,
  OperatorRequest,
  Role,
} from '../../watchdog/arbiter-types.ts';
import { DEFAULT_LIMITS, PATHS, type Path } from '../../watchdog/limits.ts';
import { lastGaspOf } from '../../watchdog/statement-wire.ts';

export type Side = 'a' | 'b';
const other = (side: Side): Side => (side === 'a' ? 'b' : 'a');

const WIRE_MS = 1;
const DISK_MS = 3;
const SYNC_MS = 20;

export class BoardInWorld {
  arbiter: ArbiterState;
  readonly events: EventLog;
  readonly tracker: RequestTracker;
  /** Every role it was in, in order. */
  readonly roles: Role[] = ['cold'];
  isUp = false;
  disk: DiskRecord;
  boot = 0;
  life = 0;
  holdsDisk = false;
  held: DiskRecord | null = null;
  holdsSync = false;

  constructor(world: RequestWorld, config: ArbiterConfig, disk: DiskRecord) {
    this.arbiter = initialState(config, 0);
    this.disk = disk;
    this.events = new EventLog({ wallMs: () => world.nowMs, monoMs: () => world.nowMs });
    this.tracker = new RequestTracker(this.events);
  }

  get role(): Role {
    return this.arbiter.role;
  }
}

interface Later {
  readonly atMs: number;
  readonly run: () => void;
}

export class RequestWorld {
  nowMs = 0;
  witnessAnswers: Record<Side, boolean> = { a: true, b: true };
  readonly cut = new Set<Path>();
  readonly boards: Readonly<Record<Side, BoardInWorld>>;
  private later: Later[] = [];

  constructor(disks: Readonly<Record<Side, DiskRecord>>) {
    const config = (id: Side): ArbiterConfig => ({
      id,
      limits: { ...DEFAULT_LIMITS, seekMs: 1_000 },
      witness: 'gateway',
      allowNoWatchdog: false,
      syncAllowed: true,
    });
    this.boards = {
      a: new BoardInWorld(this, config('a'), disks.a),
      b: new BoardInWorld(this, config('b'), disks.b),
    };
  }

  /** Without a record it stays cold. */
  start(side: Side, { hasRecord = true, hasWatchdog = true } = {}): void {
    const board = this.boards[side];
    board.isUp = true;
    board.life += 1;
    board.boot += 1;
    board.arbiter = initialState(board.arbiter.config, this.nowMs);
    board.roles.push('cold');
    if (hasWatchdog) this.fire(side, { type: 'watchdog', armed: true });
    if (hasRecord) this.fire(side, { type: 'loaded', boot: board.boot, record: board.disk });
    this.tick(side, board.life);
  }

  die(side: Side, isTold: boolean): void {
    const board = this.boards[side];
    if (!board.isUp) return;
    board.isUp = false;
    board.life += 1;
    board.held = null;
    if (isTold) this.say(side, lastGaspOf(board.boot, board.disk));
  }

  /** As the loop of a board does it. */
  ask(side: Side, asked: OperatorRequest): RequestAnswer {
    const { tracker } = this.boards[side];
    const refusal = this.fire(side, { type: 'request', ...asked }).find(
      ({ do: it }) => it === 'refuse',
    );
    if (refusal?.do === 'refuse') return tracker.refused(asked, refusal.why);
    return tracker.taken(asked, this.boards[side].arbiter);
  }

  /** To the very moment; throws where it does not come. */
  until(what: string, isSo: () => boolean, withinMs = 20_000): void {
    const endMs = this.nowMs + withinMs;
    while (!isSo()) if (!this.step(endMs)) throw new Error(`not in ${withinMs} ms: ${what}`);
  }

  pass(ms: number): void {
    const endMs = this.nowMs + ms;
    while (this.step(endMs));
    this.nowMs = endMs;
  }

  /** What was held up goes on. */
  letGo(side: Side): void {
    const board = this.boards[side];
    const { held } = board;
    board.holdsDisk = false;
    board.holdsSync = false;
    board.held = null;
    if (held !== null) this.persist(side, held);
    const { role, partner } = board.arbiter;
    if (role === 'source' && partner !== null) this.perform(side, { do: 'sync-source', partner });
  }

  private step(endMs: number): boolean {
    const next = this.later[0];
    if (next === undefined || next.atMs > endMs) return false;
    this.later.shift();
    this.nowMs = next.atMs;
    next.run();
    return true;
  }

  private after(ms: number, run: () => void): void {
    const atMs = this.nowMs + ms;
    let at = this.later.length;
    while (at > 0 && this.later[at - 1]!.atMs > atMs) at--;
    this.later.splice(at, 0, { atMs, run });
  }

  private tick(side: Side, life: number): void {
    const board = this.boards[side];
    if (board.life !== life) return;
    if (this.witnessAnswers[side]) this.fire(side, { type: 'witness-answered' });
    this.fire(side, { type: 'tick' });
    this.after(DEFAULT_LIMITS.tickMs, () => this.tick(side, life));
  }

  private fire(side: Side, event: ArbiterEvent): readonly Action[] {
    const board = this.boards[side];
    if (!board.isUp) return [];
    const outcome = arbitrate(board.arbiter, event, this.nowMs);
    board.arbiter = outcome.state;
    for (const action of outcome.actions) this.perform(side, action);
    board.tracker.look(board.arbiter);
    return outcome.actions;
  }

  private perform(side: Side, action: Action): void {
    const board = this.boards[side];
    switch (action.do) {
      case 'say':
        this.say(side, action.statement);
        return;
      case 'report':
        board.roles.push(action.role);
        return;
      case 'persist':
        if (board.holdsDisk) board.held = action.record;
        else this.persist(side, action.record);
        return;
      case 'discard-guest': {
        const { life } = board;
        this.after(WIRE_MS, () => {
          if (board.life === life) this.fire(side, { type: 'guest-discarded' });
        });
        return;
      }
      case 'sync-source': {
        const { partner } = action;
        this.after(SYNC_MS, () => {
          const peer = this.boards[other(side)].arbiter;
          const isThere = peer.role === 'target' && peer.session === partner.session;
          if (isThere && !board.holdsSync && !this.cut.has('log'))
            this.fire(side, { type: 'sync-done', partner });
        });
        return;
      }
      case 'mark-log': {
        const { mark, partner } = action;
        if (this.cut.has('log')) return;
        this.after(WIRE_MS, () =>
          this.fire(other(side), { type: 'marked', mark, session: partner.session }),
        );
        return;
      }
      case 'reset':
        this.die(side, false);
        return;
      default:
        return;
    }
  }

  private say(from: Side, statement: Extract<Action, { do: 'say' }>['statement']): void {
    for (const path of PATHS) {
      if (this.cut.has(path)) continue;
      this.after(WIRE_MS, () => this.fire(other(from), { type: 'heard', path, statement }));
    }
  }

  private persist(side: Side, record: DiskRecord): void {
    const board = this.boards[side];
    const { life } = board;
    this.after(DISK_MS, () => {
      if (board.life !== life) return;
      board.disk = record;
      this.fire(side, { type: 'persisted', record });
    });
  }
}

const SOLE: DiskRecord = { generation: 3, standing: 'sole' };
const BEHIND: DiskRecord = { generation: 3, standing: 'behind' };
const UNKNOWN: DiskRecord = { generation: 0, standing: 'unknown' };

/** `leader` leads, the other one follows as far as it is let. */
function started(leader: Side, holdsSync = false): RequestWorld {
  const disks = leader === 'a' ? { a: SOLE, b: BEHIND } : { a: BEHIND, b: SOLE };
  const world = new RequestWorld(disks);
  world.boards[leader].holdsSync = holdsSync;
  world.start('a');
  world.start('b');
  return world;
}

function redundant(leader: Side): RequestWorld {
  const world = started(leader);
  const { a, b } = world.boards;
  const roles = leader === 'a' ? 'protected backup' : 'backup protected';
  world.until('in step', () => `${a.role} ${b.role}` === roles);
  world.pass(200);
  return world;
}

/** A world in which board a is in this role, just now; what is held up there is let go later. */
export const IN_ROLE: Readonly<Record<Role, () => RequestWorld>> = {
  cold: () => {
    const world = new RequestWorld({ a: SOLE, b: BEHIND });
    world.start('a', { hasRecord: false });
    return world;
  },
  seeking: () => {
    const world = new RequestWorld({ a: UNKNOWN, b: UNKNOWN });
    world.start('a');
    world.start('b');
    world.pass(2_000);
    return world;
  },
  target: () => at(started('b', true), 'target', 100),
  backup: () => redundant('b'),
  promoting: () => {
    const world = new RequestWorld({ a: SOLE, b: BEHIND });
    world.boards.a.holdsDisk = true;
    world.start('a');
    return at(world, 'promoting', 50);
  },
  solo: () => {
    const world = new RequestWorld({ a: SOLE, b: BEHIND });
    world.start('a');
    return at(world, 'solo', 50);
  },
  source: () => at(started('a', true), 'source', 50),
  granting: () => {
    const world = started('a');
    world.until('source', () => world.boards.a.role === 'source');
    world.boards.a.holdsDisk = true;
    return at(world, 'granting', 20);
  },
  protected: () => redundant('a'),
  yielding: () => {
    const world = redundant('a');
    world.cut.add('log');
    return at(world, 'yielding', 0);
  },
  soloing: () => {
    const world = redundant('a');
    world.boards.a.holdsDisk = true;
    world.die('b', true);
    return at(world, 'soloing', 20);
  },
  leaving: () => {
    const world = redundant('a');
    world.ask('a', { request: 'switch-over' });
    return at(world, 'leaving', 0);
  },
  isolated: () => {
    const world = isolated();
    return at(world, 'isolated', 20);
  },
  fenced: () => {
    const world = at(isolated(), 'isolated', 0);
    world.until('b leads', () => world.boards.b.role === 'solo');
    world.cut.clear();
    world.witnessAnswers.a = true;
    return at(world, 'fenced', 0);
  },
  maintenance: () => {
    const world = redundant('b');
    world.ask('a', { request: 'maintenance', on: true });
    return at(world, 'maintenance', 50);
  },
  stopped: () => {
    const world = redundant('b');
    world.ask('a', { request: 'stop', force: false });
    return at(world, 'stopped', 50);
  },
};

function isolated(): RequestWorld {
  const world = redundant('a');
  for (const path of PATHS) world.cut.add(path);
  world.witnessAnswers.a = false;
  return world;
}

/** In this role for so long already. */
function at(world: RequestWorld, role: Role, forMs: number): RequestWorld {
  world.until(role, () => world.boards.a.role === role);
  world.pass(forMs);
  return world;
}
