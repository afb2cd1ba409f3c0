// Numbers of the network device (VIRTIO 1.1, 5.1).

export const NetFeature = { mac: 5, status: 16 } as const;

// Device configuration: MAC address, then link status.
export const CONFIG = { mac: 0, status: 6 } as const;
export const CONFIG_BYTES = 8;
export const LINK_UP = 1;

export const RX_QUEUE = 0;
export const TX_QUEUE = 1;

// Before every frame, both ways. With VERSION_1 it has all 12 bytes even without mergeable buffers.
export const HEADER = { flags: 0, gsoType: 1, bufferCount: 10 } as const;
export const HEADER_BYTES = 12;
export const MAC_BYTES = 6;

// Ethernet without checksum; the longest has one VLAN tag, which is what drivers make room for.
export const FRAME_BYTES_MIN = 14;
export const FRAME_BYTES_MAX = 1518;
