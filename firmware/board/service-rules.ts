// What may be done with this board without the plant noticing: switched off, started anew. The board refuses by
// these rules, and the console says so early by the same. Pure.
import type { PairState } from '../../watchdog/arbiter.ts';
import { type ArbiterState, LEADING, type Role } from '../../watchdog/arbiter-types.ts';
import { PATHS } from '../../watchdog/limits.ts';
import type { ReplicationFacts } from './replication/types.ts';

export interface SafeToRemove {
  readonly ok: boolean;
  /** In words, either way. */
  readonly why: string;
}

/** What of a status the rules look at. */
interface Served {
  readonly role: Role;
  readonly pairState: PairState;
  readonly guest: { readonly state: ReplicationFacts['guest'] };
  readonly safeToRemove: SafeToRemove;
}

export function hearsPeer(state: ArbiterState, nowMs: number): boolean {
  return PATHS.some((path) => nowMs - state.heardMs[path] <= state.config.limits.silentMs[path]);
}

/** May this board be switched off now without the plant noticing, and without losing its state? */
export function safeToRemove(state: ArbiterState, nowMs: number): SafeToRemove {
  const yes = (why: string) => ({ ok: true, why });
  const no = (why: string) => ({ ok: false, why });
  const { role, peer } = state;
  const peerLeads =
    peer !== null && peer.role !== 'dead' && LEADING.has(peer.role) && hearsPeer(state, nowMs);
  switch (role) {
    case 'stopped':
      return yes('it is stopped');
    case 'maintenance':
      return peerLeads
        ? yes('it takes no part; the other board serves')
        : no('it takes no part, but the other board is not heard to serve');
    case 'backup':
      return peerLeads
        ? yes('the other board serves; redundancy ends until this one is back')
        : no('the other board is silent: this one is about to take over');
    case 'target':
      return peerLeads
        ? yes('the other board serves; sync-up begins anew when this one is back')
        : no('the other board is not heard to serve');
    case 'protected':
      return no('it serves: switch over first');
    case 'leaving':
    case 'promoting':
    case 'granting':
      return no('the boards change roles just now');
    case 'solo':
    case 'source':
    case 'soloing':
    case 'yielding':
      return no('it serves alone: the guest would stop');
    case 'isolated':
      return no('it holds the guest and hears nobody');
    case 'cold':
    case 'seeking':
    case 'fenced':
      return peerLeads
        ? yes('no guest runs here; the other board serves')
        : no('nobody serves: its disk may hold the newest state');
  }
}

/** Without the guest standing still for longer than a hand-over. */
export function mayRestart({ guest, role, pairState, safeToRemove }: Served): boolean {
  if (role === 'protected') return pairState === 'RUN-Redundant';
  return guest.state === 'none' || safeToRemove.ok;
}
