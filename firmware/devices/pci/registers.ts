// PCI configuration space, header type 0 (PCI Local Bus 3.0, 6.1 and 6.2): offsets and bits.

export const CONFIG_BYTES = 256;

export const AT = {
  vendorId: 0x00,
  deviceId: 0x02,
  command: 0x04,
  status: 0x06,
  revision: 0x08,
  classCode: 0x09, // programming interface, subclass, class: three bytes
  cacheLineSize: 0x0c,
  latencyTimer: 0x0d,
  headerType: 0x0e,
  bar0: 0x10,
  subsystemVendorId: 0x2c,
  subsystemId: 0x2e,
  expansionRom: 0x30,
  capabilities: 0x34,
  interruptLine: 0x3c,
  interruptPin: 0x3d,
  // Capabilities start here and are chained in the order given.
  deviceSpecific: 0x40,
} as const;

export const Command = {
  ioSpace: 1 << 0,
  memorySpace: 1 << 1,
  busMaster: 1 << 2,
  parityResponse: 1 << 6,
  serrEnable: 1 << 8,
  interruptDisable: 1 << 10,
} as const;
export const COMMAND_WRITABLE =
  Command.ioSpace |
  Command.memorySpace |
  Command.busMaster |
  Command.parityResponse |
  Command.serrEnable |
  Command.interruptDisable;

export const Status = {
  interrupt: 1 << 3,
  capabilitiesList: 1 << 4,
} as const;

export const Bar = {
  io: 1 << 0,
  memory64: 2 << 1,
  prefetchable: 1 << 3,
} as const;

// Configuration mechanism 1 (3.2.2.3.2).
export const CONFIG_ADDRESS_PORT = 0xcf8;
export const CONFIG_DATA_PORT = 0xcfc;
export const CONFIG_ENABLE = 0x8000_0000;
