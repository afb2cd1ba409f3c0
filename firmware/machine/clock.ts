// Virtual time as a function of position.
//
// Between two clock steps time passes in proportion to instructions:
//     ns = baseNs + (((icount - baseIcount) * multiplier) >> 32)
// which is the engine's formula for the guest's TSC, so that both always show the same number.

import type { VirtualNs } from '../devices/contracts.ts';
import type { Icount } from './engine.ts';

export const MULTIPLIER_ONE = 1n << 32n; // one nanosecond an instruction

export type ClockState = {
  readonly baseNs: VirtualNs;
  readonly baseIcount: Icount;
  readonly multiplier: bigint;
};

export class Clock {
  #baseNs: VirtualNs = 0n;
  #baseIcount: Icount = 0n;
  #multiplier: bigint;

  constructor(multiplier: bigint) {
    this.#multiplier = checkedMultiplier(multiplier);
  }

  get multiplier(): bigint {
    return this.#multiplier;
  }

  nsAt(icount: Icount): VirtualNs {
    return this.#baseNs + (((icount - this.#baseIcount) * this.#multiplier) >> 32n);
  }

  // The first position at which it is `ns` or later.
  icountAt(ns: VirtualNs): Icount {
    if (ns <= this.#baseNs) return this.#baseIcount;
    const scaled = (ns - this.#baseNs) << 32n;
    return this.#baseIcount + (scaled + this.#multiplier - 1n) / this.#multiplier;
  }

  // At `icount` it is `ns` from now on, passing at the new multiplier. Never goes back.
  step(icount: Icount, ns: VirtualNs, multiplier: bigint): void {
    const nowNs = this.nsAt(icount);
    if (ns < nowNs) throw new Error(`clock step back from ${nowNs} to ${ns} ns`);
    this.#multiplier = checkedMultiplier(multiplier);
    this.#baseNs = ns;
    this.#baseIcount = icount;
  }

  state(): ClockState {
    return {
      baseNs: this.#baseNs,
      baseIcount: this.#baseIcount,
      multiplier: this.#multiplier,
    };
  }

  restore(state: ClockState): void {
    this.#baseNs = state.baseNs;
    this.#baseIcount = state.baseIcount;
    this.#multiplier = checkedMultiplier(state.multiplier);
  }
}

// Zero would stop time for a busy guest; the upper bound (2^20 ns an instruction) keeps the engine's
// 128-bit product exact for every position it can reach.
function checkedMultiplier(multiplier: bigint): bigint {
  if (multiplier < 1n || multiplier > 1n << 52n)
    throw new Error(`clock multiplier ${multiplier} out of range`);
  return multiplier;
}
