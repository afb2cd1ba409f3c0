// One turn of the arbiter: a private copy of the state, the actions so far, and the small steps
// every role is written in. Nothing here decides.
import { strict as assert } from 'node:assert';
import type {
  Action,
  ArbiterState,
  DiskRecord,
  Gate,
  Grant,
  Role,
  Standing,
  Statement,
} from './arbiter-types.ts';
import type { Path } from './limits.ts';
import type { RuleName, RulesOff } from './rules.ts';
import { isEdge } from './transitions.ts';

/** What a step returns: nothing. Named, so that `return enter(...)` may end a decision. */
export type Done = undefined;

export interface Turn {
  readonly state: ArbiterState;
  readonly actions: Action[];
  readonly nowMs: number;
  readonly rulesOff: RulesOff;
}

export function holds(turn: Turn, rule: RuleName): boolean {
  return !turn.rulesOff.has(rule);
}

export function enter(turn: Turn, role: Role, why: string): Done {
  const { state } = turn;
  // A rule switched off on purpose may take edges the table does not know.
  if (turn.rulesOff.size === 0) {
    assert.ok(isEdge(state.role, role), `no edge ${state.role} -> ${role} (${why})`);
  }
  state.role = role;
  state.why = why;
  state.sinceMs = turn.nowMs;
  turn.actions.push({ do: 'report', role, why });
}

export function setGate(turn: Turn, gate: Gate): Done {
  if (turn.state.gate === gate) return;
  turn.state.gate = gate;
  turn.actions.push({ do: 'gate', gate });
}

/** Orders a record written. `persisted` comes back; a later order replaces an earlier one. */
export function persist(turn: Turn, generation: number, standing: Standing): Done {
  const { state } = turn;
  const record: DiskRecord = { generation, standing };
  if (state.writing === null && sameRecord(state.record, record)) return;
  if (state.writing !== null && sameRecord(state.writing, record)) return;
  state.writing = record;
  turn.actions.push({ do: 'persist', record });
}

/** The disk holds exactly this and nothing else is on its way. */
export function onDisk(state: ArbiterState, generation: number, standing: Standing): boolean {
  return state.writing === null && sameRecord(state.record, { generation, standing });
}

export function sameRecord(one: DiskRecord, other: DiskRecord): boolean {
  return one.generation === other.generation && one.standing === other.standing;
}

export function sameGrant(one: Grant | null, other: Grant | null): boolean {
  return one !== null && other !== null && one.boot === other.boot && one.session === other.session;
}

/** Gives up every claim under the present session, for good. */
export function renounce(turn: Turn): Done {
  turn.state.session += 1;
  turn.state.mark = 'none';
  turn.state.offPlantSeq = null;
}

export function mayLead(state: ArbiterState): boolean {
  return whyNotLead(state) === null;
}

/** In words for the operator, or null. */
export function whyNotLead({ healthy, watchdogArmed, config }: ArbiterState): string | null {
  if (!healthy) return 'this board is not fit to lead';
  if (watchdogArmed || config.allowNoWatchdog) return null;
  return 'no watchdog is armed, and the configuration forbids to lead without one';
}

/** Could lead or follow. Who limps can do neither well. */
function isReady(state: ArbiterState): boolean {
  const { config, after, limp } = state;
  return mayLead(state) && config.syncAllowed && after === 'backup' && limp === null;
}

/** What an operator asked for does not come about, or has: nothing of it is done later. */
export function forgetRequest(state: ArbiterState): Done {
  state.switchOver = false;
  state.after = 'backup';
}

export function hears(turn: Turn, path: Path): boolean {
  const { state, nowMs } = turn;
  return nowMs - state.heardMs[path] <= state.config.limits.silentMs[path];
}

/**
 * Does this path carry, as far as one can tell? A path is blamed only for silence while the peer went
 * on speaking elsewhere and this board was awake to hear it: a stall of either is not a cut.
 */
export function pathWorks(turn: Turn, path: Path): boolean {
  const { state } = turn;
  const { heardMs } = state;
  const lastMs = Math.max(heardMs.log, heardMs.serial, heardMs.front);
  const sinceMs = Math.max(heardMs[path], state.wordsRunMs, state.awakeMs);
  return lastMs - sinceMs <= state.config.limits.silentMs[path];
}

export function statementOf(turn: Turn): Statement {
  const { state } = turn;
  const { limits } = state.config;
  const standing = state.record.generation === state.generation ? state.record.standing : 'pending';
  return {
    boot: state.boot,
    seq: state.seq,
    role: state.role,
    generation: state.generation,
    standing,
    session: state.session,
    grant: state.grant,
    spent: state.spent,
    wantsRenounce: state.wantsRenounce,
    ready: isReady(state),
    hears: {
      log: pathWorks(turn, 'log'),
      serial: pathWorks(turn, 'serial'),
      front: pathWorks(turn, 'front'),
    },
    // Who slept heard nothing meanwhile, and is not off the plant for it.
    witness:
      state.witnessMs > Number.NEGATIVE_INFINITY &&
      turn.nowMs - Math.max(state.witnessMs, state.awakeMs) <= limits.witnessSilentMs,
    echoBoot: state.heard.boot,
    echoSeq: state.heard.seq,
  };
}

/** A backup that nobody of the plant answers: it takes over from nobody. */
export function isOffPlant({ role, witness }: Statement, { config }: ArbiterState): boolean {
  return role === 'backup' && !witness && config.witness === 'gateway';
}

export function say(turn: Turn, urgent: boolean): Done {
  const { state } = turn;
  if (!state.isCounted) return;
  state.seq += 1;
  const statement = statementOf(turn);
  // From now on the peer may count on it (arbiter-lead.ts, `cannotTakeOver`).
  if (isOffPlant(statement, state) && holds(turn, 'off-plant-waits')) state.offPlantSeq = state.seq;
  turn.actions.push({ do: 'say', urgent, statement });
}

/** Is there something that the other board must learn at once rather than with the next heartbeat? */
export function hasNews(before: ArbiterState, after: ArbiterState): boolean {
  return (
    before.role !== after.role ||
    before.isCounted !== after.isCounted ||
    before.generation !== after.generation ||
    before.session !== after.session ||
    before.grant?.session !== after.grant?.session ||
    before.grant?.boot !== after.grant?.boot ||
    before.wantsRenounce !== after.wantsRenounce ||
    before.record.standing !== after.record.standing ||
    before.record.generation !== after.record.generation ||
    before.doubt !== after.doubt ||
    before.healthy !== after.healthy ||
    (before.limp === null) !== (after.limp === null) ||
    before.peer?.boot !== after.peer?.boot
  );
}

/** Field by field: a thousand copies a second, and a spread of so many fields takes twenty times as long. */
export function copyState(of: ArbiterState): ArbiterState {
  const { log, serial, front } = of.heardMs;
  return {
    config: of.config,
    role: of.role,
    why: of.why,
    sinceMs: of.sinceMs,
    gate: of.gate,
    boot: of.boot,
    isCounted: of.isCounted,
    seq: of.seq,
    generation: of.generation,
    record: of.record,
    writing: of.writing,
    plan: of.plan,
    followBoot: of.followBoot,
    session: of.session,
    mark: of.mark,
    partner: of.partner,
    grant: of.grant,
    spent: of.spent,
    wantsRenounce: of.wantsRenounce,
    logLostMs: of.logLostMs,
    switchOver: of.switchOver,
    after: of.after,
    peer: of.peer,
    heard: of.heard,
    lastWordBoot: of.lastWordBoot,
    heardMs: { log, serial, front },
    wordsRunMs: of.wordsRunMs,
    witnessMs: of.witnessMs,
    witnessRunMs: of.witnessRunMs,
    awakeMs: of.awakeMs,
    tickedMs: of.tickedMs,
    pettedMs: of.pettedMs,
    stalledMs: of.stalledMs,
    doubt: of.doubt,
    hasMissed: of.hasMissed,
    offPlantSeq: of.offPlantSeq,
    healthy: of.healthy,
    alive: of.alive,
    limp: of.limp,
    swappedMs: of.swappedMs,
    syncFailures: of.syncFailures,
    syncBoot: of.syncBoot,
    inStepMs: of.inStepMs,
    syncPausedUntilMs: of.syncPausedUntilMs,
    watchdogArmed: of.watchdogArmed,
    resetAsked: of.resetAsked,
  };
}
