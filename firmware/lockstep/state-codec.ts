// Machine state as bytes: one encoding for one value, so that equal states are equal bytes. Used by
// checkpoints and digests. Object fields are written in sorted order; numbers as 64-bit floats,
// bigints as sign and magnitude.
//
// Bytes may come from a file or a peer: decoding answers with undefined, it never throws.

import type { StateObject, StateValue } from '../devices/contracts.ts';
import { ByteReader, ByteWriter } from './varint.ts';

const TAG = {
  null: 0,
  false: 1,
  true: 2,
  number: 3,
  bigint: 4,
  negativeBigint: 5,
  string: 6,
  bytes: 7,
  array: 8,
  object: 9,
} as const;

/** Deeper than any device nests; a limit for bytes from outside. */
const DEPTH_MAX = 32;

export function encodeState(value: StateValue): Uint8Array {
  const out = new ByteWriter();
  write(out, value);
  return out.take();
}

/** The value, or undefined when the bytes are not exactly one encoded value. */
export function decodeState(bytes: Uint8Array): StateValue | undefined {
  const reader = new ByteReader(bytes);
  const value = read(reader, 0);
  return reader.ok && reader.left === 0 ? value : undefined;
}

function write(out: ByteWriter, value: StateValue): void {
  if (value === null) out.u8(TAG.null);
  else if (typeof value === 'boolean') out.u8(value ? TAG.true : TAG.false);
  else if (typeof value === 'number') writeNumber(out, value);
  else if (typeof value === 'bigint') writeBigint(out, value);
  else if (typeof value === 'string') writeSized(out, TAG.string, Buffer.from(value, 'utf8'));
  else if (value instanceof Uint8Array) writeSized(out, TAG.bytes, value);
  else if (Array.isArray(value)) {
    out.u8(TAG.array);
    out.varint(BigInt(value.length));
    for (const element of value) write(out, element);
  } else writeObject(out, value as StateObject);
}

function writeNumber(out: ByteWriter, value: number): void {
  if (Number.isNaN(value)) throw new Error('state holds NaN');
  const bytes = new Uint8Array(8);
  // -0 and 0 are one number to every device; they must be one encoding.
  new DataView(bytes.buffer).setFloat64(0, value + 0, true);
  out.u8(TAG.number);
  out.raw(bytes);
}

function writeBigint(out: ByteWriter, value: bigint): void {
  out.u8(value < 0n ? TAG.negativeBigint : TAG.bigint);
  out.varint(value < 0n ? -value : value);
}

function writeSized(out: ByteWriter, tag: number, bytes: Uint8Array): void {
  out.u8(tag);
  out.varint(BigInt(bytes.length));
  out.raw(bytes);
}

function writeObject(out: ByteWriter, value: StateObject): void {
  const names = Object.keys(value).sort();
  out.u8(TAG.object);
  out.varint(BigInt(names.length));
  for (const name of names) {
    const field = value[name];
    if (field === undefined) throw new Error(`state field ${name} is undefined`);
    const bytes = Buffer.from(name, 'utf8');
    out.varint(BigInt(bytes.length));
    out.raw(bytes);
    write(out, field);
  }
}

function read(reader: ByteReader, depth: number): StateValue {
  if (depth > DEPTH_MAX) reader.ok = false;
  if (!reader.ok) return null;
  switch (reader.u8()) {
    case TAG.null:
      return null;
    case TAG.false:
      return false;
    case TAG.true:
      return true;
    case TAG.number: {
      const bytes = reader.raw(8);
      return reader.ok ? new DataView(bytes.buffer).getFloat64(0, true) : null;
    }
    case TAG.bigint:
      return reader.varint();
    case TAG.negativeBigint:
      return -reader.varint();
    case TAG.string:
      return Buffer.from(reader.raw(reader.count())).toString('utf8');
    case TAG.bytes:
      return reader.raw(reader.count());
    case TAG.array:
      return readMany(reader, () => read(reader, depth + 1));
    case TAG.object:
      return readObject(reader, depth);
    default:
      reader.ok = false;
      return null;
  }
}

function readMany<T>(reader: ByteReader, one: () => T): T[] {
  const count = reader.count();
  const values: T[] = [];
  for (let i = 0; i < count && reader.ok; i++) values.push(one());
  return values;
}

function readObject(reader: ByteReader, depth: number): StateObject {
  let last: string | undefined;
  const fields = readMany(reader, (): [string, StateValue] => {
    const name = Buffer.from(reader.raw(reader.count())).toString('utf8');
    // Sorted and unique, or it is not what encodeState wrote.
    if (last !== undefined && name <= last) reader.ok = false;
    last = name;
    return [name, read(reader, depth + 1)];
  });
  return Object.fromEntries(fields);
}
