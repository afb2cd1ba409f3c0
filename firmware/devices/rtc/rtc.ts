// The PC's real-time clock: date and time, alarm, periodic and update interrupts, CMOS bytes.
//
// Time is a function of virtual time: the divider chain started at `chainNs`, seconds pass at whole
// seconds after it, and `baseSeconds` says which second that was. While the guest sets the clock (SET,
// or a stopped divider) the time registers are plain bytes; when it lets go they become the new base.
//
// The world tells now and then what time it is (`tellWallClock`), and the clock follows it. One that the guest
// set stays as far from the world's as the guest set it: local time, say.

import type { Device, IrqLine, StateObject } from '../contracts.ts';
import { dateTimeOf, dayOfWeek, epochSecondsOf } from './calendar.ts';
import {
  A,
  ALARM_ANY,
  At,
  B,
  C,
  CMOS_BYTES,
  D_VALID,
  DIVIDER_HZ,
  HOUR_PM,
  RTC_PORT,
  UPDATE_NOTICE_NS,
} from './registers.ts';

const NS_PER_SECOND = 1_000_000_000n;

export type RtcState = {
  readonly cmos: Uint8Array;
  readonly index: number;
  readonly flags: number;
  readonly baseSeconds: number;
  readonly chainNs: bigint;
  readonly nowNs: bigint;
  readonly wallLineNs: bigint;
  readonly setOffNs: bigint;
};

export type RtcOptions = {
  readonly irq: IrqLine;
  // The date and time at virtual time zero, seconds since 1970. Part of the initial state.
  readonly epochSeconds: number;
  // Bytes a BIOS would have left: offset, value.
  readonly presets: readonly (readonly [number, number])[];
};

export class Rtc implements Device {
  readonly name = 'rtc';
  readonly ports = [{ base: RTC_PORT, count: 2 }];

  private readonly irq: IrqLine;
  private readonly cmos = new Uint8Array(CMOS_BYTES);
  private index = 0;
  private flags = 0;
  private baseSeconds: number;
  private chainNs = 0n;
  private nowNs = 0n;
  // The world's time of day minus virtual time, as told last, in ns since 1970.
  private wallLineNs: bigint;
  // How far the guest set this clock from the world's.
  private setOffNs = 0n;

  constructor(options: RtcOptions) {
    this.irq = options.irq;
    this.baseSeconds = options.epochSeconds;
    this.wallLineNs = BigInt(options.epochSeconds) * NS_PER_SECOND;
    this.cmos[At.a] = A.dividerRunning | 6; // 1024 Hz, as a BIOS sets it
    this.cmos[At.b] = B.hours24;
    for (const [offset, value] of options.presets) this.cmos[offset] = value;
  }

  readPort(port: number): number {
    if (port === RTC_PORT) return 0xff; // the index cannot be read
    const at = this.index;
    if (at === At.c) return this.takeFlags();
    if (at === At.d) return D_VALID;
    if (at === At.a) return this.cmos[At.a]! | (this.isUpdateNear ? A.updateInProgress : 0);
    if (isTime(at) && this.isRunning) return this.encodedTime(this.secondsNow).get(at)!;
    return this.cmos[at]!;
  }

  writePort(port: number, _bytes: number, value: number): void {
    if (port === RTC_PORT) {
      this.index = value & (CMOS_BYTES - 1); // bit 7 masks NMI; nothing here raises one
      return;
    }
    const at = this.index;
    if (at === At.a) this.writeControl(at, value & ~A.updateInProgress);
    else if (at === At.b) this.writeControl(at, value);
    else if (isTime(at) && this.isRunning) this.writeRunningTime(at, value);
    else if (at !== At.c && at !== At.d) this.cmos[at] = value;
    this.update();
  }

  nextDeadlineNs(): bigint | undefined {
    const enabled = this.cmos[At.b]!;
    let next: bigint | undefined;
    const consider = (ns: bigint | undefined) => {
      if (ns !== undefined && (next === undefined || ns < next)) next = ns;
    };
    const waits = (enable: number, flag: number) =>
      (enabled & enable) !== 0 && (this.flags & flag) === 0;
    if (waits(B.periodicInterrupt, C.periodic)) consider(this.nextPeriodicNs());
    if (!this.isRunning) return next;
    if (waits(B.updateInterrupt, C.update)) consider(this.nsOfSecond(this.secondsNow + 1));
    if (waits(B.alarmInterrupt, C.alarm)) {
      const alarm = this.nextAlarm(this.secondsNow);
      if (alarm !== undefined) consider(this.nsOfSecond(alarm));
    }
    return next;
  }

  advanceTo(nowNs: bigint): void {
    const secondsBefore = this.secondsNow;
    const periodsBefore = this.periods;
    this.nowNs = nowNs;
    if (this.periods > periodsBefore) this.flags |= C.periodic;
    this.noteSeconds(secondsBefore);
    this.update();
  }

  // It is `wallNs` since 1970 in the world now.
  tellWallClock(wallNs: bigint): void {
    this.wallLineNs = wallNs - this.nowNs;
    // One that stands keeps what the guest is just setting.
    if (!this.isRunning) return;
    const secondsBefore = this.secondsNow;
    const shown = wallNs + this.setOffNs;
    const inSecond = ((shown % NS_PER_SECOND) + NS_PER_SECOND) % NS_PER_SECOND;
    this.chainNs = this.nowNs - inSecond;
    this.baseSeconds = Number((shown - inSecond) / NS_PER_SECOND);
    this.noteSeconds(secondsBefore);
    this.update();
  }

  state(): RtcState {
    return {
      cmos: this.cmos.slice(),
      index: this.index,
      flags: this.flags,
      baseSeconds: this.baseSeconds,
      chainNs: this.chainNs,
      nowNs: this.nowNs,
      wallLineNs: this.wallLineNs,
      setOffNs: this.setOffNs,
    };
  }

  restore(state: StateObject): void {
    const from = state as RtcState;
    this.cmos.set(from.cmos);
    this.index = from.index;
    this.flags = from.flags;
    this.baseSeconds = from.baseSeconds;
    this.chainNs = from.chainNs;
    this.nowNs = from.nowNs;
    this.wallLineNs = from.wallLineNs;
    this.setOffNs = from.setOffNs;
    this.update();
  }

  // The battery keeps time and memory; reset ends interrupts.
  reset(): void {
    this.cmos[At.b]! &= ~(
      B.periodicInterrupt |
      B.alarmInterrupt |
      B.updateInterrupt |
      B.squareWave
    );
    this.flags = 0;
    this.index = 0;
    this.update();
  }

  // ---- time ---------------------------------------------------------------------------------

  private noteSeconds(before: number): void {
    if (!this.isRunning || this.secondsNow <= before) return;
    this.flags |= C.update;
    const alarm = this.nextAlarm(before);
    if (alarm !== undefined && alarm <= this.secondsNow) this.flags |= C.alarm;
  }

  private get isDividing(): boolean {
    return (this.cmos[At.a]! & A.divider) === A.dividerRunning;
  }

  private get isRunning(): boolean {
    return this.isDividing && (this.cmos[At.b]! & B.set) === 0;
  }

  // Whole seconds since the chain started.
  private get chainSeconds(): number {
    return Number((this.nowNs - this.chainNs) / NS_PER_SECOND);
  }

  private get secondsNow(): number {
    return this.baseSeconds + this.chainSeconds;
  }

  private nsOfSecond(seconds: number): bigint {
    return this.chainNs + BigInt(seconds - this.baseSeconds) * NS_PER_SECOND;
  }

  private get isUpdateNear(): boolean {
    const inSecond = (this.nowNs - this.chainNs) % NS_PER_SECOND;
    return this.isRunning && inSecond >= NS_PER_SECOND - UPDATE_NOTICE_NS;
  }

  // Periodic rate in 32.768 kHz ticks; 0 = off. Rates 1 and 2 repeat 8 and 9.
  private get periodTicks(): bigint {
    const rate = this.cmos[At.a]! & A.rate;
    if (rate === 0 || !this.isDividing) return 0n;
    return 1n << BigInt((rate < 3 ? rate + 7 : rate) - 1);
  }

  private get periods(): bigint {
    const period = this.periodTicks;
    if (period === 0n) return 0n;
    return ((this.nowNs - this.chainNs) * DIVIDER_HZ) / NS_PER_SECOND / period;
  }

  private nextPeriodicNs(): bigint | undefined {
    const period = this.periodTicks;
    if (period === 0n) return undefined;
    const tick = (this.periods + 1n) * period;
    return this.chainNs + (tick * NS_PER_SECOND + DIVIDER_HZ - 1n) / DIVIDER_HZ;
  }

  // The first second after `after` that matches the alarm; values no clock shows never match.
  private nextAlarm(after: number): number | undefined {
    const [hours, minutes, seconds] = [At.hoursAlarm, At.minutesAlarm, At.secondsAlarm].map(
      (at) => {
        const raw = this.cmos[at]!;
        if ((raw & ALARM_ANY) === ALARM_ANY) return undefined;
        return at === At.hoursAlarm ? this.decodeHour(raw) : this.decode(raw);
      },
    );
    let second = after + 1;
    const end = after + 1 + 2 * 86_400;
    while (second < end) {
      const time = dateTimeOf(second);
      if (hours !== undefined && time.hour !== hours)
        second += 3600 - (time.minute * 60 + time.second);
      else if (minutes !== undefined && time.minute !== minutes) second += 60 - time.second;
      else if (seconds !== undefined && time.second !== seconds) second += 1;
      else return second;
    }
    return undefined;
  }

  // ---- registers ------------------------------------------------------------------------------

  // Registers A and B: the clock may stop or start by this write.
  private writeControl(at: number, value: number): void {
    const wasRunning = this.isRunning;
    const wasDividing = this.isDividing;
    const seconds = this.secondsNow;
    if (wasRunning && !this.runsWith(at, value)) this.holdTime(seconds);
    this.cmos[at] = at === At.b && (value & B.set) !== 0 ? value & ~B.updateInterrupt : value;
    // A restarted divider makes its first update after half a second.
    if (this.isDividing && !wasDividing) this.chainNs = this.nowNs - NS_PER_SECOND / 2n;
    if (this.isRunning && !wasRunning) this.startFromHeld();
  }

  private runsWith(at: number, value: number): boolean {
    const a = at === At.a ? value : this.cmos[At.a]!;
    const b = at === At.b ? value : this.cmos[At.b]!;
    return (a & A.divider) === A.dividerRunning && (b & B.set) === 0;
  }

  private writeRunningTime(at: number, value: number): void {
    this.holdTime(this.secondsNow);
    this.cmos[at] = value;
    this.startFromHeld();
  }

  private startFromHeld(): void {
    this.baseSeconds = this.heldSeconds() - this.chainSeconds;
    const shown = BigInt(this.baseSeconds) * NS_PER_SECOND + (this.nowNs - this.chainNs);
    this.setOffNs = shown - (this.nowNs + this.wallLineNs);
  }

  private holdTime(seconds: number): void {
    for (const [at, value] of this.encodedTime(seconds)) this.cmos[at] = value;
  }

  private encodedTime(seconds: number): Map<number, number> {
    const date = dateTimeOf(seconds);
    return new Map<number, number>([
      [At.seconds, this.encode(date.second)],
      [At.minutes, this.encode(date.minute)],
      [At.hours, this.encodeHour(date.hour)],
      [At.dayOfWeek, this.encode(dayOfWeek(seconds))],
      [At.dayOfMonth, this.encode(date.day)],
      [At.month, this.encode(date.month)],
      [At.year, this.encode(date.year % 100)],
      [At.century, this.encode(Math.floor(date.year / 100))],
    ]);
  }

  private heldSeconds(): number {
    const value = (at: number) => this.decode(this.cmos[at]!);
    return epochSecondsOf({
      year: value(At.century) * 100 + value(At.year),
      month: Math.min(Math.max(value(At.month), 1), 12),
      day: Math.max(value(At.dayOfMonth), 1),
      hour: this.decodeHour(this.cmos[At.hours]!),
      minute: value(At.minutes),
      second: value(At.seconds),
    });
  }

  private encode(value: number): number {
    const isBinary = (this.cmos[At.b]! & B.binary) !== 0;
    return isBinary ? value : (Math.floor(value / 10) << 4) | (value % 10);
  }

  private decode(raw: number): number {
    const isBinary = (this.cmos[At.b]! & B.binary) !== 0;
    return isBinary ? raw : (raw >> 4) * 10 + (raw & 15);
  }

  private encodeHour(hour: number): number {
    if ((this.cmos[At.b]! & B.hours24) !== 0) return this.encode(hour);
    return this.encode(hour % 12 === 0 ? 12 : hour % 12) | (hour >= 12 ? HOUR_PM : 0);
  }

  private decodeHour(raw: number): number {
    if ((this.cmos[At.b]! & B.hours24) !== 0) return this.decode(raw);
    return (this.decode(raw & ~HOUR_PM) % 12) + ((raw & HOUR_PM) !== 0 ? 12 : 0);
  }

  private takeFlags(): number {
    const value = this.flags | (this.isRaised ? C.interrupt : 0);
    this.flags = 0;
    this.update();
    return value;
  }

  // Enable bits of B and flags of C have the same places.
  private get isRaised(): boolean {
    const causes = C.update | C.alarm | C.periodic;
    return (this.flags & this.cmos[At.b]! & causes) !== 0;
  }

  private update(): void {
    this.irq.set(this.isRaised);
  }
}

function isTime(at: number): boolean {
  const isAlarm = at === At.secondsAlarm || at === At.minutesAlarm || at === At.hoursAlarm;
  return (at <= At.year && !isAlarm) || at === At.century;
}
