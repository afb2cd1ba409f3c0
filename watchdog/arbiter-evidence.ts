// What a board may believe: which paths are silent, whether the silence is the peer's or its own,
// whose word is newest, and whether the other claims the reign. Decides nothing.

import { type Done, hears, holds, pathWorks, sameGrant, type Turn } from './arbiter-turn.ts';
import type { ArbiterState, Statement } from './arbiter-types.ts';
import { LEADING } from './arbiter-types.ts';
import { PATHS, type Path } from './limits.ts';

/**
 * Every tick and message passes here first: a gap means this board stood still. What was said meanwhile waits
 * in its buffers, and is read while silence counts from waking; after a longer gap it may be lost.
 */
export function noticeSleep(turn: Turn): Done {
  const { state, nowMs } = turn;
  const { stallMs, bufferedMs } = state.config.limits;
  if (nowMs - state.tickedMs <= stallMs) return;
  // One stall after another leaves no time to read.
  const isAnother = state.tickedMs - state.awakeMs <= stallMs;
  if (!isAnother) state.stalledMs = state.tickedMs;
  state.tickedMs = nowMs;
  if (holds(turn, 'awake-for-the-window')) state.awakeMs = nowMs;
  if (!holds(turn, 'sleeper-doubts')) return;
  beginDoubt(state);
  const isMissed = nowMs - state.stalledMs > bufferedMs;
  if (isMissed && holds(turn, 'long-sleeper-misses')) state.hasMissed = true;
}

/** Hearing neither the peer nor the witness is as good as sleeping: the world went on without me. */
export function noticeIsolation(turn: Turn): Done {
  const { state, nowMs } = turn;
  if (state.config.witness === 'none' || !silentEverywhere(turn)) return;
  if (nowMs - state.witnessMs <= state.config.limits.witnessSilentMs) return;
  if (!holds(turn, 'isolated-doubts')) return;
  beginDoubt(state);
  state.hasMissed = true;
}

function beginDoubt(state: ArbiterState): Done {
  // The answer must be to a statement not yet written.
  state.doubt ??= state.seq + 1;
}

function endDoubt(state: ArbiterState): Done {
  state.doubt = null;
  state.hasMissed = false;
}

/**
 * Takes a statement in. A late one still shows that the path carries something, but its content is
 * dropped, so nothing the peer said before can undo what was said after.
 */
export function takeStatement(turn: Turn, path: Path, statement: Statement): Done {
  const { state, nowMs } = turn;
  const { boot, seq } = statement;
  const newestOnly = holds(turn, 'newest-statement-only');
  if (newestOnly && boot < state.heard.boot) return;
  // It is no sign of life.
  if (statement.role === 'dead') return takeLastWord(turn, statement);
  if (nowMs - lastHeardMs(state) > state.config.limits.stallMs) state.wordsRunMs = nowMs;
  state.heardMs[path] = nowMs;
  if (newestOnly && boot === state.heard.boot && seq <= state.heard.seq) return;
  state.heard = { boot, seq };
  if (isSilenced(turn, statement)) return;
  state.peer = statement;
  const isEcho = statement.echoBoot === state.boot && relationStands(state, statement);
  if (!isEcho) return;
  if (state.doubt !== null && statement.echoSeq >= state.doubt) endDoubt(state);
  if (state.offPlantSeq !== null && statement.echoSeq > state.offPlantSeq) state.offPlantSeq = null;
}

/**
 * A last word may be false: what is newer than all the peer said before refutes it. If that came late
 * after all, the peer is held for alive until it is silent, as after any crash.
 */
function isSilenced(turn: Turn, { boot }: Statement): boolean {
  const { peer } = turn.state;
  if (holds(turn, 'last-word-can-be-refuted')) return false;
  return peer?.role === 'dead' && boot <= peer.boot;
}

/** Of one start one last word: a second one is a repeat, perhaps of one that was refuted meanwhile. */
function takeLastWord(turn: Turn, word: Statement): Done {
  const { state } = turn;
  if (word.boot <= state.lastWordBoot) return;
  state.lastWordBoot = word.boot;
  state.peer = word;
}

/** A last word is all that says so, and I slept: it may be false, and the peer may have gone on. */
export function isHearsay(turn: Turn): boolean {
  const { doubt, peer } = turn.state;
  const isDoubted = doubt !== null && holds(turn, 'doubted-word-needs-silence');
  return isDoubted && peer?.role === 'dead';
}

/** The peer's fresh word agrees with what I was before I slept. */
function relationStands(state: ArbiterState, peer: Statement): boolean {
  if (state.role === 'backup') {
    const mine = { boot: state.boot, session: state.session };
    const follows = peer.boot === state.followBoot && peer.generation === state.generation;
    return follows && LEADING.has(peer.role as never) && sameGrant(peer.grant, mine);
  }
  if (LEADING.has(state.role)) return peer.generation <= state.generation;
  return true;
}

export function silentEverywhere(turn: Turn): boolean {
  const { state, nowMs } = turn;
  return PATHS.every((path) => {
    const sinceMs = Math.max(state.heardMs[path], state.awakeMs);
    return nowMs - sinceMs > state.config.limits.silentMs[path];
  });
}

export function lastHeardMs(state: ArbiterState): number {
  return Math.max(...PATHS.map((path) => state.heardMs[path]));
}

export function witnessAnswers(turn: Turn): Done {
  const { state, nowMs } = turn;
  // A cable just put back answers before the peer is heard: two missed probes begin a new run.
  const gapMs = nowMs - state.witnessMs;
  if (gapMs > state.config.limits.witnessProbeMs * 3) state.witnessRunMs = nowMs;
  state.witnessMs = nowMs;
}

/**
 * The witness answers, has answered for a whole window, and did so at a time when the peer, were it
 * alive, would have been heard on the front LAN again. So my front LAN is whole, and the silence is
 * the peer's.
 */
export function witnessSpeaksForMe(turn: Turn): boolean {
  const { state, nowMs } = turn;
  const { limits } = state.config;
  const recent = nowMs - state.witnessMs <= limits.witnessSilentMs;
  const steady = nowMs - state.witnessRunMs > limits.silentMs.front;
  return recent && steady && state.witnessMs - lastHeardMs(state) > limits.silentMs.front;
}

/** The log link carries both ways. */
export function logWorks(turn: Turn): boolean {
  const { peer } = turn.state;
  return pathWorks(turn, 'log') && peer?.hears.log === true && !silentEverywhere(turn);
}

/** Someone speaks now, and has heard this start of mine. */
export function peerPresent(turn: Turn): Statement | null {
  const { peer, boot } = turn.state;
  if (peer === null || peer.role === 'dead') return null;
  if (!PATHS.some((path) => hears(turn, path))) return null;
  if (holds(turn, 'cold-needs-echo') && peer.echoBoot !== boot) return null;
  return peer;
}

export function leads(statement: Statement): boolean {
  return statement.role !== 'dead' && LEADING.has(statement.role);
}

/** The peer's disk, or its decision, is ahead of my reign. */
export function peerIsAhead(state: ArbiterState): boolean {
  const { peer } = state;
  return peer !== null && peer.generation > state.generation && peer.standing !== 'unknown';
}
