// What the operator may ask, and when it is refused: nothing that would stop the service, unless
// the operator says `force`.

import { lead } from './arbiter-cold.ts';
import { askReset, canTakeOver } from './arbiter-lead.ts';
import { type Done, enter, renounce, setGate, type Turn } from './arbiter-turn.ts';
import type { OperatorRequest, Role } from './arbiter-types.ts';
import { LEADING } from './arbiter-types.ts';

export function request(turn: Turn, asked: OperatorRequest): Done {
  const refusal = refuse(turn, asked);
  if (refusal !== null) {
    turn.actions.push({ do: 'refuse', request: asked.request, why: refusal });
    return;
  }
  const { state } = turn;
  switch (asked.request) {
    case 'switch-over':
      state.switchOver = true;
      return;
    case 'test-failover':
      return askReset(turn, 'the operator tests a failover');
    case 'maintenance-on':
      return stepAside(turn, 'maintenance');
    case 'maintenance-off':
      state.after = 'backup';
      return enter(turn, 'seeking', 'maintenance ended');
    case 'stop':
      return stepAside(turn, 'stopped');
    case 'force-lead':
      return lead(turn, 'the operator vouches for this disk');
  }
}

/** The reason why not, or null. */
function refuse(turn: Turn, asked: OperatorRequest): string | null {
  const { role } = turn.state;
  const inStep = role === 'protected' && canTakeOver(turn);
  if (asked.request === 'stop' || asked.request === 'maintenance-on') {
    const why = cannotStepAside(role, asked.request);
    if (why !== null) return why;
  }
  switch (asked.request) {
    case 'switch-over':
    case 'test-failover':
      return inStep ? null : 'only the primary of a redundant pair can be taken over from';
    case 'maintenance-on':
      return !LEADING.has(role) || inStep ? null : 'this board serves and nobody can take over';
    case 'maintenance-off':
      return role === 'maintenance' ? null : 'this board is not in maintenance';
    case 'stop':
      if (!LEADING.has(role) || inStep) return null;
      if (role !== 'solo') return 'this board serves; ask again when it is solo or redundant';
      return asked.force ? null : 'this board serves and nobody can take over';
    case 'force-lead':
      return role === 'seeking' ? null : 'only a board that waits can be made to lead';
  }
}

function cannotStepAside(role: Role, request: 'stop' | 'maintenance-on'): string | null {
  if (role === 'cold') return 'this board is just starting; ask again';
  if (role === 'fenced') return 'this board throws its machine away; ask again in a moment';
  if (role === 'stopped') return 'this board is stopped';
  if (role === 'maintenance' && request !== 'stop') return 'this board is in maintenance';
  return null;
}

/** A leader hands over first; a follower gives up its claim; both then take no part. */
function stepAside(turn: Turn, after: 'maintenance' | 'stopped'): Done {
  const { state } = turn;
  state.after = after;
  if (LEADING.has(state.role)) return;
  renounce(turn);
  setGate(turn, 'closed');
  turn.actions.push({ do: 'sync-stop' }, { do: 'discard-guest' });
  if (after === 'stopped') turn.actions.push({ do: 'close-watchdog' });
  enter(turn, after, 'by the operator');
}
