// A Sparkplug B 3.0 payload and back (its chapter 6, and sparkplug_b.proto): a timestamp, a sequence
// number and metrics of scalar types. Templates, data sets and properties we neither send nor need.
//
// Only types that every decoder reads alike: the text of the specification has UInt32 in `int_value`, Tahu
// and Ignition read it from `long_value`, both are in the field (tahu 131, 397; sparkplug 102, 469). So
// counts are Int32 and Int64.
import { FieldWriter, readFields, WIRE } from './protobuf.ts';

/** Data types by number, as the specification's table. */
export const TYPE = {
  int32: 3,
  int64: 4,
  double: 10,
  boolean: 11,
  string: 12,
  dateTime: 13,
} as const;
export type TypeName = keyof typeof TYPE;

export type MetricValue = number | bigint | boolean | string | null;

export interface Metric {
  readonly name: string;
  readonly type: TypeName;
  readonly value: MetricValue;
  /** Milliseconds since 1970, UTC. */
  readonly timestampMs: number;
  /** It was so then; it says nothing of now. */
  readonly isHistorical?: boolean;
}

export interface Payload {
  readonly timestampMs: number;
  /** 0 to 255; a death certificate has none. */
  readonly seq: number | undefined;
  readonly metrics: readonly Metric[];
}

const PAYLOAD = { timestamp: 1, metric: 2, seq: 3 } as const;
const METRIC = {
  name: 1,
  timestamp: 3,
  datatype: 4,
  isHistorical: 5,
  isNull: 7,
  int: 10,
  long: 11,
  double: 13,
  boolean: 14,
  string: 15,
} as const;

export function encodePayload({ timestampMs, seq, metrics }: Payload): Buffer {
  const out = new FieldWriter();
  out.varint(PAYLOAD.timestamp, timestampMs);
  for (const metric of metrics) out.block(PAYLOAD.metric, encodeMetric(metric));
  if (seq !== undefined) out.varint(PAYLOAD.seq, seq);
  return out.take();
}

function encodeMetric({ name, type, value, timestampMs, isHistorical }: Metric): Buffer {
  const out = new FieldWriter();
  out.text(METRIC.name, name);
  out.varint(METRIC.timestamp, timestampMs);
  out.varint(METRIC.datatype, TYPE[type]);
  if (isHistorical) out.varint(METRIC.isHistorical, 1);
  if (value === null) out.varint(METRIC.isNull, 1);
  else encodeValue(out, type, value);
  return out.take();
}

function encodeValue(out: FieldWriter, type: TypeName, value: number | bigint | boolean | string) {
  switch (type) {
    case 'int32':
      // A negative number travels as its two's complement in 32 bits.
      return out.varint(METRIC.int, Number(value) >>> 0);
    case 'int64':
    case 'dateTime':
      return out.varint(METRIC.long, BigInt(value as number | bigint));
    case 'double':
      return out.double(METRIC.double, Number(value));
    case 'boolean':
      return out.varint(METRIC.boolean, value ? 1 : 0);
    case 'string':
      return out.text(METRIC.string, String(value));
  }
}

/** Undefined: not a payload we can read. Metrics without a name (aliases) are left out. */
export function decodePayload(bytes: Uint8Array): Payload | undefined {
  const fields = readFields(bytes);
  if (fields === undefined) return undefined;
  let timestampMs = 0;
  let seq: number | undefined;
  const metrics: Metric[] = [];
  for (const { field, wire, number, bytes: block } of fields) {
    if (field === PAYLOAD.timestamp && wire === WIRE.varint) timestampMs = Number(number);
    else if (field === PAYLOAD.seq && wire === WIRE.varint) seq = Number(number);
    else if (field === PAYLOAD.metric && wire === WIRE.bytes) {
      const metric = decodeMetric(block);
      if (metric === undefined) return undefined;
      if (metric.name !== '') metrics.push(metric);
    }
  }
  return { timestampMs, seq, metrics };
}

const TYPE_NAMES = new Map<number, TypeName>(
  Object.entries(TYPE).map(([name, number]) => [number, name as TypeName]),
);

function decodeMetric(bytes: Uint8Array): Metric | undefined {
  const fields = readFields(bytes);
  if (fields === undefined) return undefined;
  const last = new Map(fields.map((field) => [field.field, field]));
  const textOf = (field: number) => Buffer.from(last.get(field)?.bytes ?? []).toString('utf8');
  const numberOf = (field: number) => last.get(field)?.number ?? 0n;
  const type = TYPE_NAMES.get(Number(numberOf(METRIC.datatype))) ?? 'string';
  const value = (): MetricValue => {
    if (numberOf(METRIC.isNull) !== 0n) return null;
    if (type === 'string') return textOf(METRIC.string);
    if (type === 'boolean') return numberOf(METRIC.boolean) !== 0n;
    if (type === 'int32') return Number(BigInt.asIntN(32, numberOf(METRIC.int)));
    if (type === 'int64') return BigInt.asIntN(64, numberOf(METRIC.long));
    if (type === 'double') return doubleOf(numberOf(METRIC.double));
    return numberOf(METRIC.long);
  };
  return {
    name: textOf(METRIC.name),
    type,
    value: value(),
    timestampMs: Number(numberOf(METRIC.timestamp)),
    ...(numberOf(METRIC.isHistorical) === 0n ? {} : { isHistorical: true }),
  };
}

function doubleOf(bits: bigint): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, bits);
  return view.getFloat64(0);
}
