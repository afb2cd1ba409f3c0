// Virtual time as a function of position.
//
// Between two clock steps time passes in proportion to positions (instructions, on the software engine):
//     ns = baseNs + (((position - basePosition) * multiplier) >> 32)
// which is the engine's formula for the guest's TSC, so that both always show the same number.

import type { VirtualNs } from '../devices/contracts.ts';
import type { Position } from './engine.ts';

export const MULTIPLIER_ONE = 1n << 32n; // one nanosecond a position

export type ClockState = {
  readonly baseNs: VirtualNs;
  // The position at baseNs, by its name in saved states and digests.
  readonly baseIcount: Position;
  readonly multiplier: bigint;
};

export class Clock {
  private baseNs: VirtualNs = 0n;
  private basePosition: Position = 0n;
  private rate: bigint;

  constructor(multiplier: bigint) {
    this.rate = checkedMultiplier(multiplier);
  }

  get multiplier(): bigint {
    return this.rate;
  }

  nsAt(position: Position): VirtualNs {
    return this.baseNs + (((position - this.basePosition) * this.rate) >> 32n);
  }

  // The first position at which it is `ns` or later.
  positionAt(ns: VirtualNs): Position {
    if (ns <= this.baseNs) return this.basePosition;
    const scaled = (ns - this.baseNs) << 32n;
    return this.basePosition + (scaled + this.rate - 1n) / this.rate;
  }

  // At `position` it is `ns` from now on, passing at the new multiplier. Never goes back.
  step(position: Position, ns: VirtualNs, multiplier: bigint): void {
    const nowNs = this.nsAt(position);
    if (ns < nowNs) throw new Error(`clock step back from ${nowNs} to ${ns} ns`);
    this.rate = checkedMultiplier(multiplier);
    this.baseNs = ns;
    this.basePosition = position;
  }

  state(): ClockState {
    return {
      baseNs: this.baseNs,
      baseIcount: this.basePosition,
      multiplier: this.rate,
    };
  }

  restore(state: ClockState): void {
    this.baseNs = state.baseNs;
    this.basePosition = state.baseIcount;
    this.rate = checkedMultiplier(state.multiplier);
  }
}

// Zero would stop time for a busy guest; the upper bound (2^20 ns a position) keeps the engine's
// 128-bit product exact for every position it can reach.
function checkedMultiplier(multiplier: bigint): bigint {
  if (multiplier < 1n || multiplier > 1n << 52n)
    throw new Error(`clock multiplier ${multiplier} out of range`);
  return multiplier;
}
