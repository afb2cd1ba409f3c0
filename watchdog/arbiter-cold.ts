// From nothing to a role: a board without a machine in memory compares its record with the peer's
// and leads, follows, or waits. ARBITER.md has the same as a table, with the reasons.

import { leads, peerPresent, silentEverywhere } from './arbiter-evidence.ts';
import {
  type Done,
  enter,
  holds,
  persist,
  renounce,
  type Turn,
  whyNotLead,
} from './arbiter-turn.ts';
import type { DiskRecord, Statement } from './arbiter-types.ts';

export type Verdict = 'lead' | 'join' | 'wait' | 'ask-operator';

export function seeking(turn: Turn): Done {
  const { state, nowMs } = turn;
  const peer = peerPresent(turn);
  if (peer === null) {
    const aloneMs = nowMs - Math.max(state.sinceMs, state.awakeMs);
    if (!silentEverywhere(turn) || aloneMs < state.config.limits.seekMs) return;
    if (mayLeadAlone(turn)) lead(turn, 'nobody answers and the record is sole');
    else waitFor(turn, 'nobody answers and the record may be old: peer, or operator by force-lead');
    return;
  }
  const verdict = compare(turn, peer);
  if (verdict === 'lead') lead(turn, 'the peer has nothing newer');
  else if (verdict === 'join') join(turn, peer);
  else if (verdict === 'wait') waitFor(turn, 'the peer will lead');
  else
    waitFor(turn, 'the records do not tell who leads: operator, force-lead where the disk counts');
}

function mayLeadAlone(turn: Turn): boolean {
  const { standing } = turn.state.record;
  if (standing === 'sole') return true;
  if (standing === 'shared') return !holds(turn, 'shared-never-leads-alone');
  return standing === 'behind' && !holds(turn, 'behind-never-leads');
}

/** What a cold board does about a peer that is present. */
function compare(turn: Turn, peer: Statement): Verdict {
  const { record, generation } = turn.state;
  if (leads(peer)) {
    // A reign older than mine will be fenced by what I say; one not yet on disk may still vanish.
    const joins = peer.generation >= generation && peer.standing !== 'pending';
    return joins ? 'join' : 'wait';
  }
  // In step: it has the machine in memory and will promote on hearing me cold.
  if (peer.role === 'backup' || peer.role === 'fenced' || peer.role === 'cold') return 'wait';
  if (peer.standing === 'pending') return 'wait';
  const theirs: DiskRecord = { generation: peer.generation, standing: peer.standing };
  const verdict = compareRecords(record, theirs);
  const brave = verdict === 'wait' && record.standing === 'behind';
  return brave && !holds(turn, 'behind-never-leads') ? 'lead' : verdict;
}

/** Two boards without a machine. Total, and never `lead` on both sides: a test goes through all. */
export function compareRecords(mine: DiskRecord, theirs: DiskRecord): Verdict {
  const ahead = Math.sign(mine.generation - theirs.generation);
  switch (mine.standing) {
    case 'sole':
      if (theirs.standing === 'behind' || theirs.standing === 'unknown') return 'lead';
      if (ahead === 0) return 'ask-operator';
      return ahead > 0 ? 'lead' : 'wait';
    case 'shared':
      if (theirs.standing === 'unknown') return 'ask-operator';
      if (theirs.standing === 'behind') return ahead >= 0 ? 'lead' : 'ask-operator';
      if (ahead === 0) return 'ask-operator';
      return ahead > 0 ? 'lead' : 'wait';
    case 'behind':
      return theirs.standing === 'behind' || theirs.standing === 'unknown'
        ? 'ask-operator'
        : 'wait';
    case 'unknown':
      return theirs.standing === 'sole' ? 'wait' : 'ask-operator';
  }
}

/** Starts a reign from this board's disk. */
export function lead(turn: Turn, why: string): Done {
  const { state } = turn;
  const not = whyNotLead(state);
  if (not !== null) return waitFor(turn, `could lead, but ${not}`);
  state.generation = Math.max(state.generation, state.peer?.generation ?? 0) + 1;
  state.plan = 'boot';
  persist(turn, state.generation, 'sole');
  enter(turn, 'promoting', why);
}

function join(turn: Turn, peer: Statement): Done {
  const { state } = turn;
  state.generation = peer.generation;
  state.followBoot = peer.boot;
  persist(turn, peer.generation, 'behind');
  renounce(turn);
  turn.actions.push({ do: 'sync-target', session: state.session });
  enter(turn, 'target', 'the peer leads');
}

function waitFor(turn: Turn, why: string): Done {
  if (turn.state.why === why) return;
  turn.state.why = why;
  turn.actions.push({ do: 'report', role: 'seeking', why });
}
