// What this board is, as the leader of a pair compares it with its own (compat.ts).
import { guestFacts } from '../../host/identity.ts';
import type { GuestPlan } from '../config/types.ts';
import type { BoardFacts } from './compat.ts';
import { type GuestRunner, restartsOn } from './guest-runner.ts';
import { MESSAGES_VERSION } from './messages.ts';

/** The runner must be open. */
export function factsOf(plan: GuestPlan, runner: GuestRunner): BoardFacts {
  const guest = guestFacts(runner.setup());
  return { ...guest, messagesVersion: MESSAGES_VERSION, restartsOn: restartsOn(plan) };
}
