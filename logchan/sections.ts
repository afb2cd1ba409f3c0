// The inside of a sealed frame: a row of sections, each at most once (per lane where it has one).
// A body is read whole before any of it counts, so a malformed one has no effect at all.
//
// Every section states absolute facts ("I hold everything up to here"), never steps, so frames may
// be lost, repeated or reordered without a section going wrong.
import { OFFSET_MAX, RANGES_MAX } from './limits.ts';
import type { DropReason } from './reasons.ts';
import {
  readU16,
  readU32,
  readU48,
  readU64,
  writeU16,
  writeU32,
  writeU48,
  writeU64,
} from './wire.ts';

/** Two lanes, two streams: a gap in bulk data must not hold back messages, nor the other way. */
export const LANE = { log: 0, bulk: 1 } as const;
export type Lane = (typeof LANE)[keyof typeof LANE];
export const LANES: readonly Lane[] = [LANE.log, LANE.bulk];

const SECTION = { end: 0, ack: 1, data: 2, seen: 3, ask: 4, probe: 5, probed: 6, bye: 7 } as const;

export const SEEN_BYTES = 11;
export const ACK_BYTES = 19;
export const ACK_RANGE_BYTES = 8;
export const DATA_BYTES = 12;
export const ASK_BYTES = 1;
export const PROBE_BYTES = 3;
export const BYE_BYTES = 2;

/** Why a session ends by word of the one who ends it. */
export const BYE = { closing: 1 } as const;

export interface Ack {
  present: boolean;
  /** Every byte of the lane below this offset is received and safe. */
  offset: number;
  /** So many bytes and messages more may be sent beyond what `offset` covers. */
  creditBytes: number;
  creditMessages: number;
  rangeCount: number;
  /** Received beyond `offset`: start and end of each range in turn, ascending, apart. */
  ranges: Float64Array;
}

export interface Data {
  present: boolean;
  offset: number;
  /** Where the bytes lie in the body that was read. */
  start: number;
  end: number;
}

export interface Body {
  hasSeen: boolean;
  /** The newest frame counter the sender of this body has received, and for how long it had. */
  seenCounter: number;
  heldUs: number;
  acks: [Ack, Ack];
  data: [Data, Data];
  /** The sender wants to hear at once. */
  ask: boolean;
  /** Size of the probe frame this is, or 0; of the probe that arrived, or 0. */
  probe: number;
  probed: number;
  bye: number;
}

export function emptyAck(): Ack {
  return {
    present: false,
    offset: 0,
    creditBytes: 0,
    creditMessages: 0,
    rangeCount: 0,
    ranges: new Float64Array(2 * RANGES_MAX),
  };
}

export function emptyBody(): Body {
  const data = (): Data => ({ present: false, offset: 0, start: 0, end: 0 });
  return {
    hasSeen: false,
    seenCounter: 0,
    heldUs: 0,
    acks: [emptyAck(), emptyAck()],
    data: [data(), data()],
    ask: false,
    probe: 0,
    probed: 0,
    bye: 0,
  };
}

function clear(body: Body): void {
  body.hasSeen = false;
  body.acks[0].present = false;
  body.acks[1].present = false;
  body.data[0].present = false;
  body.data[1].present = false;
  body.ask = false;
  body.probe = 0;
  body.probed = 0;
  body.bye = 0;
}

/** Reads the opened body in bytes[0, end) into `into`; on a reason, `into` holds nothing usable. */
export function readBody(bytes: Uint8Array, end: number, into: Body): DropReason | undefined {
  clear(into);
  let at = 0;
  while (at < end) {
    const section = bytes[at] as number;
    if (section === SECTION.end) return undefined;
    const next = readSection(section, bytes, at, end, into);
    if (typeof next === 'string') return next;
    at = next;
  }
  return undefined;
}

function readSection(
  section: number,
  bytes: Uint8Array,
  at: number,
  end: number,
  into: Body,
): number | DropReason {
  switch (section) {
    case SECTION.seen:
      return readSeen(bytes, at, end, into);
    case SECTION.ack:
      return readAck(bytes, at, end, into);
    case SECTION.data:
      return readData(bytes, at, end, into);
    case SECTION.ask:
      if (into.ask) return 'twice';
      into.ask = true;
      return at + ASK_BYTES;
    case SECTION.probe:
    case SECTION.probed:
      return readProbe(section, bytes, at, end, into);
    case SECTION.bye: {
      if (at + BYE_BYTES > end) return 'cut';
      if (into.bye !== 0) return 'twice';
      into.bye = bytes[at + 1] as number;
      return into.bye === 0 ? 'range' : at + BYE_BYTES;
    }
    default:
      return 'section';
  }
}

function readSeen(bytes: Uint8Array, at: number, end: number, into: Body): number | DropReason {
  if (at + SEEN_BYTES > end) return 'cut';
  if (into.hasSeen) return 'twice';
  into.hasSeen = true;
  into.seenCounter = readU48(bytes, at + 1);
  into.heldUs = readU32(bytes, at + 7);
  return at + SEEN_BYTES;
}

function readAck(bytes: Uint8Array, at: number, end: number, into: Body): number | DropReason {
  if (at + ACK_BYTES > end) return 'cut';
  const lane = bytes[at + 1] as number;
  const ack = into.acks[lane];
  if (ack === undefined) return 'range';
  if (ack.present) return 'twice';
  ack.present = true;
  ack.offset = readU64(bytes, at + 2);
  ack.creditBytes = readU32(bytes, at + 10);
  ack.creditMessages = readU32(bytes, at + 14);
  ack.rangeCount = bytes[at + 18] as number;
  if (ack.rangeCount > RANGES_MAX) return 'range';
  const next = at + ACK_BYTES + ack.rangeCount * ACK_RANGE_BYTES;
  if (next > end) return 'cut';
  let offset = ack.offset;
  for (let i = 0; i < ack.rangeCount; i++) {
    const gap = readU32(bytes, at + ACK_BYTES + i * ACK_RANGE_BYTES);
    const length = readU32(bytes, at + ACK_BYTES + i * ACK_RANGE_BYTES + 4);
    if (gap === 0 || length === 0) return 'range';
    ack.ranges[2 * i] = offset + gap;
    offset += gap + length;
    ack.ranges[2 * i + 1] = offset;
  }
  return offset + ack.creditBytes > OFFSET_MAX ? 'range' : next;
}

function readData(bytes: Uint8Array, at: number, end: number, into: Body): number | DropReason {
  if (at + DATA_BYTES > end) return 'cut';
  const data = into.data[bytes[at + 1] as number];
  if (data === undefined) return 'range';
  if (data.present) return 'twice';
  data.present = true;
  data.offset = readU64(bytes, at + 2);
  data.start = at + DATA_BYTES;
  data.end = data.start + readU16(bytes, at + 10);
  if (data.end > end) return 'cut';
  if (data.end === data.start || data.offset > OFFSET_MAX - 0xffff) return 'range';
  return data.end;
}

function readProbe(
  section: number,
  bytes: Uint8Array,
  at: number,
  end: number,
  into: Body,
): number | DropReason {
  if (at + PROBE_BYTES > end) return 'cut';
  const size = readU16(bytes, at + 1);
  if (size === 0) return 'range';
  if ((section === SECTION.probe ? into.probe : into.probed) !== 0) return 'twice';
  if (section === SECTION.probe) into.probe = size;
  else into.probed = size;
  return at + PROBE_BYTES;
}

// Writers put a section at `at` and return where the next one goes. The caller has checked room.

export function writeSeen(into: Uint8Array, at: number, counter: number, heldUs: number): number {
  into[at] = SECTION.seen;
  writeU48(into, at + 1, counter);
  writeU32(into, at + 7, Math.min(0xffff_ffff, Math.max(0, Math.round(heldUs))));
  return at + SEEN_BYTES;
}

export function writeAck(into: Uint8Array, at: number, lane: Lane, ack: Ack): number {
  into[at] = SECTION.ack;
  into[at + 1] = lane;
  writeU64(into, at + 2, ack.offset);
  writeU32(into, at + 10, ack.creditBytes);
  writeU32(into, at + 14, ack.creditMessages);
  into[at + 18] = ack.rangeCount;
  let offset = ack.offset;
  let next = at + ACK_BYTES;
  for (let i = 0; i < ack.rangeCount; i++) {
    const start = ack.ranges[2 * i] as number;
    const end = ack.ranges[2 * i + 1] as number;
    writeU32(into, next, start - offset);
    writeU32(into, next + 4, end - start);
    offset = end;
    next += ACK_RANGE_BYTES;
  }
  return next;
}

/** The head of a data section; the `bytes` data bytes themselves follow it. */
export function writeDataHead(
  into: Uint8Array,
  at: number,
  lane: Lane,
  offset: number,
  bytes: number,
): number {
  into[at] = SECTION.data;
  into[at + 1] = lane;
  writeU64(into, at + 2, offset);
  writeU16(into, at + 10, bytes);
  return at + DATA_BYTES;
}

export function writeAsk(into: Uint8Array, at: number): number {
  into[at] = SECTION.ask;
  return at + ASK_BYTES;
}

export function writeProbe(into: Uint8Array, at: number, frameBytes: number): number {
  into[at] = SECTION.probe;
  writeU16(into, at + 1, frameBytes);
  return at + PROBE_BYTES;
}

export function writeProbed(into: Uint8Array, at: number, frameBytes: number): number {
  into[at] = SECTION.probed;
  writeU16(into, at + 1, frameBytes);
  return at + PROBE_BYTES;
}

export function writeBye(into: Uint8Array, at: number, why: number): number {
  into[at] = SECTION.bye;
  into[at + 1] = why;
  return at + BYE_BYTES;
}
