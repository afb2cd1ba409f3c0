// 16550A UART registers and bits (National PC16550D data sheet, section 8).

export const COM1 = { port: 0x3f8, irq: 4 } as const;
export const COM2 = { port: 0x2f8, irq: 3 } as const;
export const UART_HZ = 115_200; // baud rate at divisor 1
export const FIFO_BYTES = 16;

export const Register = {
  data: 0, // RBR, THR; divisor low with DLAB
  interruptEnable: 1, // IER; divisor high with DLAB
  identification: 2, // IIR; write: FCR
  lineControl: 3,
  modemControl: 4,
  lineStatus: 5,
  modemStatus: 6,
  scratch: 7,
} as const;

export const Ier = {
  received: 1,
  transmitEmpty: 2,
  lineStatus: 4,
  modemStatus: 8,
  all: 15,
} as const;

export const Iir = {
  none: 0x01,
  modemStatus: 0x00,
  transmitEmpty: 0x02,
  received: 0x04,
  lineStatus: 0x06,
  timeout: 0x0c,
  fifosEnabled: 0xc0,
} as const;

export const Fcr = { enable: 1, clearReceiver: 2, clearTransmitter: 4 } as const;
export const FIFO_TRIGGERS = [1, 4, 8, 14] as const;

export const Lcr = {
  wordLength: 0x03,
  twoStopBits: 0x04,
  parityEnable: 0x08,
  evenParity: 0x10,
  stickParity: 0x20,
  sendBreak: 0x40,
  divisorAccess: 0x80,
} as const;

export const Mcr = { dtr: 1, rts: 2, out1: 4, out2: 8, loopback: 16, all: 31 } as const;

export const Lsr = {
  dataReady: 0x01,
  overrun: 0x02,
  parityError: 0x04,
  framingError: 0x08,
  breakReceived: 0x10,
  transmitHoldingEmpty: 0x20,
  transmitterEmpty: 0x40,
  errorInFifo: 0x80,
  errors: 0x1e,
} as const;

export const Msr = {
  deltaCts: 1,
  deltaDsr: 2,
  trailingRi: 4,
  deltaDcd: 8,
  deltas: 15,
  cts: 0x10,
  dsr: 0x20,
  ri: 0x40,
  dcd: 0x80,
} as const;
