// As much of protobuf's wire format as a Sparkplug payload needs: varints, fixed numbers and
// length-delimited fields (protobuf.dev, "Encoding"). Bytes come from a broker: reading never throws,
// it stops and says so.

export const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;
const U64 = (1n << 64n) - 1n;
const VARINT_BYTES_MAX = 10;

export class FieldWriter {
  private bytes = Buffer.alloc(256);
  private at = 0;

  /** Unsigned, or the two's complement of a negative number in 64 bits. */
  varint(field: number, value: bigint | number): void {
    this.key(field, WIRE.varint);
    this.raw(BigInt(value));
  }

  double(field: number, value: number): void {
    this.key(field, WIRE.fixed64);
    this.room(8);
    this.at = this.bytes.writeDoubleLE(value, this.at);
  }

  float(field: number, value: number): void {
    this.key(field, WIRE.fixed32);
    this.room(4);
    this.at = this.bytes.writeFloatLE(value, this.at);
  }

  text(field: number, value: string): void {
    this.block(field, Buffer.from(value, 'utf8'));
  }

  block(field: number, value: Uint8Array): void {
    this.key(field, WIRE.bytes);
    this.raw(BigInt(value.length));
    this.room(value.length);
    this.bytes.set(value, this.at);
    this.at += value.length;
  }

  take(): Buffer {
    return Buffer.from(this.bytes.subarray(0, this.at));
  }

  private key(field: number, wire: number): void {
    this.raw(BigInt(field * 8 + wire));
  }

  private raw(value: bigint): void {
    this.room(VARINT_BYTES_MAX);
    let left = value & U64;
    for (; left > 0x7fn; left >>= 7n) this.bytes[this.at++] = Number(left & 0x7fn) | 0x80;
    this.bytes[this.at++] = Number(left);
  }

  private room(count: number): void {
    if (this.at + count <= this.bytes.length) return;
    const larger = Buffer.alloc(Math.max(this.bytes.length * 2, this.at + count));
    this.bytes.copy(larger, 0, 0, this.at);
    this.bytes = larger;
  }
}

/** One field: `number` for varint, fixed32 and fixed64 as raw bits, `bytes` for the others. */
export interface Field {
  readonly field: number;
  readonly wire: number;
  readonly number: bigint;
  readonly bytes: Uint8Array;
}

const NOTHING: Uint8Array = new Uint8Array(0);

/** The fields of one message in order; undefined when it is not one. */
export function readFields(bytes: Uint8Array): Field[] | undefined {
  const fields: Field[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  const varint = (): bigint | undefined => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) return undefined;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value <= U64 ? value : undefined;
    }
    return undefined;
  };
  while (at < bytes.length) {
    const key = varint();
    if (key === undefined || key < 8n || key > 0xffff_ffffn) return undefined;
    const [field, wire] = [Number(key >> 3n), Number(key & 7n)];
    let number: bigint | undefined = 0n;
    let block: Uint8Array = NOTHING;
    if (wire === WIRE.varint) number = varint();
    else if (wire === WIRE.bytes) {
      const length = varint();
      if (length === undefined || length > BigInt(bytes.length - at)) return undefined;
      block = bytes.subarray(at, at + Number(length));
      at += Number(length);
    } else if (wire === WIRE.fixed64 && at + 8 <= bytes.length) {
      number = view.getBigUint64(at, true);
      at += 8;
    } else if (wire === WIRE.fixed32 && at + 4 <= bytes.length) {
      number = BigInt(view.getUint32(at, true));
      at += 4;
    } else return undefined;
    if (number === undefined) return undefined;
    fields.push({ field, wire, number, bytes: block });
  }
  return fields;
}
