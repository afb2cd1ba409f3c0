// The number of a start orders what a board says before and after it. It is counted on disk, and a disk can
// be lost, or put back from an older copy: then the number is too low, and the peer drops all that is said
// under it as old. No clock helps, for clocks are wrong as well. But each statement of the peer echoes the
// newest it took, so a board learns from it what its number has to exceed. Numbers only grow by this, and
// only above what a start of this board has really said: nothing that was taken before is taken again.

import { stopFollowing } from './arbiter-follow.ts';
import { type Done, holds, type Turn } from './arbiter-turn.ts';
import type { ArbiterState, Role, Statement } from './arbiter-types.ts';

/** As it travels: 32 bits. */
export const START_MAX = 0xffffffff;

/** Who stands in no relation with the peer that its number is part of; a target leaves it first. */
const MAY_CHANGE: readonly Role[] = ['seeking', 'maintenance', 'target', 'solo'];

/** After a statement was taken in: does the peer hold what I say for old? */
export function exceedEcho(turn: Turn, statement: Statement): Done {
  const { state } = turn;
  if (state.peer !== statement || !isAheadOfMe(state, statement)) return;
  if (!MAY_CHANGE.includes(state.role) || !holds(turn, 'start-exceeds-echo')) return;
  if (statement.echoBoot === START_MAX) return;
  if (state.role === 'target') stopFollowing(turn, 'the peer holds this start for an older one');
  state.boot = statement.echoBoot + 1;
  state.isCounted = false;
  turn.actions.push({ do: 'count-start', boot: state.boot });
}

/** It took more of me than this start has said, so that was another start of mine. */
function isAheadOfMe({ boot, seq }: ArbiterState, { echoBoot, echoSeq }: Statement): boolean {
  return echoBoot > boot || (echoBoot === boot && echoSeq > seq);
}

/** The number is safe on disk: from now on it is said. */
export function startCounted({ state }: Turn, boot: number): Done {
  if (boot === state.boot) state.isCounted = true;
}
