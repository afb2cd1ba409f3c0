// Numbers of the block device (VIRTIO 1.1, 5.2), and the limits it announces.

export const BlkFeature = {
  sizeMax: 1,
  segmentsMax: 2,
  readOnly: 5,
  blockSize: 6,
  flush: 9,
  discard: 13,
  writeZeroes: 14,
} as const;

// Device configuration.
export const CONFIG = {
  capacity: 0, // sectors, 64 bits
  sizeMax: 8, // bytes of one buffer
  segmentsMax: 12, // buffers of one request
  blockSize: 20,
  discardSectorsMax: 36,
  discardSegmentsMax: 40,
  discardAlignment: 44, // sectors
  writeZeroesSectorsMax: 48,
  writeZeroesSegmentsMax: 52,
  writeZeroesMayUnmap: 56,
} as const;
export const CONFIG_BYTES = 60;

export const SECTOR_BYTES = 512;
export const SERIAL_BYTES = 20;

// Requests: a header, data, and in the last writable byte the status.
export const RequestType = {
  read: 0,
  write: 1,
  flush: 4,
  identify: 8,
  discard: 11,
  writeZeroes: 13,
} as const;
export const HEADER = { type: 0, sector: 8 } as const;
export const HEADER_BYTES = 16;
export const RequestStatus = { ok: 0, ioError: 1, unsupported: 2 } as const;

// Data of discard and write-zeroes: which sectors.
export const RANGE = { sector: 0, sectors: 8, flags: 12 } as const;
export const RANGE_BYTES = 16;
export const RANGE_UNMAP = 1;

// A driver that keeps to both of these can never exceed REQUEST_BYTES_MAX.
export const SEGMENTS_MAX = 126; // a queue of 128 less header and status
export const SEGMENT_BYTES_MAX = 32768;
export const REQUEST_BYTES_MAX = SEGMENTS_MAX * SEGMENT_BYTES_MAX;
// 32 MiB: a disk whose file system cannot punch holes writes that many zeros in well under a second.
export const RANGE_SECTORS_MAX = 65536;

// Requests taken from the guest and not yet answered. Their data is part of the machine's state, so
// it is bounded; further requests wait in the guest's ring. Room for several of the largest.
export const PENDING_MAX = 128;
export const PENDING_BYTES_MAX = 16 * 1024 * 1024;
