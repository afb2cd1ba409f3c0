// A newer reign ends mine: the gate shuts, the machine is thrown away, and the board seeks anew.

import { leads, peerIsAhead } from './arbiter-evidence.ts';
import { type Done, enter, forgetRequest, holds, setGate, type Turn } from './arbiter-turn.ts';

/** Every leading role passes here first. True: fenced, nothing else to decide. */
export function fencedByPeer(turn: Turn): boolean {
  const { state } = turn;
  const { peer } = state;
  if (peer === null || !holds(turn, 'higher-reign-fences')) return false;
  if (peerIsAhead(state)) {
    becomeFenced(turn, 'the peer has a newer reign');
    return true;
  }
  // Only two operators forcing both boards at once can make this: the records tie, so the name does.
  if (leads(peer) && peer.generation === state.generation && state.config.id === 'b') {
    becomeFenced(turn, 'both boards were made to lead; a keeps the reign');
    return true;
  }
  return false;
}

export function becomeFenced(turn: Turn, why: string): Done {
  const { state } = turn;
  setGate(turn, 'closed');
  state.grant = null;
  state.partner = null;
  state.wantsRenounce = false;
  forgetRequest(state);
  turn.actions.push({ do: 'discard-guest' });
  enter(turn, 'fenced', why);
}
