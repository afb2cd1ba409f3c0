// The numbers of the modern virtio PCI transport (VIRTIO 1.1, chapters 2, 4.1 and 6).

export const VIRTIO_VENDOR_ID = 0x1af4;
export const VIRTIO_DEVICE_ID_BASE = 0x1040; // plus the device type

export const DeviceType = { net: 1, block: 2, console: 3, entropy: 4 } as const;

// Device status (2.1).
export const Status = {
  acknowledge: 1,
  driver: 2,
  driverOk: 4,
  featuresOk: 8,
  needsReset: 64,
  failed: 128,
} as const;
export const STATUS_BY_DRIVER =
  Status.acknowledge | Status.driver | Status.driverOk | Status.featuresOk | Status.failed;

// Feature bits of the transport (6).
export const Feature = { indirectDescriptors: 28, version1: 32 } as const;

// Interrupt status (4.1.4.5).
export const Isr = { queue: 1, config: 2 } as const;

// cfg_type of the vendor capabilities (4.1.4).
export const Structure = { common: 1, notify: 2, isr: 3, device: 4, pciConfig: 5 } as const;

// One vendor capability: offsets in its body.
export const CAPABILITY_ID_VENDOR = 0x09;
export const CAP = {
  id: 0,
  bytes: 2,
  structure: 3,
  bar: 4,
  offset: 8,
  length: 12,
  notifyMultiplier: 16, // only notify
  data: 16, // only pciConfig
} as const;
export const CAP_BYTES = 16;

// Common configuration structure (4.1.4.3).
export const COMMON = {
  deviceFeatureSelect: 0x00,
  deviceFeature: 0x04,
  driverFeatureSelect: 0x08,
  driverFeature: 0x0c,
  configMsixVector: 0x10,
  queueCount: 0x12,
  deviceStatus: 0x14,
  configGeneration: 0x15,
  queueSelect: 0x16,
  queueSize: 0x18,
  queueMsixVector: 0x1a,
  queueEnable: 0x1c,
  queueNotifyOffset: 0x1e,
  queueDescriptors: 0x20, // 64 bits, as two halves
  queueDriverArea: 0x28,
  queueDeviceArea: 0x30,
} as const;
export const COMMON_BYTES = 0x38;
export const NO_VECTOR = 0xffff;

// Where our structures lie. The memory BAR holds all of them, a page each. The I/O BAR repeats the
// two that are touched for every batch of work, notify and interrupt status: a port access needs
// neither a page walk nor an instruction decode in a hypervisor, and guests take the first
// capability of a kind they can use.
export const MEMORY_BAR = 0;
export const MEMORY_BAR_BYTES = 0x4000;
export const IO_BAR = 1;
export const IO_BAR_BYTES = 8;
export const MEMORY_AT = { common: 0x0000, isr: 0x1000, device: 0x2000, notify: 0x3000 } as const;
export const IO_AT = { notify: 0, isr: 4 } as const;
export const NOTIFY_MULTIPLIER = 4; // in the memory BAR; 0 in the I/O BAR: the value names the queue

// Split virtqueue (2.6): layout of a descriptor and of the two rings.
export const DESCRIPTOR_BYTES = 16;
export const DESCRIPTOR = { address: 0, bytes: 8, flags: 12, next: 14 } as const;
export const DescriptorFlag = { next: 1, write: 2, indirect: 4 } as const;
export const RING = { flags: 0, index: 2, entries: 4 } as const;
export const DRIVER_RING_ENTRY_BYTES = 2;
export const DEVICE_RING_ENTRY_BYTES = 8;
export const DRIVER_RING_NO_INTERRUPT = 1;
