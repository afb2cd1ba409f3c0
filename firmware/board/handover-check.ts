// A hand-over somebody plans must not stop the guest for as long as the backup is behind. One that is
// forced by trouble looks at nothing: late is better than never. Pure.
import type { OperatorRequest, Role } from '../../watchdog/arbiter-types.ts';
import type { ReplicationFacts } from './replication/types.ts';

const HANDS_OVER = new Set<OperatorRequest['request']>([
  'switch-over',
  'test-failover',
  'maintenance-on',
  'stop',
]);

/** The reason against it in words, or null. */
export function tooFarBehind(
  asked: OperatorRequest,
  role: Role,
  { lagMs, isFarBehind }: Pick<ReplicationFacts, 'lagMs' | 'isFarBehind'>,
): string | null {
  if (role !== 'protected' || !isFarBehind || !HANDS_OVER.has(asked.request)) return null;
  if (asked.request === 'stop' && asked.force) return null;
  const seconds = ((lagMs ?? 0) / 1000).toFixed(1);
  return `the backup is ${seconds} s behind and the guest would stand as long; ask again later`;
}
