// What a fault is: how it is made, what it may cost, how it is mended; and the waits that many share.
import type { SeededRandom } from '../harness/index.ts';
import { SIDES, type Side } from './network.ts';
import type { TwinRig } from './rig.ts';

export interface FaultContext {
  readonly rig: TwinRig;
  readonly random: SeededRandom;
  readonly primary: Side;
  readonly backup: Side;
  /** For people: what was done, and when. */
  readonly tell: (words: string) => void;
}

export interface Fault {
  readonly name: string;
  /** Of one part (a single fault), of two at the same time, or something the operator does. */
  readonly kind: 'single' | 'double' | 'planned';
  /** Answers must go on while it lasts. Else only afterwards. */
  readonly serves: boolean;
  /** The guest may have to start again: the connection ends. */
  readonly restartsGuest?: boolean;
  /** Returns when it has happened, and how to mend it. */
  make(context: FaultContext): Promise<() => Promise<void> | void>;
}

export const nothing = () => {};
export const START_MS = 20_000;
export const TAKEOVER_MS = 20_000;

export const single = (name: string, make: Fault['make'], more: Partial<Fault> = {}): Fault => ({
  ...{ name, kind: 'single', serves: true, make },
  ...more,
});
export const double = (name: string, make: Fault['make'], more: Partial<Fault> = {}): Fault => ({
  ...{ name, kind: 'double', serves: false, make },
  ...more,
});
export const planned = (name: string, make: Fault['make']): Fault => ({
  ...{ name, kind: 'planned', serves: true, make },
});

/** Waits until the other board leads. */
export function takenOver({ rig, backup }: FaultContext): Promise<void> {
  return rig.until(`board ${backup} takes over`, () => rig.primary === backup, TAKEOVER_MS);
}

export function alone({ rig }: FaultContext, side: Side): Promise<void> {
  const roles = ['solo', 'source', 'granting', 'protected'];
  const leads = () => roles.includes(rig.boards[side].status?.role ?? '');
  const isAlone = () => leads() && !rig.isRedundant;
  return rig.until(`board ${side} goes on alone`, isAlone, TAKEOVER_MS);
}

export function soloSomewhere({ boards, primary }: TwinRig): boolean {
  return primary !== undefined && boards[primary].status?.pairState === 'RUN-Solo';
}

export function pathIs(
  rig: TwinRig,
  path: 'serial' | 'front',
  state: 'talks' | 'silent',
): Promise<void> {
  const isSo = () => SIDES.some((side) => rig.boards[side].status?.paths[path].state === state);
  return rig.until(`the ${path} path is ${state}`, isSo, START_MS);
}

/** It may not lead from its disk alone. */
export function waits({ boards }: TwinRig, side: Side): boolean {
  const { role, why = '' } = boards[side].status ?? {};
  return role === 'seeking' && why.includes('peer, or operator');
}

export function both(first: () => Promise<void>, second: () => Promise<void>) {
  return async () => {
    await first();
    await second();
  };
}
