// The frame around a statement or a pairing message: who wrote it, that it is authentic, that it is
// whole. One reader a path: it also drops what that path has delivered before. FORMAT.md.
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Statement } from './arbiter-types.ts';
import { type Extras, encodeStatement, readStatement } from './statement-wire.ts';

export type Side = 'a' | 'b';
export const PAIRING_KEY_BYTES = 32;
export const FRAME_BYTES_MAX = 128;
const KIND = { statement: 1, pairing: 2 } as const;
const SIDE_BYTE = { a: 0x61, b: 0x62, nobody: 0x3f } as const;
const HEAD_BYTES = 2;
const TAG_BYTES = 8;
const CRC_BYTES = 4;
const OVERHEAD_BYTES = HEAD_BYTES + TAG_BYTES + CRC_BYTES;

export interface PathKeys {
  readonly side: Side;
  readonly own: Buffer;
  readonly peer: Buffer;
}

/** The two keys of the heartbeat, from the pairing key. */
export function pathKeys(pairingKey: Uint8Array, side: Side): PathKeys {
  if (pairingKey.length !== PAIRING_KEY_BYTES) throw new Error('a pairing key has 32 bytes');
  const derive = (of: Side) =>
    Buffer.from(hkdfSync('sha256', pairingKey, '', `twinstep heartbeat ${of}`, 32));
  return { side, own: derive(side), peer: derive(side === 'a' ? 'b' : 'a') };
}

export function sealStatement(keys: PathKeys, statement: Statement, extras: Extras): Buffer {
  const body = encodeStatement(statement, extras);
  return seal(KIND.statement, SIDE_BYTE[keys.side], body, keys.own);
}

export function sealPairing(body: Uint8Array): Buffer {
  return seal(KIND.pairing, SIDE_BYTE.nobody, body, null);
}

function seal(kind: number, side: number, body: Uint8Array, key: Buffer | null): Buffer {
  const frame = Buffer.alloc(OVERHEAD_BYTES + body.length);
  frame[0] = kind;
  frame[1] = side;
  frame.set(body, HEAD_BYTES);
  const end = HEAD_BYTES + body.length;
  if (key !== null) frame.set(tagOf(frame.subarray(0, end), key), end);
  frame.writeUInt32BE(crc32(frame.subarray(0, end + TAG_BYTES)), end + TAG_BYTES);
  return frame;
}

function tagOf(bytes: Uint8Array, key: Buffer): Buffer {
  return createHmac('sha256', key).update(bytes).digest().subarray(0, TAG_BYTES);
}

export type RejectReason =
  | 'short'
  | 'long'
  | 'crc'
  | 'kind'
  | 'reflected'
  | 'tag'
  | 'version'
  | 'body'
  | 'replay';

export type FrameRead =
  | {
      readonly ok: true;
      readonly kind: 'statement';
      readonly statement: Statement;
      readonly extras: Extras;
    }
  | { readonly ok: true; readonly kind: 'pairing'; readonly body: Uint8Array }
  | { readonly ok: false; readonly reason: RejectReason };

/** The newest that a path has delivered: of the board itself, and the start whose last word it was. */
export interface Delivered {
  readonly boot: number;
  readonly seq: number;
  readonly wordBoot: number;
}

export const NOTHING_DELIVERED: Delivered = { boot: 0, seq: -1, wordBoot: 0 };

/**
 * The same with this statement; null: it is a replay. The last word comes once a start. It may be
 * false, so it uses up no number of the living.
 */
export function afterDelivery(before: Delivered, statement: Statement): Delivered | null {
  const { boot, seq, role } = statement;
  if (boot < before.boot) return null;
  if (role === 'dead') return boot > before.wordBoot ? { ...before, wordBoot: boot } : null;
  if (boot === before.boot && seq <= before.seq) return null;
  return { ...before, boot, seq };
}

/**
 * The newest frame whose tag was right, on whichever path. A statement goes on every path in the same bytes, and
 * what is equal to an authentic frame is one.
 */
export class Authentic {
  private frame = new Uint8Array(0);

  has(frame: Uint8Array): boolean {
    return Buffer.compare(this.frame, frame) === 0;
  }

  add(frame: Uint8Array): void {
    // A copy: what it came in is used again.
    this.frame = new Uint8Array(frame);
  }
}

/** Reads the frames of one path. `keys` null: not paired yet, only pairing frames are read. */
export class FrameReader {
  readonly rejected: Record<RejectReason, number> = {
    short: 0,
    long: 0,
    crc: 0,
    kind: 0,
    reflected: 0,
    tag: 0,
    version: 0,
    body: 0,
    replay: 0,
  };
  accepted = 0;
  private delivered = NOTHING_DELIVERED;

  private readonly keys: PathKeys | null;
  private readonly authentic: Authentic;

  /** `authentic`: shared by the readers of the paths of one board, which have one peer. */
  constructor(keys: PathKeys | null, authentic = new Authentic()) {
    this.keys = keys;
    this.authentic = authentic;
  }

  read(frame: Uint8Array): FrameRead {
    const result = this.judge(frame);
    if (result.ok) this.accepted += 1;
    else this.rejected[result.reason] += 1;
    return result;
  }

  private judge(frame: Uint8Array): FrameRead {
    if (frame.length < OVERHEAD_BYTES) return no('short');
    if (frame.length > FRAME_BYTES_MAX) return no('long');
    const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    const crcAt = frame.length - CRC_BYTES;
    if (view.getUint32(crcAt) !== crc32(frame.subarray(0, crcAt))) return no('crc');
    const tagAt = crcAt - TAG_BYTES;
    const body = frame.subarray(HEAD_BYTES, tagAt);
    if (frame[0] === KIND.pairing) return { ok: true, kind: 'pairing', body: new Uint8Array(body) };
    if (frame[0] !== KIND.statement || this.keys === null) return no('kind');
    if (frame[1] === SIDE_BYTE[this.keys.side]) return no('reflected');
    if (!this.authentic.has(frame)) {
      const tag = tagOf(frame.subarray(0, tagAt), this.keys.peer);
      if (!timingSafeEqual(tag, frame.subarray(tagAt, crcAt))) return no('tag');
      this.authentic.add(frame);
    }
    const read = readStatement(body);
    if (!read.ok) return no(read.reason);
    const delivered = afterDelivery(this.delivered, read.statement);
    if (delivered === null) return no('replay');
    this.delivered = delivered;
    return { ok: true, kind: 'statement', statement: read.statement, extras: read.extras };
  }
}

function no(reason: RejectReason): FrameRead {
  return { ok: false, reason };
}
