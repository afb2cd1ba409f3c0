// What `npm run test:vtx -- --boards` runs, known outside the emulated machine and inside.
import type { EngineChoice } from '../../firmware/host/engine-kinds.ts';

/** `cost`: no boards, but what the engine costs a Linux alone (cost.ts). */
export const BOARDS_GUESTS = ['small', 'linux', 'cost'] as const;

export interface BoardsPlan {
  readonly engine: EngineChoice;
  readonly guest: (typeof BOARDS_GUESTS)[number];
  /** Each has a crash, a hand-over, a log cable out and back in. */
  readonly rounds: number;
}

/** Of the small guest: each tick is some exits of a processor that is emulated twice. */
export const SMALL_HZ = 'HZ=20';
