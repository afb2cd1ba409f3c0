// The leader: alone (solo, source, granting), protected (protected, yielding, leaving, isolated),
// and the way back from protected to alone (soloing). The gate is open only where nobody else can
// promote: before a grant is given, or after it is void.

import {
  isHearsay,
  lastHeardMs,
  leads,
  logWorks,
  silentEverywhere,
  witnessSpeaksForMe,
} from './arbiter-evidence.ts';
import { promote } from './arbiter-follow.ts';
import {
  type Done,
  enter,
  forgetRequest,
  hears,
  holds,
  isOffPlant,
  mayLead,
  onDisk,
  persist,
  sameGrant,
  setGate,
  type Turn,
} from './arbiter-turn.ts';
import type { ArbiterState, Grant, Statement } from './arbiter-types.ts';

export function solo(turn: Turn): Done {
  const { state } = turn;
  const { peer } = state;
  // A hand-over somebody asked for and that brought this board here has failed.
  forgetRequest(state);
  if (peer === null || peer.role !== 'target' || !peer.ready || !logWorks(turn)) return;
  if (peer.generation !== state.generation || peer.echoBoot !== state.boot) return;
  const partner: Grant = { boot: peer.boot, session: peer.session };
  if (!state.config.syncAllowed || isUsedUp(state, partner) || syncPauses(turn, peer.boot)) return;
  state.partner = partner;
  turn.actions.push({ do: 'sync-source', partner });
  enter(turn, 'source', 'the peer wants to be in step');
}

/**
 * The peer came out of step, or never was. In step for a while it could stay so, and this is another fault; else
 * the next sync-up is one too many soon.
 */
function syncFailed({ state, nowMs }: Turn): Done {
  const { syncLastsMs, syncPauseMs, syncPauseMaxMs } = state.config.limits;
  const hasLasted = state.grant !== null && nowMs - state.inStepMs >= syncLastsMs;
  state.syncFailures = hasLasted ? 0 : state.syncFailures + 1;
  const doublings = state.syncFailures - FREE_FAILURES - 1;
  if (doublings < 0 || syncPauseMs === 0) return;
  state.syncPausedUntilMs = nowMs + Math.min(syncPauseMaxMs, syncPauseMs * 2 ** doublings);
}

/** What fails once or twice in a row may be chance: a cable that was just put in, a tick too late. */
const FREE_FAILURES = 1;

/** Another start of the peer begins with none. */
function syncPauses({ state, nowMs }: Turn, boot: number): boolean {
  if (boot !== state.syncBoot) forgetSyncFailures(state);
  state.syncBoot = boot;
  return nowMs < state.syncPausedUntilMs;
}

export function forgetSyncFailures(state: ArbiterState): Done {
  state.syncFailures = 0;
  state.syncPausedUntilMs = Number.NEGATIVE_INFINITY;
}

/** A session I once granted and took back must not be granted again: it may be an old machine. */
function isUsedUp(state: ArbiterState, partner: Grant): boolean {
  const { spent } = state;
  return spent !== null && spent.boot === partner.boot && partner.session <= spent.session;
}

export function source(turn: Turn): Done {
  const { syncAllowed, limits } = turn.state.config;
  const isLost = logLostForMs(turn) > limits.syncSilenceMs;
  if (partnerStays(turn) && !isLost && syncAllowed) return;
  turn.state.partner = null;
  turn.actions.push({ do: 'sync-stop' });
  if (syncAllowed) syncFailed(turn);
  enter(turn, 'solo', syncAllowed ? 'sync-up lost its target' : 'sync-up is forbidden');
}

/** In the present role; 0: it works. */
function logLostForMs(turn: Turn): number {
  const { state, nowMs } = turn;
  if (logWorks(turn)) state.logLostMs = null;
  else if (state.logLostMs === null || state.logLostMs < state.sinceMs) state.logLostMs = nowMs;
  return nowMs - (state.logLostMs ?? nowMs);
}

function partnerStays(turn: Turn): boolean {
  const { peer, partner } = turn.state;
  return peer !== null && partner !== null && peer.role === 'target' && isSession(peer, partner);
}

function isSession(peer: Statement, grant: Grant): boolean {
  return peer.boot === grant.boot && peer.session === grant.session;
}

/** The peer's session holds everything: protect, in the order gate, disk, grant. */
export function syncDone(turn: Turn, partner: Grant): Done {
  const { state } = turn;
  if (state.role !== 'source' || !sameGrant(state.partner, partner)) return;
  if (holds(turn, 'gate-shut-before-grant')) setGate(turn, 'acked');
  persist(turn, state.generation, 'shared');
  enter(turn, 'granting', 'the peer has everything');
}

export function granting(turn: Turn): Done {
  const { state } = turn;
  const written = onDisk(state, state.generation, 'shared');
  if (!written && holds(turn, 'persist-before-grant')) return;
  if (!partnerStays(turn) || !logWorks(turn)) {
    return goAlone(turn, 'the peer left before it was granted');
  }
  state.grant = state.partner;
  state.inStepMs = turn.nowMs;
  turn.actions.push({ do: 'mark-log', mark: 'grant', partner: state.grant as Grant });
  enter(turn, 'protected', 'in step');
}

/** protected, yielding, leaving and isolated share what ends them. */
export function protectedRoles(turn: Turn): Done {
  const { state } = turn;
  if (grantIsVoid(turn))
    return goAlone(turn, 'the peer cannot lead: it said so, or its start is new');
  const death = proofOfDeath(turn);
  if (death !== null) return outlive(turn, death);
  if (silentEverywhere(turn)) return silence(turn);
  if (cannotTakeOver(turn))
    return goAlone(turn, 'the peer is off the plant and the log link silent');
  // In doubt and nothing answered it yet: whatever was decided before sleeping waits.
  if (state.role === 'isolated') return wakeUp(turn);
  if (state.role === 'leaving') return leaving(turn);
  if (state.role === 'protected') {
    if (!isTold(turn)) inStep(turn);
  } else if (!holds(turn, 'solo-needs-renunciation')) goAlone(turn, 'rule off');
}

/** True when the machine that the grant went to is gone or will never promote. */
function grantIsVoid(turn: Turn): boolean {
  const { peer, grant, doubt } = turn.state;
  if (peer === null || grant === null || peer.role === 'dead') return false;
  if (peer.generation > turn.state.generation) return false;
  if (peer.boot > grant.boot) {
    // Started anew without a record: what it did while I slept, nobody knows.
    return peer.standing !== 'unknown' || doubt === null;
  }
  if (peer.boot < grant.boot) return false;
  return peer.session > grant.session;
}

/** There is a last word of the board that the grant went to. It may be false. */
function isTold(turn: Turn): boolean {
  const { peer, grant } = turn.state;
  return peer?.role === 'dead' && grant !== null && peer.boot >= grant.boot;
}

/**
 * Why the peer is dead for certain, or null. A last word alone does not do: if it is false, and of me
 * they say the same, the peer is taking over just now.
 */
function proofOfDeath(turn: Turn): string | null {
  const { state, nowMs } = turn;
  const quietMs = nowMs - lastHeardMs(state);
  const isQuiet = quietMs > state.config.limits.stallMs || !holds(turn, 'solo-needs-quiet');
  if (isTold(turn) && isQuiet && !isHearsay(turn))
    return 'the peer is dead: its supervisor says so';
  const isSure = !state.hasMissed || isTold(turn);
  if (!isSure || !silentEverywhere(turn) || !hasWitness(turn)) return null;
  return 'the peer is silent everywhere and the front LAN answers me';
}

/**
 * The newest word of the peer says that it is off the plant. Until I answer a later one it takes over from nobody
 * (`off-plant-waits`), so outputs need not wait for what else is heard of it: a board that dies in pieces hands over
 * when its front LAN goes, and then keeps the heir waiting with what is left of it.
 */
function cannotTakeOver(turn: Turn): boolean {
  const { state, nowMs } = turn;
  const { role, peer, grant, doubt } = state;
  const { limits } = state.config;
  if (role !== 'protected' && role !== 'yielding') return false;
  if (peer === null || grant === null || !isSession(peer, grant) || !isOffPlant(peer, state))
    return false;
  const isSilent = nowMs - Math.max(state.heardMs.log, state.awakeMs) > limits.silentMs.log;
  const answersMe = nowMs - state.witnessMs <= limits.witnessSilentMs;
  return isSilent && !hears(turn, 'front') && answersMe && doubt === null;
}

function outlive(turn: Turn, why: string): Done {
  const { state } = turn;
  if (state.role !== 'leaving') return goAlone(turn, why);
  // Who is handing over may have been taken over from: its next reign must be newer than that.
  state.generation += 1;
  promote(turn, 'go-live', 'the peer died while taking over');
}

function silence(turn: Turn): Done {
  const { state, nowMs } = turn;
  const { limits, witness } = state.config;
  if (state.role === 'isolated' || state.role === 'leaving') {
    if (nowMs - state.sinceMs > limits.isolatedMs) askReset(turn, 'isolated too long');
    return;
  }
  const cutOff = nowMs - state.witnessMs > limits.witnessSilentMs || witness === 'none';
  if (state.hasMissed || cutOff) enter(turn, 'isolated', 'hears nobody, or slept: holds outputs');
}

function hasWitness(turn: Turn): boolean {
  if (!holds(turn, 'solo-needs-witness')) return true;
  return turn.state.config.witness === 'gateway' && witnessSpeaksForMe(turn);
}

export function askReset(turn: Turn, why: string): Done {
  if (turn.state.resetAsked) return;
  turn.state.resetAsked = true;
  turn.actions.push({ do: 'reset', why });
}

function wakeUp(turn: Turn): Done {
  if (turn.state.doubt !== null) return;
  enter(turn, 'protected', 'the peer answers, and has not gone on');
}

function inStep(turn: Turn): Done {
  const lostForMs = logLostForMs(turn);
  if (!logWorks(turn)) return withoutLog(turn, lostForMs);
  const why = reasonToLeave(turn);
  if (why !== null && canTakeOver(turn)) leave(turn, why);
}

function leave(turn: Turn, why: string): Done {
  const { state } = turn;
  setGate(turn, 'closed');
  state.swappedMs = turn.nowMs;
  turn.actions.push(
    { do: 'pause-guest' },
    { do: 'mark-log', mark: 'leave', partner: state.grant as Grant },
  );
  enter(turn, 'leaving', why);
}

/**
 * A board that loses power loses its cables first, one by one, and says the strangest things meanwhile. Nothing
 * leaves without acknowledgements, so the peer can take over until it is asked for its machine: not at once.
 */
function withoutLog(turn: Turn, lostForMs: number): Done {
  const { state } = turn;
  if (isPlantAtPeer(turn) && isThere(turn) && holds(turn, 'leave-without-log')) {
    return leave(
      turn,
      'the log link and the front LAN are lost here, the front LAN not at the peer',
    );
  }
  const hasLived = lostForMs > state.config.limits.deathMs;
  if (!hasLived && holds(turn, 'alone-needs-life')) return;
  state.wantsRenounce = true;
  enter(turn, 'yielding', 'the log link is dead, the peer is not');
}

function reasonToLeave(turn: Turn): string | null {
  const { state, nowMs } = turn;
  if (state.after !== 'backup') return 'the operator wants this board free';
  if (!mayLead(state)) return 'this board is not fit to lead';
  const { limits } = state.config;
  if (isPlantAtPeer(turn)) return 'the front LAN is lost here, not at the peer';
  const isRested = nowMs - state.swappedMs > limits.limpRestMs || !holds(turn, 'limp-rests');
  if (state.limp !== null && isRested) return state.limp;
  return state.switchOver ? 'by the operator' : null;
}

/** The plant is reached from the peer, and not from here. */
function isPlantAtPeer(turn: Turn): boolean {
  const { state, nowMs } = turn;
  const { limits, witness } = state.config;
  // Who slept heard nothing meanwhile, whatever was said.
  const witnessMs = Math.max(state.witnessMs, state.awakeMs);
  const isCutOff = nowMs - witnessMs > limits.witnessSilentMs && !hears(turn, 'front');
  return isCutOff && witness === 'gateway' && state.peer?.witness === true;
}

/** The peer is in step under my grant, well, and said so just now. */
function canTakeOver(turn: Turn): boolean {
  return whyNobodyTakesOver(turn) === null;
}

/** In words for the operator, or null. */
export function whyNobodyTakesOver(turn: Turn): string | null {
  const why = whyNobodyIsThere(turn);
  if (why !== null) return why;
  return logWorks(turn) ? null : 'the log link does not carry both ways';
}

/** As `canTakeOver`, from what it holds: the log link brings it no more. */
function isThere(turn: Turn): boolean {
  return whyNobodyIsThere(turn) === null;
}

function whyNobodyIsThere(turn: Turn): string | null {
  const { state, nowMs } = turn;
  const { peer, grant } = state;
  const inStep = grant !== null && peer?.role === 'backup' && isSession(peer, grant);
  if (!inStep) return 'the other board is not in step';
  if (nowMs - lastHeardMs(state) > state.config.limits.stallMs)
    return 'the other board was not heard just now';
  if (!peer.ready)
    return 'the other board is not ready (unfit, it limps, or sync-up is forbidden there)';
  return null;
}

function leaving(turn: Turn): Done {
  const { state, nowMs } = turn;
  if (state.wantsRenounce || nowMs - state.sinceMs <= state.config.limits.leaveMs) return;
  state.wantsRenounce = true;
  state.why = 'the peer does not take over: asks it to renounce';
}

/** While leaving: has the peer taken over, and does it keep me in step? True: decided. */
export function takenOver(turn: Turn): boolean {
  const { state } = turn;
  const { peer } = state;
  if (state.role !== 'leaving' || peer === null) return false;
  if (peer.generation !== state.generation + 1 || !leads(peer)) return false;
  const isTaking = peer.role === 'promoting' && peer.standing === 'shared';
  if (peer.standing === 'pending' || isTaking) {
    // An heir that died before its disk had the new reign, or before it saw that the offer is fresh, has let
    // nothing out.
    if (silentEverywhere(turn)) protectedRoles(turn);
    return true;
  }
  const mine: Grant = { boot: state.boot, session: state.session };
  if (!sameGrant(peer.grant, mine)) return false;
  state.generation = peer.generation;
  state.followBoot = peer.boot;
  state.grant = null;
  state.partner = null;
  state.spent = null;
  state.wantsRenounce = false;
  state.switchOver = false;
  persist(turn, state.generation, 'behind');
  turn.actions.push({ do: 'follow', boot: peer.boot, session: state.session });
  enter(turn, 'backup', 'handed over and stays in step');
  return true;
}

/** Certain that the peer cannot promote: `sole` goes to the disk, then the gate opens. */
export function goAlone(turn: Turn, why: string): Done {
  const { state } = turn;
  if (state.partner !== null) syncFailed(turn);
  state.spent = state.grant ?? state.spent;
  state.grant = null;
  state.partner = null;
  state.wantsRenounce = false;
  persist(turn, state.generation, 'sole');
  turn.actions.push({ do: 'sync-stop' });
  if (state.role === 'leaving') turn.actions.push({ do: 'resume-guest' });
  enter(turn, 'soloing', why);
  soloing(turn);
}

export function soloing(turn: Turn): Done {
  const { state } = turn;
  const written = onDisk(state, state.generation, 'sole');
  if (!written && holds(turn, 'persist-before-open')) return;
  setGate(turn, 'open');
  enter(turn, 'solo', state.why);
}
