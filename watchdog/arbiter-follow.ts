// The follower: not in step (target), in step (backup), deciding to lead (promoting).
// In step is a claim that the primary granted; only what this file says takes it back.

import {
  isHearsay,
  lastHeardMs,
  leads,
  logWorks,
  peerIsAhead,
  silentEverywhere,
  witnessSpeaksForMe,
} from './arbiter-evidence.ts';
import { becomeFenced } from './arbiter-fence.ts';
import {
  type Done,
  enter,
  hears,
  holds,
  mayLead,
  onDisk,
  persist,
  renounce,
  sameGrant,
  setGate,
  type Turn,
} from './arbiter-turn.ts';
import type { ArbiterState, Grant, Statement } from './arbiter-types.ts';

export function target(turn: Turn): Done {
  const { state } = turn;
  const { peer } = state;
  const mine: Grant = { boot: state.boot, session: state.session };
  if (isLongSilent(turn)) return stopFollowing(turn, 'the primary is silent');
  if (peer === null) return;
  if (peer.boot !== state.followBoot || !leads(peer)) {
    return stopFollowing(turn, 'the primary is gone');
  }
  if (peer.generation > state.generation) return stopFollowing(turn, 'the primary began anew');
  if (peer.generation < state.generation) return;
  if (isSpent(peer, mine)) return resync(turn, 'the primary went on alone');
  const granted = holds(turn, 'grant-bound-to-session')
    ? sameGrant(peer.grant, mine)
    : peer.grant?.boot === state.boot;
  if (!granted) return;
  if (peer.wantsRenounce) return resync(turn, 'the primary asks for it');
  const marked = state.mark === 'grant' || !holds(turn, 'grant-needs-mark');
  if (!marked || !mayLead(state) || !onDisk(state, state.generation, 'behind')) return;
  enter(turn, 'backup', 'in step');
}

/** Who is not in step has nothing to take over: a moment of silence is no reason to begin anew. */
function isLongSilent(turn: Turn): boolean {
  const { state, nowMs } = turn;
  const sinceMs = Math.max(lastHeardMs(state), state.awakeMs);
  return silentEverywhere(turn) && nowMs - sinceMs > state.config.limits.syncSilenceMs;
}

/** The primary has taken this grant back without my word: it thought me dead. */
function isSpent(peer: Statement, mine: Grant): boolean {
  if (sameGrant(peer.grant, mine) || peer.spent === null) return false;
  return peer.spent.boot === mine.boot && peer.spent.session >= mine.session;
}

export function backup(turn: Turn): Done {
  const { state } = turn;
  const { peer } = state;
  if (state.after !== 'backup') {
    renounce(turn);
    turn.actions.push({ do: 'discard-guest' });
    return enter(turn, state.after, 'by the operator');
  }
  if (!mayLead(state)) return resync(turn, 'not fit to lead');
  if (peer === null) return;
  if (memoryGone(state, peer)) return inherit(turn, peer);
  if (peer.generation > state.generation) return stopFollowing(turn, 'the primary began anew');
  if (peer.generation === state.generation) {
    if (peer.wantsRenounce) return resync(turn, 'the primary asks for it');
    const mine: Grant = { boot: state.boot, session: state.session };
    if (!sameGrant(peer.grant, mine) && holds(turn, 'grant-bound-to-session')) {
      return resync(turn, 'the primary went on alone');
    }
    if (peer.role === 'leaving') {
      const plan = howToTake(turn);
      if (plan !== null) return promote(turn, plan, 'the primary leaves');
    }
  }
  if (!deadBySilence(turn)) return;
  promote(turn, 'go-live', 'in step, every path silent, the front LAN answers me');
}

/**
 * A hand-over is an offer, not a fact: the primary takes it back if it thinks me dead. So after a
 * sleep only a fresh offer counts. Who leaves stays in step where I hold the log to its mark. Where no log link
 * brings it I go on from what I have, as after a death: the world has seen no more. Silence on both fast paths says so,
 * too: a word that a slow line brings late makes neither of them alive.
 */
function howToTake(turn: Turn): 'swap' | 'take' | null {
  const { state } = turn;
  if (state.doubt !== null && holds(turn, 'offer-must-be-fresh')) return null;
  if (state.mark === 'leave' || !holds(turn, 'leave-needs-mark')) return 'swap';
  const isBrought = logWorks(turn) && (hears(turn, 'log') || hears(turn, 'front'));
  return isBrought ? null : 'take';
}

/** The primary's machine is lost for certain: its process died, started anew, or threw it away. */
function memoryGone(state: ArbiterState, peer: Statement): boolean {
  if (peer.boot > state.followBoot) return true;
  return peer.boot === state.followBoot && !leads(peer);
}

/**
 * The primary's machine is gone. If its disk still says `shared`, it never let anything out that I
 * did not acknowledge, so my machine is the newest there is, however long I slept. A false last word
 * does no harm while I am awake and in touch: my promotion ends the lease, and fences the primary.
 */
function inherit(turn: Turn, peer: Statement): Done {
  const { state } = turn;
  const mine = peer.generation === state.generation;
  const shared = peer.standing === 'shared' || !holds(turn, 'dead-peer-must-be-shared');
  if (isLost(peer) && state.doubt === null) {
    return promote(turn, 'go-live', 'the primary started anew and has lost its record');
  }
  if (!mine || !shared) {
    return stopFollowing(turn, 'the primary is gone, and its state is newer');
  }
  if (isHearsay(turn) && !isSilenceOfThePeer(turn)) return;
  promote(turn, 'go-live', 'the primary is dead, and had not gone solo');
}

/** What it went on to do, nobody knows; but I was in touch all the time, as by silence. */
function isLost({ role, standing }: Statement): boolean {
  return role !== 'dead' && standing === 'unknown';
}

function deadBySilence(turn: Turn): boolean {
  const { state, nowMs } = turn;
  if (!holds(turn, 'promote-only-when-all-silent')) {
    const { log } = state.config.limits.silentMs;
    if (nowMs - Math.max(state.heardMs.log, state.awakeMs) > log) return true;
  }
  return isSilentForCertain(turn);
}

/**
 * The peer is silent, and I missed nothing of what it said. Who goes on alone says so on every path before its gate
 * opens, the front LAN among them, over which its outputs go, too: nothing read, nothing seen by the plant.
 */
function isSilentForCertain(turn: Turn): boolean {
  const { hasMissed, offPlantSeq } = turn.state;
  return !hasMissed && offPlantSeq === null && isSilenceOfThePeer(turn);
}

function isSilenceOfThePeer(turn: Turn): boolean {
  const { state } = turn;
  if (!silentEverywhere(turn)) return false;
  if (state.config.witness === 'none' || !holds(turn, 'promote-needs-witness')) return true;
  return witnessSpeaksForMe(turn);
}

export function promote(turn: Turn, plan: 'go-live' | 'swap' | 'take', why: string): Done {
  const { state } = turn;
  const { peer } = state;
  state.generation += 1;
  state.plan = plan;
  state.grant = null;
  state.spent = null;
  state.offPlantSeq = null;
  // Who hands over stays in step as what it is now, whatever is heard of it until the disk has my reign.
  const stays = plan === 'swap' && peer !== null;
  if (stays) state.swappedMs = turn.nowMs;
  state.partner = stays ? { boot: peer.boot, session: peer.session } : null;
  state.wantsRenounce = false;
  persist(turn, state.generation, plan === 'swap' ? 'shared' : 'sole');
  turn.actions.push({ do: 'go-live' });
  enter(turn, 'promoting', why);
}

export function promoting(turn: Turn): Done {
  const { state } = turn;
  if (peerIsAhead(state)) return becomeFenced(turn, 'the peer has a newer reign');
  const standing = state.plan === 'swap' ? 'shared' : 'sole';
  const written = onDisk(state, state.generation, standing);
  if (!written && holds(turn, 'persist-before-open')) return;
  // Who offered may have taken me for dead while I slept, and have gone on by itself: not without a word.
  const isOffered = state.plan === 'swap' || state.plan === 'take';
  const isStale = isOffered && state.doubt !== null && !isSilentForCertain(turn);
  if (isStale && holds(turn, 'offer-must-be-fresh')) return;
  if (state.plan === 'boot') turn.actions.push({ do: 'boot-guest' });
  turn.actions.push({ do: 'announce-guest' });
  if (state.partner !== null) {
    state.grant = state.partner;
    state.inStepMs = turn.nowMs;
    setGate(turn, 'acked');
    turn.actions.push({ do: 'mark-log', mark: 'grant', partner: state.grant });
    return enter(turn, 'protected', 'took over from a peer that stays in step');
  }
  setGate(turn, 'open');
  enter(turn, 'solo', 'the new reign is on disk');
}

/** Out of step, but the primary lives: begin again from its state. */
function resync(turn: Turn, why: string): Done {
  const { state } = turn;
  renounce(turn);
  turn.actions.push({ do: 'sync-target', session: state.session });
  enter(turn, 'target', why);
}

export function stopFollowing(turn: Turn, why: string): Done {
  const { state } = turn;
  // Without this rule a follower takes the reign with whatever it has.
  if (!holds(turn, 'promote-only-in-step') && silentEverywhere(turn) && mayLead(state)) {
    return promote(turn, 'go-live', 'rule off');
  }
  renounce(turn);
  turn.actions.push({ do: 'sync-stop' });
  if (state.role === 'backup') turn.actions.push({ do: 'discard-guest' });
  enter(turn, 'seeking', why);
}
