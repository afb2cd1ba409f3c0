// The ACPI power management timer (ACPI 6.4, 4.8.3.3): a 32-bit counter at 3.579545 MHz, and nothing
// else of ACPI. Read-only; it never interrupts.

import type { Device, StateObject } from '../contracts.ts';

export const PM_TIMER_PORT = 0x608;
export const PM_TIMER_HZ = 3_579_545n;

export type PmTimerState = { readonly nowNs: bigint };

export class PmTimer implements Device {
  readonly name = 'acpi-pm';
  readonly ports = [{ base: PM_TIMER_PORT, count: 4 }];
  readonly portBytesMax = 4;
  private nowNs = 0n;

  readPort(port: number, bytes: number): number {
    const ticks = Number(BigInt.asUintN(32, (this.nowNs * PM_TIMER_HZ) / 1_000_000_000n));
    const shifted = Math.floor(ticks / 2 ** (8 * (port - PM_TIMER_PORT)));
    return bytes === 4 ? shifted : shifted % 2 ** (8 * bytes);
  }

  writePort(): void {}

  nextDeadlineNs(): undefined {
    return undefined;
  }

  advanceTo(nowNs: bigint): void {
    this.nowNs = nowNs;
  }

  state(): PmTimerState {
    return { nowNs: this.nowNs };
  }

  restore(state: StateObject): void {
    this.nowNs = (state as PmTimerState).nowNs;
  }

  reset(): void {}
}
