// What the pair would survive now, for people and machines: the verdicts of watchdog/survival.ts with names and
// words. RUN-Redundant says that both boards are in step; this says what that is worth just now. Pure.
import { pairState } from '../../watchdog/arbiter.ts';
import type { ArbiterConfig, ArbiterState } from '../../watchdog/arbiter-types.ts';
import {
  type Fault,
  type FaultVerdict,
  faultWords,
  type LogWay,
  type Names,
  notSurvivedWords,
  survival,
  survivalAtBest,
  survivalKey,
  whyWords,
} from '../../watchdog/survival.ts';
import type { BoardConfig } from './config/types.ts';

export interface Redundancy {
  /** One sentence. */
  readonly words: string;
  /** Each single fault that may come now; of a pair that is not in step, those that end the service. */
  readonly faults: readonly FaultStatus[];
}

export interface FaultStatus {
  readonly fault: Fault;
  /** "death of press-7-b". */
  readonly what: string;
  readonly survived: boolean;
  /** Why not; null: it is survived. */
  readonly why: string | null;
}

export const ALL_SURVIVED = 'any single fault is survived';

export function redundancyOf(
  state: ArbiterState,
  nowMs: number,
  names: Names,
  logWay: LogWay = 'apart',
): Redundancy {
  const inStep = pairState(state) === 'RUN-Redundant';
  const verdicts = survival(state, nowMs, logWay);
  const not = notSurvivedWords(verdicts, names);
  return {
    words:
      not !== null ? `not survived: ${not}` : inStep ? ALL_SURVIVED : 'no board is heard to lead',
    faults: verdicts.map((verdict) => faultStatus(verdict, names)),
  };
}

/** The same for who is asked often: thought over again only when something has changed. */
export class RedundancyView {
  private key = '';
  private known: Redundancy | null = null;

  look(state: ArbiterState, nowMs: number, names: Names, logWay: LogWay = 'apart'): Redundancy {
    const key = `${survivalKey(state, nowMs)} ${names.here} ${names.there} ${logWay}`;
    if (this.known === null || key !== this.key) {
      this.known = redundancyOf(state, nowMs, names, logWay);
    }
    this.key = key;
    return this.known;
  }
}

function faultStatus({ fault, why }: FaultVerdict, names: Names): FaultStatus {
  const what = faultWords(fault, names);
  return { fault, what, survived: why === null, why: why === null ? null : whyWords(why) };
}

export function arbiterConfigOf(config: BoardConfig, hasWatchdog: boolean): ArbiterConfig {
  return {
    id: config.side,
    limits: config.limits,
    witness: config.front.gateway === null ? 'none' : 'gateway',
    allowNoWatchdog: !hasWatchdog,
    syncAllowed: config.syncAllowed,
  };
}

/** What a pair with this configuration survives when all is well; null: any single fault. */
export function notSurvivedAtBest(config: BoardConfig): string | null {
  const names = { here: 'the primary', there: 'the backup' };
  const arbiter = arbiterConfigOf(config, config.watchdog.kind !== 'none');
  return notSurvivedWords(survivalAtBest(arbiter, config.serial !== null), names);
}
