// 8259A command words (Intel 8259A data sheet, "Programming the 8259A").

export const MASTER_PORT = 0x20;
export const SLAVE_PORT = 0xa0;
// Edge/level control registers of ISA chipsets: master, slave.
export const ELCR_PORT = 0x4d0;
// Lines which are edge-triggered whatever ELCR says: timer, keyboard, cascade; RTC, coprocessor.
export const ELCR_WRITABLE = [0xf8, 0xde] as const;
// The slave's output enters the master here.
export const CASCADE_LEVEL = 2;

export const Icw1 = {
  needIcw4: 1 << 0,
  single: 1 << 1,
  levelTriggered: 1 << 3,
  is: 1 << 4,
} as const;
export const Icw4 = { autoEoi: 1 << 1, fullyNested: 1 << 4 } as const;

export const Ocw2Command = {
  clearRotateInAutoEoi: 0,
  nonSpecificEoi: 1,
  none: 2,
  specificEoi: 3,
  setRotateInAutoEoi: 4,
  rotateOnNonSpecificEoi: 5,
  setPriority: 6,
  rotateOnSpecificEoi: 7,
} as const;

export const Ocw3 = {
  is: 1 << 3,
  readIsr: 1 << 0,
  readRegister: 1 << 1,
  poll: 1 << 2,
  specialMask: 1 << 5,
  enableSpecialMask: 1 << 6,
} as const;

// What a poll reads when a request is pending, next to its level.
export const POLL_PENDING = 0x80;
// The level answered when nothing is pending at acknowledge ("default IR7").
export const SPURIOUS_LEVEL = 7;
