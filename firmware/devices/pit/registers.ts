// 8254 programmable interval timer (Intel 82C54 data sheet) and the system control port beside it.

export const PIT_HZ = 1_193_182n;
export const PIT_PORT = 0x40; // channels 0..2, then the control word
export const CONTROL_PORT = 0x43;
// System control port B of the PC: gate and output of channel 2, refresh toggle.
export const SPEAKER_PORT = 0x61;

export const Access = { latch: 0, low: 1, high: 2, lowHigh: 3 } as const;
export const READ_BACK = 3; // in the channel field of a control word
export const ReadBack = { noCount: 1 << 5, noStatus: 1 << 4 } as const;
export const ChannelStatus = { out: 1 << 7, nullCount: 1 << 6 } as const;

export const SpeakerPort = {
  gate2: 1 << 0,
  speaker: 1 << 1,
  writable: 0x0f,
  refresh: 1 << 4,
  out2: 1 << 5,
} as const;
// Memory refresh toggles about every 15 microseconds.
export const REFRESH_NS = 15_085n;
