// Two decoders of Sparkplug payloads that know nothing of our code, and differ from each other: Tahu's for
// JavaScript, which reads the value by the type, and protoc, which tells what lies where; what the
// specification's table says of it is then looked up here.
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { repoPath } from '../harness/index.ts';

export type Value = string | number | bigint | boolean | null;

export interface Decoded {
  readonly timestampMs: number;
  readonly seq: number | undefined;
  readonly metrics: readonly {
    readonly name: string;
    readonly timestampMs: number;
    readonly isHistorical: boolean;
    readonly value: Value | undefined;
  }[];
}

/** A number of protobufjs: an object where it may have 64 bits. */
type Long = number | { toString(): string };

interface TahuPayload {
  readonly timestamp?: Long;
  readonly seq?: Long;
  readonly metrics?: readonly {
    readonly name: string;
    readonly timestamp: Long;
    readonly isHistorical?: boolean;
    readonly value?: Exclude<Value, bigint> | Long;
  }[];
}

interface Tahu {
  get(namespace: string): { decodePayload(bytes: Uint8Array): TahuPayload };
}

// Its types want those of protobufjs, which we have not.
const tahu = (createRequire(import.meta.url)('sparkplug-payload') as Tahu).get('spBv1.0');

export function byTahu(bytes: Uint8Array): Decoded {
  const { timestamp, seq, metrics = [] } = tahu.decodePayload(bytes);
  return {
    timestampMs: Number(timestamp),
    seq: seq === undefined || seq === null ? undefined : Number(seq),
    metrics: metrics.map((metric) => ({
      name: metric.name,
      timestampMs: Number(metric.timestamp),
      isHistorical: metric.isHistorical === true,
      value: typeof metric.value === 'object' ? wide(metric.value) : metric.value,
    })),
  };
}

function wide(value: Long | null): bigint | null {
  return value === null ? null : BigInt(value.toString());
}

type Block = Map<string, (string | Block)[]>;

export function byProtoc(bytes: Uint8Array): Decoded {
  const proto = repoPath('test/scada');
  const args = [`--proto_path=${proto}`, '--decode=Payload', `${proto}/sparkplug.proto`];
  const block = parse(execFileSync('protoc', args, { input: bytes }).toString());
  const seq = text(block, 'seq');
  return {
    timestampMs: Number(text(block, 'timestamp')),
    seq: seq === undefined ? undefined : Number(seq),
    metrics: (block.get('metrics') ?? []).map((metric) => ({
      name: unquoted(text(metric as Block, 'name') ?? ''),
      timestampMs: Number(text(metric as Block, 'timestamp')),
      isHistorical: text(metric as Block, 'is_historical') === 'true',
      value: meant(metric as Block),
    })),
  };
}

/** By the specification's table of types: which field, and what its bits mean. */
function meant(metric: Block): Value | undefined {
  if (text(metric, 'is_null') === 'true') return null;
  const given = (field: string) => text(metric, `${field}_value`);
  const [int, long, bool, double, string] = ['int', 'long', 'boolean', 'double', 'string'].map(
    given,
  );
  switch (text(metric, 'datatype')) {
    case '3':
      return int === undefined ? undefined : Number(BigInt.asIntN(32, BigInt(int)));
    case '4':
      return long === undefined ? undefined : BigInt.asIntN(64, BigInt(long));
    case '7':
      return int === undefined ? undefined : Number(int);
    case '8':
    case '13':
      return long === undefined ? undefined : BigInt(long);
    case '10':
      return double === undefined ? undefined : Number(double);
    case '11':
      return bool === undefined ? undefined : bool === 'true';
    case '12':
      return string === undefined ? undefined : unquoted(string);
    default:
      return undefined;
  }
}

function text(block: Block, field: string): string | undefined {
  return block.get(field)?.[0] as string | undefined;
}

/** protobuf's text format, as protoc prints it. */
function parse(printed: string): Block {
  const root: Block = new Map();
  const open = [root];
  for (const line of printed.split('\n')) {
    const [, name = '', value = ''] = /^\s*(\w+)(?:: (.*)| \{)$/.exec(line) ?? [];
    if (line.trim() === '}') open.pop();
    if (name === '') continue;
    const inner: string | Block = line.endsWith('{') && value === '' ? new Map() : value;
    const block = open.at(-1) as Block;
    block.set(name, [...(block.get(name) ?? []), inner]);
    if (typeof inner !== 'string') open.push(inner);
  }
  return root;
}

/** C escapes, bytes in octal. */
function unquoted(quoted: string): string {
  const bytes = quoted.slice(1, -1).replace(/\\(\d{3}|.)/g, (_, letters: string) => {
    if (letters.length === 3) return String.fromCharCode(Number.parseInt(letters, 8));
    return { n: '\n', r: '\r', t: '\t' }[letters] ?? letters;
  });
  return Buffer.from(bytes, 'latin1').toString('utf8');
}
