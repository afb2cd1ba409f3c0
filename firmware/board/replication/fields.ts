// Fixed fields of a message, little-endian: a writer that cannot write too much, a reader that never
// throws. After the first field that is not there the reader's `ok` is false and stays so.
import { strict as assert } from 'node:assert';

const U32_MAX = 0xffffffff;

export class FieldWriter {
  readonly bytes: Uint8Array;
  private readonly view: DataView;
  private at = 0;

  constructor(bytes: number) {
    this.bytes = new Uint8Array(bytes);
    this.view = new DataView(this.bytes.buffer);
  }

  u8(value: number): this {
    assert.ok(Number.isInteger(value) && value >= 0 && value <= 0xff, `u8: ${value}`);
    this.view.setUint8(this.at, value);
    this.at += 1;
    return this;
  }

  u16(value: number): this {
    assert.ok(Number.isInteger(value) && value >= 0 && value <= 0xffff, `u16: ${value}`);
    this.view.setUint16(this.at, value, true);
    this.at += 2;
    return this;
  }

  u32(value: number): this {
    assert.ok(Number.isInteger(value) && value >= 0 && value <= U32_MAX, `u32: ${value}`);
    this.view.setUint32(this.at, value, true);
    this.at += 4;
    return this;
  }

  /** A whole number, exact up to 2^53. */
  count(value: number): this {
    assert.ok(Number.isSafeInteger(value) && value >= 0, `count: ${value}`);
    return this.u64(BigInt(value));
  }

  u64(value: bigint): this {
    assert.ok(BigInt.asUintN(64, value) === value, `u64: ${value}`);
    this.view.setBigUint64(this.at, value, true);
    this.at += 8;
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.bytes.set(bytes, this.at);
    this.at += bytes.length;
    return this;
  }

  /** The message; every byte of it must have been written. */
  done(): Uint8Array {
    assert.equal(this.at, this.bytes.length, 'a message of another length than its fields');
    return this.bytes;
  }
}

export class FieldReader {
  ok = true;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private at: number;

  constructor(bytes: Uint8Array, at: number) {
    // A Buffer's slice() is a view, a Uint8Array's a copy: always the latter's kind.
    this.bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.at = at;
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  u8(): number {
    return this.skip(1) ? this.view.getUint8(this.at - 1) : 0;
  }

  u16(): number {
    return this.skip(2) ? this.view.getUint16(this.at - 2, true) : 0;
  }

  u32(): number {
    return this.skip(4) ? this.view.getUint32(this.at - 4, true) : 0;
  }

  u64(): bigint {
    return this.skip(8) ? this.view.getBigUint64(this.at - 8, true) : 0n;
  }

  /** Beyond 2^53 nothing is counted. */
  count(): number {
    const value = Number(this.u64());
    if (Number.isSafeInteger(value)) return value;
    this.ok = false;
    return 0;
  }

  /** A view, not a copy. */
  raw(bytes: number): Uint8Array {
    return this.skip(bytes) ? this.bytes.subarray(this.at - bytes, this.at) : new Uint8Array(0);
  }

  rest(): Uint8Array {
    return this.raw(this.left);
  }

  private skip(bytes: number): boolean {
    if (!this.ok || this.left < bytes) {
      this.ok = false;
      return false;
    }
    this.at += bytes;
    return true;
  }
}

export type MessageProblem = 'empty' | 'type' | 'cut' | 'long' | 'value';
export type Decoded<M> =
  | { readonly ok: true; readonly message: M }
  | { readonly ok: false; readonly reason: MessageProblem };

/** Of a message that was read to its end: what is cut reads as zeros, so the value is not to blame. */
export function checked<M>(message: M | MessageProblem, fields: FieldReader): Decoded<M> {
  if (typeof message === 'string') {
    return { ok: false, reason: fields.ok ? (message as MessageProblem) : 'cut' };
  }
  if (!fields.ok) return { ok: false, reason: 'cut' };
  return fields.left > 0 ? { ok: false, reason: 'long' } : { ok: true, message };
}
