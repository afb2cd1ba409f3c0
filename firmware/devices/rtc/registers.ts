// MC146818 real-time clock and CMOS memory (Motorola MC146818A data sheet).

export const RTC_PORT = 0x70; // index, then data
export const CMOS_BYTES = 128;
export const DIVIDER_HZ = 32_768n;

export const At = {
  seconds: 0x00,
  secondsAlarm: 0x01,
  minutes: 0x02,
  minutesAlarm: 0x03,
  hours: 0x04,
  hoursAlarm: 0x05,
  dayOfWeek: 0x06,
  dayOfMonth: 0x07,
  month: 0x08,
  year: 0x09,
  a: 0x0a,
  b: 0x0b,
  c: 0x0c,
  d: 0x0d,
  century: 0x32, // PC convention
} as const;

export const A = {
  rate: 0x0f,
  divider: 0x70,
  dividerRunning: 0x20, // 32.768 kHz time base
  updateInProgress: 0x80,
} as const;

export const B = {
  daylight: 0x01,
  hours24: 0x02,
  binary: 0x04,
  squareWave: 0x08,
  updateInterrupt: 0x10,
  alarmInterrupt: 0x20,
  periodicInterrupt: 0x40,
  set: 0x80,
} as const;

export const C = { update: 0x10, alarm: 0x20, periodic: 0x40, interrupt: 0x80 } as const;
export const D_VALID = 0x80;
export const ALARM_ANY = 0xc0; // both top bits: "don't care"
export const HOUR_PM = 0x80;
// Updates are announced this long before they happen.
export const UPDATE_NOTICE_NS = 244_000n;
