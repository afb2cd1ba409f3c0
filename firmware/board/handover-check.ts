// A hand-over somebody plans must not stop the guest for as long as the backup is behind. One that is
// forced by trouble looks at nothing: late is better than never. Pure.
import type { OperatorRequest, Role } from '../../watchdog/arbiter-types.ts';
import type { ReplicationFacts } from './replication/types.ts';

/** The reason against it in words, or null. What a primary may be asked hands over, unless it is about sync-up. */
export function tooFarBehind(
  asked: OperatorRequest,
  role: Role,
  { lagMs, isFarBehind }: Pick<ReplicationFacts, 'lagMs' | 'isFarBehind'>,
): string | null {
  const isOfSync = asked.request === 'sync-up' || asked.request === 'sync-rate';
  if (role !== 'protected' || !isFarBehind || isOfSync) return null;
  if (asked.request === 'stop' && asked.force) return null;
  const seconds = ((lagMs ?? 0) / 1000).toFixed(1);
  return `the backup is ${seconds} s behind and the guest would stand as long; ask again later`;
}
