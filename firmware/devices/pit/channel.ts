// One channel of the 8254: a counter whose value and output are functions of time.
//
// Nothing ticks. A channel remembers the tick at which its count was loaded, and everything else
// follows from the ticks elapsed since: the value a latch sees, the output level, the next rising
// edge. Ticks are those of the 1.193182 MHz input clock; a written count is loaded one tick later.
//
// Where the data sheet leaves a choice: count 1 in modes 2 and 3 (illegal there) never makes an
// edge; a mode 3 half period with a new count starts that count's other half.
//
// A reset leaves what a PC's firmware leaves behind: channels whose gate is high count 65536 in mode 3
// (18.2 Hz). A Linux without a TSC waits for such a count before it has set up anything itself.

import type { StateObject } from '../contracts.ts';
import { Access, ChannelStatus } from './registers.ts';

export type ChannelState = {
  readonly mode: number; // 0..5
  readonly access: number;
  readonly isBcd: boolean;
  readonly gate: boolean;
  readonly count: number; // 1..65536 (or 10000), the count in force
  readonly nextCount: number; // written, to be loaded; 0 = none
  readonly nextLoadTick: bigint; // when nextCount takes over (modes 2, 3)
  readonly isArmed: boolean; // a count was written since the control word (modes 1, 5: triggers work)
  readonly isCounting: boolean;
  readonly loadTick: bigint; // when the count in force was loaded
  readonly heldElapsed: bigint; // modes 0, 4 with gate low: ticks elapsed when it fell; else -1
  readonly writeLow: number; // first byte of a two-byte write; -1 = none
  readonly readHighNext: boolean;
  readonly latchedCount: number; // -1 = none
  readonly latchedStatus: number; // -1 = none
};

const POWER_ON: ChannelState = {
  mode: 3,
  access: Access.lowHigh,
  isBcd: false,
  gate: true,
  count: 0x10000,
  nextCount: 0,
  nextLoadTick: 0n,
  isArmed: false,
  isCounting: false,
  loadTick: 0n,
  heldElapsed: -1n,
  writeLow: -1,
  readHighNext: false,
  latchedCount: -1,
  latchedStatus: -1,
};

const atReset = (gate: boolean): ChannelState => ({
  ...POWER_ON,
  gate,
  isArmed: gate,
  isCounting: gate,
});

type Writable<T> = { -readonly [K in keyof T]: T[K] };

export class Channel {
  private s: Writable<ChannelState>;
  private readonly gateAtReset: boolean;

  constructor(gateAtReset: boolean) {
    this.gateAtReset = gateAtReset;
    this.s = atReset(gateAtReset);
  }

  get mode(): number {
    return this.s.mode;
  }

  writeControl(access: number, mode: number, isBcd: boolean): void {
    const s = this.s;
    s.mode = mode > 5 ? mode - 4 : mode; // bit 2 is "don't care" for modes 2 and 3
    s.access = access;
    s.isBcd = isBcd;
    s.isArmed = false;
    s.isCounting = false;
    s.nextCount = 0;
    s.heldElapsed = -1n;
    s.writeLow = -1;
    s.readHighNext = false;
    s.latchedCount = -1;
    s.latchedStatus = -1;
  }

  writeCount(byte: number, tick: bigint): void {
    const s = this.s;
    if (s.access === Access.low) this.setCount(byte, tick);
    else if (s.access === Access.high) this.setCount(byte << 8, tick);
    else if (s.writeLow < 0) {
      s.writeLow = byte;
      if (s.mode === 0) s.isCounting = false; // the first byte stops mode 0
    } else {
      const low = s.writeLow;
      s.writeLow = -1;
      this.setCount(low | (byte << 8), tick);
    }
  }

  read(tick: bigint): number {
    const s = this.s;
    if (s.latchedStatus >= 0) {
      const status = s.latchedStatus;
      s.latchedStatus = -1;
      return status;
    }
    const value = s.latchedCount >= 0 ? s.latchedCount : this.encoded(tick);
    if (s.access === Access.low || s.access === Access.high) {
      s.latchedCount = -1;
      return s.access === Access.low ? value & 0xff : value >> 8;
    }
    s.readHighNext = !s.readHighNext;
    if (s.readHighNext) return value & 0xff;
    s.latchedCount = -1;
    return value >> 8;
  }

  latchCount(tick: bigint): void {
    if (this.s.latchedCount < 0) this.s.latchedCount = this.encoded(tick);
  }

  latchStatus(tick: bigint): void {
    const s = this.s;
    if (s.latchedStatus >= 0) return;
    const isNull = !s.isCounting || s.nextCount !== 0 || tick < s.loadTick;
    s.latchedStatus =
      (this.out(tick) ? ChannelStatus.out : 0) |
      (isNull ? ChannelStatus.nullCount : 0) |
      (s.access << 4) |
      (s.mode << 1) |
      (s.isBcd ? 1 : 0);
  }

  setGate(level: boolean, tick: bigint): void {
    const s = this.s;
    if (level === s.gate) return;
    this.takeNextCount(tick);
    s.gate = level;
    const isPausing = s.mode === 0 || s.mode === 4;
    if (isPausing && s.isCounting) {
      if (!level) s.heldElapsed = tick < s.loadTick ? 0n : tick - s.loadTick;
      else {
        const resumed = tick - s.heldElapsed;
        if (resumed > s.loadTick) s.loadTick = resumed;
        s.heldElapsed = -1n;
      }
    } else if (level && !isPausing && s.isArmed) {
      // Rising gate (re)starts with the newest count: trigger of 1 and 5, reload of 2 and 3.
      if (s.nextCount !== 0) s.count = s.nextCount;
      s.nextCount = 0;
      s.loadTick = tick + 1n;
      s.isCounting = true;
    }
  }

  // Output level as the data sheet draws it.
  out(tick: bigint): boolean {
    const s = this.s;
    this.takeNextCount(tick);
    if (!s.isCounting) return s.mode !== 0;
    const elapsed = this.elapsed(tick);
    const count = BigInt(s.count);
    switch (s.mode) {
      case 0:
        return elapsed >= count;
      case 1:
        return elapsed < 0n || elapsed >= count;
      case 2:
        return !s.gate || elapsed < 0n || s.count === 1 || elapsed % count !== count - 1n;
      case 3:
        return !s.gate || elapsed < 0n || elapsed % count < this.highTicks(s.count);
      default:
        return elapsed !== count;
    }
  }

  // The tick of the first rising edge of the output after `tick`, if one comes by itself. Modes 2, 4
  // and 5 rise at the end of their one-tick strobe.
  nextRiseTick(tick: bigint): bigint | undefined {
    const s = this.s;
    this.takeNextCount(tick);
    if (!s.isCounting || s.heldElapsed >= 0n) return undefined;
    const elapsed = tick - s.loadTick;
    const count = BigInt(s.count);
    if (s.mode === 2 || s.mode === 3) {
      if (!s.gate || s.count === 1) return undefined;
      return this.nextPeriodicRise(elapsed, count);
    }
    const rise = s.mode <= 1 ? count : count + 1n;
    return elapsed < rise ? s.loadTick + rise : undefined;
  }

  // Equal channels have equal states, however often they were looked at on the way.
  state(tick: bigint): ChannelState {
    this.takeNextCount(tick);
    return { ...this.s };
  }

  restore(state: StateObject): void {
    this.s = { ...POWER_ON, ...(state as ChannelState) };
  }

  reset(): void {
    this.s = atReset(this.gateAtReset);
  }

  private nextPeriodicRise(elapsed: bigint, count: bigint): bigint {
    const s = this.s;
    if (elapsed < 0n) return s.loadTick + count;
    const endOfPeriod = s.loadTick + (elapsed / count + 1n) * count;
    if (s.nextCount === 0 || s.nextLoadTick >= endOfPeriod) return endOfPeriod;
    // Mode 3 with a new count waiting at the half period: its low half begins there.
    const next = BigInt(s.nextCount);
    return s.nextLoadTick + next - this.highTicks(s.nextCount);
  }

  private highTicks(count: number): bigint {
    return BigInt((count + 1) >> 1);
  }

  private modulus(): number {
    return this.s.isBcd ? 10_000 : 0x10000;
  }

  private setCount(raw: number, tick: bigint): void {
    const s = this.s;
    let count = raw;
    if (s.isBcd) {
      count = (raw >> 12) * 1000 + ((raw >> 8) & 15) * 100 + ((raw >> 4) & 15) * 10 + (raw & 15);
      count %= 10_000;
    }
    if (count === 0) count = this.modulus();
    this.takeNextCount(tick);
    s.isArmed = true;
    const isLoadDue = s.isCounting && tick < s.loadTick; // triggered, takes whatever is written by then
    if ((s.mode === 1 || s.mode === 5) && !isLoadDue) {
      s.nextCount = count;
      s.nextLoadTick = -1n; // waits for a trigger
    } else if ((s.mode === 2 || s.mode === 3) && s.isCounting && !isLoadDue) {
      s.nextCount = count;
      s.nextLoadTick = this.endOfCycle(tick);
    } else {
      s.count = count;
      s.loadTick = tick + 1n;
      s.isCounting = true;
      const isPaused = !s.gate && (s.mode === 0 || s.mode === 4);
      s.heldElapsed = isPaused ? 0n : -1n;
    }
  }

  // Modes 2 and 3 take a new count at the end of the period, mode 3 also at the half period.
  private endOfCycle(tick: bigint): bigint {
    const s = this.s;
    const count = BigInt(s.count);
    const elapsed = tick - s.loadTick;
    const start = s.loadTick + (elapsed / count) * count;
    const high = this.highTicks(s.count);
    if (s.mode === 3 && elapsed % count < high && s.count > 1) return start + high;
    return start + count;
  }

  private takeNextCount(tick: bigint): void {
    const s = this.s;
    if (s.nextCount === 0 || s.nextLoadTick < 0n || tick < s.nextLoadTick) return;
    const count = BigInt(s.count);
    const isHalf = (s.nextLoadTick - s.loadTick) % count !== 0n;
    s.count = s.nextCount;
    s.loadTick = isHalf ? s.nextLoadTick - this.highTicks(s.nextCount) : s.nextLoadTick;
    s.nextCount = 0;
  }

  private elapsed(tick: bigint): bigint {
    const s = this.s;
    return s.heldElapsed >= 0n ? s.heldElapsed : tick - s.loadTick;
  }

  // The counter as a read sees it: 16 bits, or four decimal digits.
  private encoded(tick: bigint): number {
    const value = this.value(tick);
    if (!this.s.isBcd) return value & 0xffff;
    const digit = (n: number) => Math.floor(value / n) % 10;
    return (digit(1000) << 12) | (digit(100) << 8) | (digit(10) << 4) | digit(1);
  }

  private value(tick: bigint): number {
    const s = this.s;
    this.takeNextCount(tick);
    const elapsed = this.elapsed(tick);
    if (!s.isCounting || elapsed < 0n) return s.count;
    const count = BigInt(s.count);
    if (s.mode === 2) return s.count - (s.gate ? Number(elapsed % count) : 0);
    if (s.mode === 3) {
      if (!s.gate) return s.count & ~1;
      const inPeriod = Number(elapsed % count);
      const high = Number(this.highTicks(s.count));
      // Counts down by two through each half; an odd count starts one lower.
      return (s.count & ~1) - 2 * (inPeriod < high ? inPeriod : inPeriod - high);
    }
    const modulus = BigInt(this.modulus());
    const left = (count - elapsed) % modulus;
    return Number(left < 0n ? left + modulus : left);
  }
}
