// The ways of the log to the other board, for people: which one it takes, what is wrong with the others, and
// what would happen if one went now. Pure.
import type { LogWay } from '../../watchdog/survival.ts';
import type { LogPathFacts } from './replication/types.ts';

/** in-use: this board's log goes over it; unknown: the log link does not stand. */
export type LogPathState = 'in-use' | 'ready' | 'no-carrier' | 'no-answer' | 'unknown';

export interface LogPathStatus {
  /** "eth1", "the front LAN". */
  readonly name: string;
  readonly state: LogPathState;
  /** Why it has no link, where that is not the carrier. */
  readonly trouble: string | null;
  /** Null: not measured. */
  readonly rttUs: number | null;
  /** Of what was sent of the log since the link stands. */
  readonly sharePercent: number;
  /** If it went now, in words. */
  readonly ifLost: string;
}

export function logPaths(facts: readonly LogPathFacts[]): LogPathStatus[] {
  const total = facts.reduce((sum, { logBytes }) => sum + logBytes, 0);
  return facts.map((path, index) => ({
    name: path.name,
    state: stateOf(path),
    trouble: path.trouble,
    rttUs: path.rttUs > 0 ? path.rttUs : null,
    sharePercent: total === 0 ? 0 : (100 * path.logBytes) / total,
    ifLost: ifLost(facts, index),
  }));
}

/** No cable carries it, or could at once; the first `cards` of the paths are cables. */
export function logWayOf(facts: readonly LogPathFacts[], cards: number): LogWay {
  const carries = (path: LogPathFacts) => ['in-use', 'ready'].includes(stateOf(path));
  const isApart = facts.slice(0, cards).some(carries) || !facts.some(carries);
  return isApart ? 'apart' : 'over-front';
}

function stateOf({ hasCarrier, isActive, isLost }: LogPathFacts): LogPathState {
  if (!hasCarrier) return 'no-carrier';
  if (isLost === null) return 'unknown';
  if (isLost) return 'no-answer';
  return isActive ? 'in-use' : 'ready';
}

function ifLost(facts: readonly LogPathFacts[], index: number): string {
  const states = facts.map(stateOf);
  const others = facts.filter((_, i) => i !== index && states[i] === 'ready');
  if (states[index] === 'in-use') {
    const [next] = others;
    return next === undefined ? 'the log link is down' : `the log goes on over ${next.name}`;
  }
  if (states[index] !== 'ready') return 'nothing changes';
  return others.length > 0 ? 'nothing changes' : 'no other way is left for the log';
}

/** What a technician should mend; null: the log takes its best way, and all others are there. */
export function logPathTrouble(paths: readonly LogPathStatus[]): string | null {
  const inUse = paths.find(({ state }) => state === 'in-use');
  if (inUse === undefined || paths.every(({ state }) => state === 'in-use' || state === 'ready')) {
    if (inUse === undefined || inUse === paths[0]) return null;
    return `the log goes over ${inUse.name}; ${paths[0]?.name} answers again and is watched for a while`;
  }
  const missing = paths.flatMap(({ name, state, trouble }) => {
    if (state === 'no-carrier')
      return [trouble === null ? `${name} has no carrier` : `${name} has no link (${trouble})`];
    return state === 'no-answer' ? [`${name} gives no answer`] : [];
  });
  return `the log goes over ${inUse.name}: ${missing.join(', ')}; ${onWords(paths)}`;
}

function onWords(paths: readonly LogPathStatus[]): string {
  const next = paths.find(({ state }) => state === 'ready');
  if (next !== undefined) return `one more fault there, and it goes over ${next.name}`;
  return 'one more fault there, and redundancy is gone';
}
