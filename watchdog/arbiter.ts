// Who is primary. A pure function (state, event, now) -> (state, actions): no clock, no I/O, no
// randomness; the same code runs in the board, in the exploration of all interleavings and in the
// timed simulation. ARBITER.md has the rules with their reasons and the argument for safety.
//
// Duties of the caller:
// 1. Call `arbitrate` for every event in the order of arrival, with a monotonic clock that goes on
//    while the machine is suspended (CLOCK_BOOTTIME), and `tick` every `limits.tickMs`.
// 2. Carry out the actions in order. `gate` takes effect before the next action is begun.
// 3. Answer every `persist` with `persisted`, after the bytes are safe on the disk, count the boot up on
//    disk before `loaded`, and answer `count-start` with `start-counted` when the disk has that number.
// 4. Send each statement on every path at the path's own pace, urgent ones at once. Deliver only
//    authenticated statements, in order and once per path, a last word once per start and path
//    (paths may overtake one another).
// 5. Acknowledge log entries exactly while role is target or backup, naming generation and session;
//    count acknowledgements exactly when they name the own generation and the grant.
//
/* diagram, drawn from transitions.ts
cold       ─── the record is read ───────────────────────────────────────────▶ seeking
seeking    ─┬─ its record leads, or the operator says so ────────────────────▶ promoting
            ├─ the peer leads ───────────────────────────────────────────────▶ target
            ├─ operator ─────────────────────────────────────────────────────▶ maintenance
            └─ operator ─────────────────────────────────────────────────────▶ stopped
target     ─┬─ granted, marked, fit ─────────────────────────────────────────▶ backup
            ├─ out of this session, begins another ──────────────────────────▶ target
            ├─ the primary is gone ──────────────────────────────────────────▶ seeking
            ├─ operator ─────────────────────────────────────────────────────▶ maintenance
            └─ operator ─────────────────────────────────────────────────────▶ stopped
backup     ─┬─ all silent and a witness, a last word, or handed over to ─────▶ promoting
            ├─ asked to renounce, overtaken, diverged or unfit ──────────────▶ target
            ├─ the primary is gone and its state is newer ───────────────────▶ seeking
            ├─ operator ─────────────────────────────────────────────────────▶ maintenance
            └─ operator ─────────────────────────────────────────────────────▶ stopped
promoting  ─┬─ sole is on disk ──────────────────────────────────────────────▶ solo
            ├─ shared is on disk, the peer stays in step ────────────────────▶ protected
            └─ the peer has a newer reign ───────────────────────────────────▶ fenced
solo       ─┬─ the peer is there and well ───────────────────────────────────▶ source
            ├─ operator, by force ───────────────────────────────────────────▶ stopped
            └─ the peer has a newer reign ───────────────────────────────────▶ fenced
source     ─┬─ the peer has everything ──────────────────────────────────────▶ granting
            ├─ the peer left ────────────────────────────────────────────────▶ solo
            └─ the peer has a newer reign ───────────────────────────────────▶ fenced
granting   ─┬─ shared is on disk ────────────────────────────────────────────▶ protected
            ├─ the peer left ────────────────────────────────────────────────▶ soloing
            └─ the peer has a newer reign ───────────────────────────────────▶ fenced
protected  ─┬─ log link dead, peer alive ────────────────────────────────────▶ yielding
            ├─ the peer cannot promote ──────────────────────────────────────▶ soloing
            ├─ operator, unfit, or cut off from the plant ───────────────────▶ leaving
            ├─ hears nobody, or slept ───────────────────────────────────────▶ isolated
            └─ the peer has a newer reign ───────────────────────────────────▶ fenced
yielding   ─┬─ the peer renounced ───────────────────────────────────────────▶ soloing
            ├─ hears nobody, or slept ───────────────────────────────────────▶ isolated
            └─ the peer has a newer reign ───────────────────────────────────▶ fenced
soloing    ─┬─ sole is on disk ──────────────────────────────────────────────▶ solo
            └─ the peer has a newer reign ───────────────────────────────────▶ fenced
leaving    ─┬─ the peer took over ───────────────────────────────────────────▶ backup
            ├─ the peer cannot promote: resumes ─────────────────────────────▶ soloing
            ├─ the peer died while taking over ──────────────────────────────▶ promoting
            └─ the peer took over without this board ────────────────────────▶ fenced
isolated   ─┬─ the peer answers and has not gone on ─────────────────────────▶ protected
            ├─ the peer cannot promote ──────────────────────────────────────▶ soloing
            └─ the peer has a newer reign ───────────────────────────────────▶ fenced
fenced     ─── the machine is thrown away ───────────────────────────────────▶ seeking
maintenance─┬─ operator ─────────────────────────────────────────────────────▶ seeking
            └─ operator ─────────────────────────────────────────────────────▶ stopped
*/
import { strict as assert } from 'node:assert';
import { seeking } from './arbiter-cold.ts';
import { noticeIsolation, noticeSleep, takeStatement, witnessAnswers } from './arbiter-evidence.ts';
import { fencedByPeer } from './arbiter-fence.ts';
import { backup, promoting, target } from './arbiter-follow.ts';
import {
  granting,
  protectedRoles,
  solo,
  soloing,
  source,
  syncDone,
  takenOver,
} from './arbiter-lead.ts';
import { request } from './arbiter-operator.ts';
import { exceedEcho, startCounted } from './arbiter-start.ts';
import {
  copyState,
  type Done,
  enter,
  hasNews,
  renounce,
  sameRecord,
  say,
  type Turn,
} from './arbiter-turn.ts';
import {
  type Action,
  type ArbiterConfig,
  type ArbiterEvent,
  type ArbiterState,
  LEADING,
} from './arbiter-types.ts';
import { ALL_RULES, type RulesOff } from './rules.ts';

export interface Outcome {
  readonly state: ArbiterState;
  readonly actions: readonly Action[];
}

export function initialState(config: ArbiterConfig, nowMs: number): ArbiterState {
  const never = Number.NEGATIVE_INFINITY;
  return {
    config,
    role: 'cold',
    why: 'just started',
    sinceMs: nowMs,
    gate: 'closed',
    boot: 0,
    isCounted: true,
    seq: 0,
    generation: 0,
    record: { generation: 0, standing: 'unknown' },
    writing: null,
    plan: 'boot',
    followBoot: 0,
    session: 0,
    mark: 'none',
    partner: null,
    grant: null,
    spent: null,
    wantsRenounce: false,
    logLostMs: null,
    switchOver: false,
    after: 'backup',
    peer: null,
    heard: { boot: 0, seq: 0 },
    lastWordBoot: 0,
    heardMs: { log: never, serial: never, front: never },
    wordsRunMs: never,
    witnessMs: never,
    witnessRunMs: nowMs,
    awakeMs: nowMs,
    tickedMs: nowMs,
    pettedMs: never,
    stalledMs: nowMs,
    doubt: null,
    hasMissed: false,
    offPlantSeq: null,
    healthy: true,
    alive: true,
    limp: null,
    swappedMs: never,
    syncFailures: 0,
    syncBoot: 0,
    inStepMs: never,
    syncPausedUntilMs: never,
    watchdogArmed: false,
    resetAsked: false,
  };
}

export function arbitrate(state: ArbiterState, event: ArbiterEvent, nowMs: number): Outcome {
  return arbitrateWith(ALL_RULES, state, event, nowMs);
}

/** For tests: the same with some rules switched off. */
export function arbitrateWith(
  rulesOff: RulesOff,
  state: ArbiterState,
  event: ArbiterEvent,
  nowMs: number,
): Outcome {
  assert.ok(nowMs >= state.tickedMs, 'the clock of the arbiter never runs backwards');
  const turn: Turn = { state: copyState(state), actions: [], nowMs, rulesOff };
  noticeSleep(turn);
  take(turn, event);
  if (turn.state.role !== 'cold') {
    noticeIsolation(turn);
    settle(turn);
    const urgent = hasNews(state, turn.state);
    if (urgent || event.type === 'tick') say(turn, urgent);
  }
  if (event.type === 'tick') pet(turn);
  return { state: turn.state, actions: turn.actions };
}

/** The event into the state; what follows from it is `settle`'s. */
function take(turn: Turn, event: ArbiterEvent): Done {
  const { state, nowMs } = turn;
  switch (event.type) {
    case 'tick':
      state.tickedMs = nowMs;
      return;
    case 'loaded':
      assert.ok(state.role === 'cold', 'a record is loaded once');
      state.boot = event.boot;
      state.record = event.record;
      state.generation = event.record.generation;
      return enter(turn, 'seeking', 'looking for the peer');
    case 'start-counted':
      return startCounted(turn, event.boot);
    case 'heard':
      takeStatement(turn, event.path, event.statement);
      return exceedEcho(turn, event.statement);
    case 'path-down':
      state.heardMs[event.path] = Number.NEGATIVE_INFINITY;
      return;
    case 'front-out':
      state.heardMs.front = Number.NEGATIVE_INFINITY;
      state.witnessMs = Number.NEGATIVE_INFINITY;
      return;
    case 'witness-answered':
      return witnessAnswers(turn);
    case 'persisted':
      if (state.writing === null || !sameRecord(state.writing, event.record)) return;
      state.record = event.record;
      state.writing = null;
      return;
    case 'health':
      state.healthy = event.ok;
      state.alive = event.isAlive ?? event.ok;
      return;
    case 'limp':
      state.limp = event.why;
      return;
    case 'watchdog':
      state.watchdogArmed = event.armed;
      return;
    case 'sync-done':
      return syncDone(turn, event.partner);
    case 'marked':
      if (event.session === state.session) state.mark = event.mark;
      return;
    case 'diverged':
      return diverged(turn, event.why);
    case 'guest-discarded':
      return discarded(turn);
    case 'request':
      return request(turn, event);
  }
}

function diverged(turn: Turn, why = 'diverged from the primary'): Done {
  const { state } = turn;
  if (state.role !== 'backup' && state.role !== 'target') return;
  renounce(turn);
  turn.actions.push({ do: 'sync-target', session: state.session });
  enter(turn, 'target', why);
}

function discarded(turn: Turn): Done {
  if (turn.state.role !== 'fenced') return;
  renounce(turn);
  enter(turn, 'seeking', 'the machine is thrown away');
}

/** Lets each role look at what is known now, until none has more to do. */
function settle(turn: Turn): Done {
  for (let round = 0; ; round++) {
    assert.ok(round < 8, 'roles chase each other');
    const { role } = turn.state;
    evaluate(turn);
    if (turn.state.role === role) return;
  }
}

function evaluate(turn: Turn): Done {
  const { role } = turn.state;
  if (takenOver(turn)) return;
  if (LEADING.has(role) && fencedByPeer(turn)) return;
  switch (role) {
    case 'seeking':
      return seeking(turn);
    case 'target':
      return target(turn);
    case 'backup':
      return backup(turn);
    case 'promoting':
      return promoting(turn);
    case 'solo':
      return solo(turn);
    case 'source':
      return source(turn);
    case 'granting':
      return granting(turn);
    case 'soloing':
      return soloing(turn);
    case 'protected':
    case 'yielding':
    case 'leaving':
    case 'isolated':
      return protectedRoles(turn);
  }
}

/** The hardware watchdog is fed by this verdict alone, never by a timer of its own. */
function pet(turn: Turn): Done {
  const { state, nowMs } = turn;
  if (!state.watchdogArmed || state.resetAsked || !state.alive) return;
  if (nowMs - state.pettedMs < state.config.limits.petMs) return;
  state.pettedMs = nowMs;
  turn.actions.push({ do: 'pet' });
}

/** What plant staff read on the panel. */
export type PairState = 'STOP' | 'STARTUP' | 'SYNCUP' | 'RUN-Solo' | 'RUN-Redundant';

export function pairState(state: ArbiterState): PairState {
  switch (state.role) {
    case 'protected':
      return state.peer?.role === 'backup' ? 'RUN-Redundant' : 'SYNCUP';
    case 'backup':
    case 'leaving':
      return 'RUN-Redundant';
    case 'target':
    case 'source':
    case 'granting':
      return 'SYNCUP';
    case 'solo':
    case 'soloing':
    case 'yielding':
    case 'promoting':
      return 'RUN-Solo';
    case 'cold':
    case 'seeking':
    case 'fenced':
      return 'STARTUP';
    case 'isolated':
    case 'maintenance':
    case 'stopped':
      return 'STOP';
  }
}
