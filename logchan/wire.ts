// The outside of a frame: the header every frame starts with, and the call by which two boards meet.
// FORMAT.md is the specification; offsets are named once, here. Readers check bounds and meaning,
// return a reason instead of throwing, and reuse the object they fill: they run once a frame.
import { assert } from './errors.ts';
import {
  CLUSTER_TAG_BYTES,
  COUNTER_MAX,
  FORMAT_MAGIC,
  FORMAT_VERSION,
  FRAME_BYTES_BASE,
  HELLO_MAC_BYTES,
  NONCE_BYTES,
  TAG_BYTES,
} from './limits.ts';
import type { DropReason } from './reasons.ts';

export const KIND = { hello: 1, sealed: 2 } as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

const AT = { magic: 0, version: 2, kind: 3, session: 4, counter: 8, bodyBytes: 14 } as const;
export const HEADER_BYTES = 16;
/** What sealing adds to a body. */
export const SEALED_OVERHEAD_BYTES = HEADER_BYTES + TAG_BYTES;

export interface Header {
  kind: Kind;
  session: number;
  counter: number;
  /** Where the body lies in the bytes that were read; what follows it is Ethernet padding. */
  bodyStart: number;
  bodyEnd: number;
}

export function emptyHeader(): Header {
  return { kind: KIND.hello, session: 0, counter: 0, bodyStart: 0, bodyEnd: 0 };
}

/** Reads the frame in bytes[start, end) into `into`; the reason when it is no frame of ours. */
export function readHeader(
  bytes: Uint8Array,
  start: number,
  end: number,
  into: Header,
): DropReason | undefined {
  if (end - start < HEADER_BYTES) return 'short';
  if (readU16(bytes, start + AT.magic) !== FORMAT_MAGIC) return 'magic';
  if (bytes[start + AT.version] !== FORMAT_VERSION) return 'version';
  const kind = bytes[start + AT.kind];
  if (kind !== KIND.hello && kind !== KIND.sealed) return 'kind';
  const bodyEnd = start + HEADER_BYTES + readU16(bytes, start + AT.bodyBytes);
  if (bodyEnd > end) return 'short';
  into.kind = kind;
  into.session = readU32(bytes, start + AT.session);
  into.counter = readU48(bytes, start + AT.counter);
  into.bodyStart = start + HEADER_BYTES;
  into.bodyEnd = bodyEnd;
  return undefined;
}

export function writeHeader(
  into: Uint8Array,
  kind: Kind,
  session: number,
  counter: number,
  bodyBytes: number,
): void {
  assert(counter <= COUNTER_MAX, 'frame counter exhausted: the session is too old');
  writeU16(into, AT.magic, FORMAT_MAGIC);
  into[AT.version] = FORMAT_VERSION;
  into[AT.kind] = kind;
  writeU32(into, AT.session, session);
  writeU48(into, AT.counter, counter);
  writeU16(into, AT.bodyBytes, bodyBytes);
}

// The call. Clear but authenticated by the pairing key; it carries nothing secret.
const HELLO_AT = { cluster: 0, nonce: 8, echo: 40, flags: 72, zero: 73, frameBytes: 74, mac: 76 };
export const HELLO_BODY_BYTES = HELLO_AT.mac + HELLO_MAC_BYTES;
export const HELLO_FRAME_BYTES = HEADER_BYTES + HELLO_BODY_BYTES;
/** What the MAC covers, counted from the start of the frame. */
export const HELLO_SIGNED_BYTES = HEADER_BYTES + HELLO_AT.mac;
const FLAG_ESTABLISHED = 1;

export interface Hello {
  cluster: Uint8Array;
  nonce: Uint8Array;
  /** The peer's nonce this answers; all zero in a call. */
  echo: Uint8Array;
  /** The sender has made the session keys: an answer is not needed. */
  established: boolean;
  /** The largest frame the sender's port can take. */
  frameBytesMax: number;
}

/** A hello of our cluster whose MAC `verify` accepts; cluster first, for another has other keys. */
export function readHello(
  bytes: Uint8Array,
  header: Header,
  cluster: Uint8Array,
  verify: (signed: Uint8Array, mac: Uint8Array) => boolean,
): Hello | DropReason {
  const { bodyStart, bodyEnd } = header;
  if (bodyEnd - bodyStart !== HELLO_BODY_BYTES) return 'hello';
  // Copies, also of a Buffer, whose slice() would be a view of bytes that are not ours.
  const part = (from: number, count: number) =>
    new Uint8Array(bytes.subarray(bodyStart + from, bodyStart + from + count));
  const theirs = part(HELLO_AT.cluster, CLUSTER_TAG_BYTES);
  if (!equalBytes(theirs, cluster)) return 'cluster';
  const signed = bytes.subarray(bodyStart - HEADER_BYTES, bodyStart + HELLO_AT.mac);
  if (!verify(signed, part(HELLO_AT.mac, HELLO_MAC_BYTES))) return 'key';
  const flags = bytes[bodyStart + HELLO_AT.flags] as number;
  const frameBytesMax = readU16(bytes, bodyStart + HELLO_AT.frameBytes);
  const sound =
    header.session === 0 &&
    header.counter === 0 &&
    (flags & ~FLAG_ESTABLISHED) === 0 &&
    bytes[bodyStart + HELLO_AT.zero] === 0 &&
    frameBytesMax >= FRAME_BYTES_BASE;
  if (!sound) return 'hello';
  return {
    cluster: theirs,
    nonce: part(HELLO_AT.nonce, NONCE_BYTES),
    echo: part(HELLO_AT.echo, NONCE_BYTES),
    established: flags === FLAG_ESTABLISHED,
    frameBytesMax,
  };
}

/** Writes a whole hello frame at the start of `into`; returns its length. */
export function writeHello(
  into: Uint8Array,
  hello: Hello,
  sign: (signed: Uint8Array) => Uint8Array,
): number {
  writeHeader(into, KIND.hello, 0, 0, HELLO_BODY_BYTES);
  const at = (offset: number) => HEADER_BYTES + offset;
  into.set(hello.cluster, at(HELLO_AT.cluster));
  into.set(hello.nonce, at(HELLO_AT.nonce));
  into.set(hello.echo, at(HELLO_AT.echo));
  into[at(HELLO_AT.flags)] = hello.established ? FLAG_ESTABLISHED : 0;
  into[at(HELLO_AT.zero)] = 0;
  writeU16(into, at(HELLO_AT.frameBytes), hello.frameBytesMax);
  into.set(sign(into.subarray(0, HELLO_SIGNED_BYTES)), at(HELLO_AT.mac));
  return HELLO_FRAME_BYTES;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

// Big-endian, as networks and dissectors expect. By hand, because a DataView would have to be made
// for every buffer a port hands us. Callers have checked the bounds.

export function readU16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

export function readU32(bytes: Uint8Array, at: number): number {
  return readU16(bytes, at) * 0x10000 + readU16(bytes, at + 2);
}

export function readU48(bytes: Uint8Array, at: number): number {
  return readU16(bytes, at) * 0x1_0000_0000 + readU32(bytes, at + 2);
}

export function writeU16(into: Uint8Array, at: number, value: number): void {
  into[at] = value >>> 8;
  into[at + 1] = value;
}

export function writeU32(into: Uint8Array, at: number, value: number): void {
  writeU16(into, at, value >>> 16);
  writeU16(into, at + 2, value & 0xffff);
}

export function writeU48(into: Uint8Array, at: number, value: number): void {
  writeU16(into, at, Math.floor(value / 0x1_0000_0000));
  writeU32(into, at + 2, value % 0x1_0000_0000);
}

/** An offset of a stream: 64 bits on the wire, of which the upper 11 are zero. */
export function readU64(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at) * 0x1_0000_0000 + readU32(bytes, at + 4);
}

export function writeU64(into: Uint8Array, at: number, value: number): void {
  writeU32(into, at, Math.floor(value / 0x1_0000_0000));
  writeU32(into, at + 4, value % 0x1_0000_0000);
}
