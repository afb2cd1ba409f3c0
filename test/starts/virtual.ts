// A start in virtual time: the arbiter, the health, the status and the alarms of two boards as they are,
// with wires, disk and replication that do at once what theirs do later. So every combination can be tried.
import { AlarmBook } from '../../firmware/board/alarms/book.ts';
import { AlarmWatch, quietAfterStartMs } from '../../firmware/board/alarms/watch.ts';
import { parseConfig } from '../../firmware/board/config/parse.ts';
import type { BoardConfig } from '../../firmware/board/config/types.ts';
import type { EventCode } from '../../firmware/board/event-codes.ts';
import { EventLog } from '../../firmware/board/events.ts';
import { RedundancyView } from '../../firmware/board/redundancy.ts';
import {
  NO_CHECK,
  NO_SYNC,
  type ReplicationFacts,
} from '../../firmware/board/replication/types.ts';
import { type Status, statusOf } from '../../firmware/board/status.ts';
import { arbitrate, initialState } from '../../watchdog/arbiter.ts';
import type {
  Action,
  ArbiterEvent,
  ArbiterState,
  DiskRecord,
} from '../../watchdog/arbiter-types.ts';
import { Health } from '../../watchdog/health.ts';
import { checkLimits, DEFAULT_LIMITS, type Limits, type Path } from '../../watchdog/limits.ts';
import { loneConfig } from '../board/lone-config.ts';
import { WHY } from './expect.ts';
import { GENERATION, PEER_RECORD, type Start } from './factors.ts';
import { other, type Side } from './lane.ts';

/** As coarse as the relations between limits allow: fewer steps for the same decisions. */
const STEP_MS = 100;
const LIMITS: Limits = checkLimits({
  ...DEFAULT_LIMITS,
  tickMs: STEP_MS,
  heartbeatMs: { log: STEP_MS, serial: STEP_MS, front: STEP_MS },
  silentMs: { log: 410, serial: 410, front: 410 },
  witnessProbeMs: STEP_MS,
  witnessSilentMs: 410,
  stallMs: 200,
  seekMs: 4_100,
  leaveMs: 900,
});
const LOOK_MS = 500;
const SYNC_MS = 300;
const SETTLED_MS = quietAfterStartMs(LIMITS) + 1_000 + 2 * LOOK_MS;
const MOST_MS = 60_000;
const BOOT = 1_000;

export interface Found {
  readonly status: Status;
  readonly alarms: readonly string[];
  /** Of the other board; null: it does not run. */
  readonly peer: string | null;
}

export class VirtualPair {
  nowMs = 0;
  steps = 0;
  private readonly start: Start;
  private isMended = false;
  private readonly boards: Partial<Record<Side, VirtualBoard>> = {};

  constructor(start: Start) {
    this.start = start;
  }

  /** What the board is some time after its start. */
  settle(): Found {
    const { side, peer, record } = this.start;
    const peerSide = other(side);
    if (peer === 'leads') {
      this.begin(peerSide, { generation: GENERATION + 2, standing: 'sole' });
      this.until(() => this.boards[peerSide]?.state.role === 'solo');
    } else if (peer !== 'without power') {
      this.begin(peerSide, { generation: GENERATION, standing: PEER_RECORD[record] });
    }
    if (peer === 'hangs') this.boards[peerSide]!.isHanging = true;
    this.begin(side, recordOf(record));
    const untilMs = this.nowMs + SETTLED_MS;
    this.until(() => this.nowMs >= untilMs);
    const board = this.boards[side]!;
    const alarms = board.book.list().map(({ code }) => code);
    const runs = peer !== 'without power' && peer !== 'hangs';
    return {
      status: board.status(),
      alarms,
      peer: runs ? this.boards[peerSide]!.state.role : null,
    };
  }

  /** Everything comes that was missing. True: in step, in time. */
  mend(): boolean {
    const { side, peer, record } = this.start;
    this.isMended = true;
    const peerSide = other(side);
    if (peer === 'without power')
      this.begin(peerSide, { generation: GENERATION, standing: PEER_RECORD[record] });
    this.boards[peerSide]!.isHanging = false;
    const roles = () => [this.boards.a?.state.role, this.boards.b?.state.role];
    const isSo = () => roles().includes('protected') && roles().includes('backup');
    return this.until(isSo);
  }

  private begin(side: Side, record: DiskRecord | null): void {
    this.boards[side] = new VirtualBoard(side, record, this.nowMs, {
      isUnderTest: side === this.start.side,
      start: this.start,
      isMended: () => this.isMended,
    });
  }

  private until(isSo: () => boolean): boolean {
    for (const endMs = this.nowMs + MOST_MS; this.nowMs < endMs; ) {
      if (isSo()) return true;
      this.step();
    }
    return isSo();
  }

  private step(): void {
    this.nowMs += STEP_MS;
    this.steps += 1;
    for (const board of Object.values(this.boards)) board.tick(this.nowMs);
    // What one says the other hears in the same step, and answers.
    for (let any = true; any; ) {
      any = false;
      for (const board of Object.values(this.boards)) {
        const peer = this.boards[other(board.side)];
        for (const { event, path } of board.out.splice(0)) {
          if (peer === undefined || peer.isHanging || board.isHanging) continue;
          if (path !== null && !this.carries(path)) continue;
          any = true;
          peer.take(event, this.nowMs);
        }
      }
    }
  }

  private carries(path: Path): boolean {
    const { start, isMended } = this;
    return isMended || start[path] === (path === 'serial' ? 'talks' : 'carrier');
  }
}

interface Around {
  readonly isUnderTest: boolean;
  readonly start: Start;
  readonly isMended: () => boolean;
}

class VirtualBoard {
  readonly side: Side;
  readonly book = new AlarmBook(() => this.nowMs);
  readonly out: { readonly event: ArbiterEvent; readonly path: Path | null }[] = [];
  state: ArbiterState;
  isHanging = false;
  private nowMs: number;
  private readonly bornMs: number;
  private readonly events: EventLog;
  private readonly watch = new AlarmWatch(this.book, [], quietAfterStartMs(LIMITS));
  private readonly health: Health;
  private verdict: ReturnType<Health['verdict']>;
  private readonly config: BoardConfig;
  private readonly around: Around;
  private record: DiskRecord | null;
  private readonly redundancy = new RedundancyView();
  private lookMs = 0;
  private syncAtMs: number | null = null;
  private readonly queue: ArbiterEvent[] = [];

  /** `record` null: a new board. */
  constructor(side: Side, record: DiskRecord | null, nowMs: number, around: Around) {
    this.side = side;
    this.around = around;
    this.nowMs = nowMs;
    this.bornMs = nowMs;
    this.record = record ?? { generation: 0, standing: 'unknown' };
    this.config = { ...CONFIG, side };
    this.events = new EventLog({ wallMs: () => this.nowMs, monoMs: () => this.nowMs });
    this.events.listen((event) => this.watch.take(event));
    this.health = new Health({ loopLagMs: 1e9, vcpuStuckMs: 1e9, diskMs: 1e9 }, nowMs);
    this.verdict = this.health.verdict(nowMs);
    this.state = initialState(
      { id: side, limits: LIMITS, witness: 'gateway', allowNoWatchdog: false, syncAllowed: true },
      nowMs,
    );
  }

  /** Whether it finds something, now. */
  private finds(what: (start: Start) => boolean): boolean {
    const { isUnderTest, isMended, start } = this.around;
    return isUnderTest && !isMended() && what(start);
  }

  tick(nowMs: number): void {
    if (this.isHanging) return;
    this.nowMs = nowMs;
    this.readRecord();
    const missing = this.finds(({ tap, disk }) => tap === 'missing' || disk === 'missing');
    this.health.resource(missing ? 'something is missing' : null);
    const verdict = this.health.verdict(nowMs);
    if (verdict.ok !== this.verdict.ok) {
      const isAlive = this.health.isAlive(nowMs);
      this.take({ type: 'health', ok: verdict.ok, isAlive }, nowMs);
    }
    this.verdict = verdict;
    const armed = !this.finds(({ watchdog }) => watchdog !== 'there');
    if (armed !== this.state.watchdogArmed) this.take({ type: 'watchdog', armed }, nowMs);
    const { isMended, start } = this.around;
    const answers = isMended() || start.gateway === 'answers';
    if (answers && !this.finds(({ front }) => front === 'no carrier'))
      this.take({ type: 'witness-answered' }, nowMs);
    if (this.syncAtMs !== null && nowMs >= this.syncAtMs) this.synced();
    this.take({ type: 'tick' }, nowMs);
    if (nowMs < this.lookMs) return;
    this.lookMs = nowMs + LOOK_MS;
    this.watch.look(this.status(), nowMs);
  }

  take(event: ArbiterEvent, nowMs: number): void {
    this.nowMs = nowMs;
    this.queue.push(event);
    if (this.queue.length > 1) return;
    for (let next = this.queue[0]; next !== undefined; next = this.queue[0]) {
      const { state, actions } = arbitrate(this.state, next, nowMs);
      this.state = state;
      for (const action of actions) this.carryOut(action);
      this.queue.shift();
    }
  }

  private readRecord(): void {
    const { record } = this;
    if (record === null) return;
    if (this.finds(({ folder }) => folder === 'full')) {
      if (!this.book.isRaised('ALARMS-UNSAVED')) this.book.raise('ALARMS-UNSAVED', 'no room');
      if (this.events.last === null) this.events.tell('RECORD-FAILED', WHY.disk);
      return;
    }
    this.record = null;
    const told: EventCode = this.finds(({ record: on }) => on === 'damaged')
      ? 'RECORD-TROUBLE'
      : 'RECORD-LOADED';
    this.events.tell(told);
    this.take({ type: 'loaded', boot: BOOT, record }, this.nowMs);
  }

  private carryOut(action: Action): void {
    switch (action.do) {
      case 'say':
        for (const path of ['log', 'serial', 'front'] as const)
          this.out.push({ event: { type: 'heard', path, statement: action.statement }, path });
        break;
      case 'persist':
        this.queue.push({ type: 'persisted', record: action.record });
        break;
      case 'count-start':
        this.queue.push({ type: 'start-counted', boot: action.boot });
        break;
      case 'discard-guest':
        this.queue.push({ type: 'guest-discarded' });
        break;
      case 'sync-source':
        this.syncAtMs = this.nowMs + SYNC_MS;
        break;
      case 'sync-stop':
        this.syncAtMs = null;
        break;
      case 'mark-log': {
        const { mark, partner } = action;
        this.out.push({ event: { type: 'marked', mark, session: partner.session }, path: 'log' });
      }
    }
  }

  private synced(): void {
    this.syncAtMs = null;
    const { partner } = this.state;
    const { isMended, start } = this.around;
    const carries = isMended() || start.log === 'carrier';
    if (partner !== null && carries) this.take({ type: 'sync-done', partner }, this.nowMs);
  }

  status(): Status {
    const { state, nowMs, bornMs, verdict, config } = this;
    const armed = state.watchdogArmed;
    return statusOf({
      ...{ config, state, nowMs, bornMs, verdict, facts: FACTS },
      coldWhy: this.finds(({ folder }) => folder === 'full') ? WHY.disk : null,
      counters: { log: NO_FRAMES, serial: NO_FRAMES, front: NO_FRAMES },
      witnessTrouble: null,
      redundancy: this.redundancy.look(state, nowMs, { here: config.name, there: 'the other one' }),
      dog: { armed, identity: null, timeoutMs: null, causedLastReset: null, why: null },
      ...{ takeover: null, lastEvent: null, alarms: [], configStatus: null, firmware: 'virtual' },
      peerExtras: { position: 0n, health: 0 },
      ticks: { ticks: 0, late: 0, worstLateMs: 0 },
    });
  }
}

const recordOf = (record: Start['record']): DiskRecord | null => {
  if (record === 'new') return null;
  return { generation: GENERATION, standing: record === 'damaged' ? 'unknown' : record };
};

const NO_FRAMES = { sent: 0, accepted: 0, rejected: 0 };

/** With every path and a gateway. */
const CONFIG: BoardConfig = (() => {
  const text = loneConfig({ host: 1 })
    .replace('gateway = "none"', 'gateway = "127.0.0.1"')
    .replace('port = "none"', 'port = "/dev/ttyS1"');
  return { ...parseConfig(text, '/').config, limits: LIMITS };
})();

const FACTS: ReplicationFacts = {
  ...{ guest: 'none', position: 0n, virtualNs: 0n, runs: false, lives: 0, lagMs: null },
  engine: { kind: 'soft', why: 'asked for' },
  clock: { offMs: null, worstMs: null, peerErrorMs: null },
  ...{
    isFarBehind: false,
    syncRateMibS: 0,
    logKbps: 0,
    isReady: true,
    missing: null,
    lastTakeover: null,
  },
  gate: { mode: 'closed', waiting: 0, oldestMs: 0 },
  link: { up: true, rttUs: 0, frameBytes: 0, paths: [] },
  sync: NO_SYNC,
  check: NO_CHECK,
  ...{ disks: [], diskBusySinceMs: null, nets: [], peerAbout: null },
};
