// What an operator may ask of a board, and when it is refused: nothing that would stop the service, unless
// the operator says `force`, and nothing that could not be done. A request that is taken and then does not
// come about is forgotten (arbiter-turn.ts), so that nothing is done hours after it was asked for.

import { lead } from './arbiter-cold.ts';
import { askReset, forgetSyncFailures, whyNobodyTakesOver } from './arbiter-lead.ts';
import {
  type Done,
  enter,
  forgetRequest,
  renounce,
  setGate,
  type Turn,
  whyNotLead,
} from './arbiter-turn.ts';
import type { OperatorRequest, Role } from './arbiter-types.ts';
import { LEADING } from './arbiter-types.ts';

export function request(turn: Turn, asked: OperatorRequest): Done {
  const refusal = refusedByRole(turn.state.role, asked) ?? refusedNow(turn, asked);
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
    case 'maintenance':
      if (asked.on) return stepAside(turn, 'maintenance');
      forgetRequest(state);
      return enter(turn, 'seeking', 'maintenance ended');
    case 'sync-up':
      state.config = { ...state.config, syncAllowed: asked.allowed };
      forgetSyncFailures(state);
      return;
    case 'sync-rate':
      // No matter of who leads: whoever carries out a sync-up does it.
      return;
    case 'stop':
    case 'restart':
      return stepAside(turn, 'stopped');
    case 'force-lead':
      return lead(turn, 'the operator vouches for this disk');
    default:
      // Without a line here a new request does not compile.
      return asked satisfies never;
  }
}

/** Where nothing can be asked, or not just now. */
const NOT_IN: Partial<Record<Role, string>> = {
  cold: 'this board is just starting; ask again in a moment',
  promoting: 'the boards change roles just now; ask again in a moment',
  granting: 'the boards change roles just now; ask again in a moment',
  leaving: 'the boards change roles just now; ask again in a moment',
  fenced: 'this board throws its machine away; ask again in a moment',
  maintenance: 'this board is in maintenance',
  stopped: 'this board is stopped',
};

const FREE: readonly Role[] = ['seeking', 'target', 'backup', 'protected'];

/** Which roles refuse a request whatever else is so: the reason, or null. */
export function refusedByRole(role: Role, asked: OperatorRequest): string | null {
  const only = (roles: readonly Role[], otherwise: string): string | null =>
    roles.includes(role) ? null : (NOT_IN[role] ?? otherwise);
  switch (asked.request) {
    case 'switch-over':
    case 'test-failover':
      return only(['protected'], 'only the primary of a redundant pair can be taken over from');
    case 'maintenance':
      if (asked.on) return only(FREE, ALONE);
      return role === 'maintenance' ? null : 'this board is not in maintenance';
    case 'sync-up':
    case 'sync-rate':
      return role === 'stopped' ? 'this board is stopped' : null;
    case 'stop':
      if (role === 'solo') return asked.force ? null : ALONE;
      return only([...FREE, 'maintenance'], SERVES);
    case 'restart':
      if (role === 'solo') return ALONE;
      return only([...FREE, 'maintenance'], SERVES);
    case 'force-lead':
      return only(['seeking'], 'only a board that waits can be made to lead');
  }
}

const ALONE = 'this board serves and nobody can take over';
const SERVES = 'this board serves; ask again when it is solo or redundant';

/** What beside the role is in the way, or null. */
function refusedNow(turn: Turn, asked: OperatorRequest): string | null {
  const { state } = turn;
  if (asked.request === 'sync-up' || asked.request === 'sync-rate') return null;
  if (state.resetAsked) return 'the watchdog is about to reset this board';
  if (asked.request === 'force-lead') return whyNotLead(state);
  const why = state.role === 'protected' ? whyNobodyTakesOver(turn) : null;
  return why === null ? null : `this board serves and nobody can take over: ${why}`;
}

/** A leader hands over first; a follower gives up its claim; both then take no part. */
function stepAside(turn: Turn, after: 'maintenance' | 'stopped'): Done {
  const { state } = turn;
  state.after = after;
  if (LEADING.has(state.role) && state.role !== 'solo') return;
  if (state.role !== 'solo') {
    renounce(turn);
    turn.actions.push({ do: 'sync-stop' });
  }
  setGate(turn, 'closed');
  turn.actions.push({ do: 'discard-guest' });
  if (after === 'stopped') turn.actions.push({ do: 'close-watchdog' });
  enter(turn, after, 'by the operator');
}
