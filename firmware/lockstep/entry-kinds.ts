// The kinds of entries, one codec each: its number, what the four bits beside it say, its body. The
// table is complete by type: a new kind in entry.ts does not compile before it stands here.
import type { DiskStatus, SerialPortName } from '../devices/contracts.ts';
import type { DecodeReason, DiskCompletion, EntryBody } from './entry.ts';
import type { ByteReader, ByteWriter } from './varint.ts';

/** What both sides remember between entries. Starts equal, changes equally. */
export class EntryContext {
  /** Of the entry in hand. */
  position = 0n;
  outputs = 0n;
  multiplier = 0n;
  private ns = 0n;
  private clockPosition = 0n;

  /** Virtual time here if no clock step came. */
  predictNs(): bigint {
    return this.ns + (((this.position - this.clockPosition) * this.multiplier) >> 32n);
  }

  stepClock(ns: bigint, multiplier: bigint): void {
    this.clockPosition = this.position;
    this.ns = ns;
    this.multiplier = multiplier;
  }
}

interface Codec<Body> {
  /** Of the kind; at most 15. 11 is free: nobody ever wrote one. */
  readonly number: number;
  /** The four bits beside it. */
  aux(body: Body): number;
  write(out: ByteWriter, body: Body, context: EntryContext): void;
  /** Must not change the context. What it reads beyond the end does not count: the reader tells. */
  read(aux: number, reader: ByteReader, context: EntryContext): Body | DecodeReason;
  /** What the entries after it are relative to. */
  note?(context: EntryContext, body: Body): void;
}

type Codecs = { readonly [Kind in EntryBody['kind']]: Codec<Extract<EntryBody, { kind: Kind }>> };

const PORTS: readonly SerialPortName[] = ['com1', 'com2', 'console'];
const STATUSES: readonly DiskStatus[] = ['ok', 'io-error', 'unsupported'];
const DATA_FROM = ['none', 'entry', 'replica'] as const;
const ACTIONS = ['reset', 'power-button', 'nmi'] as const;
const U64_END = 1n << 64n;

const nothing = (): void => {};
const noAux = (): number => 0;
const portAux = ({ port }: { port: SerialPortName }): number => PORTS.indexOf(port);

const CODECS: Codecs = {
  'clock-step': {
    number: 1,
    aux: noAux,
    write(out, { ns, multiplier }, context) {
      out.varint(ns - context.predictNs());
      out.zigzag(multiplier - context.multiplier);
    },
    read(aux, reader, context) {
      if (aux !== 0) return 'aux';
      const ns = context.predictNs() + reader.varint();
      const multiplier = context.multiplier + reader.zigzag();
      const inRange = ns < U64_END && multiplier > 0n && multiplier < U64_END;
      return inRange ? { kind: 'clock-step', ns, multiplier } : 'range';
    },
    note: (context, { ns, multiplier }) => context.stepClock(ns, multiplier),
  },
  'net-rx': {
    number: 2,
    aux({ nic }) {
      if (nic > 15) throw new Error(`nic ${nic}: at most 16 network cards`);
      return nic;
    },
    write: (out, { frame }) => writeBlock(out, frame),
    read: (aux, reader) => ({ kind: 'net-rx', nic: aux, frame: readBlock(reader) }),
  },
  'serial-rx': {
    number: 3,
    aux: portAux,
    write: (out, { bytes }) => writeBlock(out, bytes),
    read(aux, reader) {
      const port = PORTS[aux];
      const bytes = readBlock(reader);
      return port === undefined ? 'aux' : { kind: 'serial-rx', port, bytes };
    },
  },
  'serial-line': {
    number: 4,
    aux: ({ port, isHalfDuplex }) => PORTS.indexOf(port) | (isHalfDuplex ? HALF_DUPLEX : 0),
    write: (out, lines) => out.u8(LINES.reduce((bits, line, at) => bits | (+lines[line] << at), 0)),
    read(aux, reader) {
      const port = PORTS[aux & ~HALF_DUPLEX];
      const bits = reader.u8();
      if (port === undefined) return 'aux';
      if (bits > 0xf) return 'range';
      const [cts, dsr, dcd, ri] = LINES.map((_, at) => (bits & (1 << at)) !== 0) as Bits4;
      const duplex = (aux & HALF_DUPLEX) === 0 ? {} : ({ isHalfDuplex: true } as const);
      return { kind: 'serial-line', port, cts, dsr, dcd, ri, ...duplex };
    },
  },
  'serial-break': {
    number: 5,
    aux: portAux,
    write: nothing,
    read(aux) {
      const port = PORTS[aux];
      return port === undefined ? 'aux' : { kind: 'serial-break', port };
    },
  },
  'disk-completion': {
    number: 6,
    aux: ({ status, data }) => STATUSES.indexOf(status) | (DATA_FROM.indexOf(data.from) << 2),
    write(out, { disk, id, data }) {
      out.varint(BigInt(disk));
      out.varint(BigInt(id));
      if (data.from === 'entry') writeBlock(out, data.bytes);
      if (data.from === 'replica') writeU32(out, data.hash);
    },
    read: readDisk,
  },
  control: {
    number: 8,
    aux: ({ action }) => ACTIONS.indexOf(action),
    write: nothing,
    read(aux) {
      const action = ACTIONS[aux];
      return action === undefined ? 'aux' : { kind: 'control', action };
    },
  },
  'wall-clock': {
    number: 7,
    aux: noAux,
    write: (out, { wallNs }) => out.varint(wallNs),
    read: (aux, reader) => (aux === 0 ? { kind: 'wall-clock', wallNs: reader.varint() } : 'aux'),
  },
  output: {
    number: 9,
    aux: noAux,
    write(out, { sequence, hash }, context) {
      out.varint(sequence - context.outputs);
      writeU32(out, hash);
    },
    read(aux, reader, context) {
      if (aux !== 0) return 'aux';
      const sequence = context.outputs + reader.varint();
      const hash = readU32(reader);
      return sequence < U64_END ? { kind: 'output', sequence, hash } : 'range';
    },
    note(context, { sequence }) {
      context.outputs = sequence;
    },
  },
  digest: {
    number: 10,
    aux: noAux,
    write(out, { state, memory }) {
      writeU64(out, state);
      writeU64(out, memory);
    },
    read: (aux, reader) =>
      aux === 0 ? { kind: 'digest', state: readU64(reader), memory: readU64(reader) } : 'aux',
  },
  end: {
    number: 12,
    aux: noAux,
    write: nothing,
    read: (aux) => (aux === 0 ? { kind: 'end' } : 'aux'),
  },
  'slice-close': {
    number: 13,
    aux: noAux,
    write(out, { state, pages }) {
      writeBlock(out, state);
      writeBlock(out, pages);
    },
    read: (aux, reader) =>
      aux === 0
        ? { kind: 'slice-close', state: readBlock(reader), pages: readBlock(reader) }
        : 'aux',
  },
};

/** By number. */
const BY_NUMBER: (Codec<EntryBody> | undefined)[] = [];
for (const codec of Object.values(CODECS)) BY_NUMBER[codec.number] = codec as Codec<EntryBody>;

/** How this body is written. */
export function codecOf(body: EntryBody): Codec<EntryBody> {
  return CODECS[body.kind] as Codec<EntryBody>;
}

/** The body of a kind known by its number. */
export function bodyOf(
  number: number,
  aux: number,
  reader: ByteReader,
  context: EntryContext,
): EntryBody | DecodeReason {
  return BY_NUMBER[number]?.read(aux, reader, context) ?? 'kind';
}

/** Beside the port. */
const HALF_DUPLEX = 8;
const LINES = ['cts', 'dsr', 'dcd', 'ri'] as const;
type Bits4 = [boolean, boolean, boolean, boolean];

function readDisk(aux: number, reader: ByteReader): DiskCompletion | DecodeReason {
  const status = STATUSES[aux & 3];
  const from = DATA_FROM[aux >> 2];
  const disk = reader.varint();
  const id = reader.varint();
  if (status === undefined || from === undefined) return 'aux';
  if (disk > 0xffn || id > BigInt(Number.MAX_SAFE_INTEGER)) return 'range';
  const data =
    from === 'entry'
      ? ({ from, bytes: readBlock(reader) } as const)
      : from === 'replica'
        ? ({ from, hash: readU32(reader) } as const)
        : ({ from } as const);
  return { kind: 'disk-completion', disk: Number(disk), id: Number(id), status, data };
}

function writeBlock(out: ByteWriter, bytes: Uint8Array): void {
  out.varint(BigInt(bytes.length));
  out.raw(bytes);
}

const readBlock = (reader: ByteReader): Uint8Array => reader.raw(reader.count());

function writeU32(out: ByteWriter, value: number): void {
  for (let shift = 0; shift < 32; shift += 8) out.u8((value >>> shift) & 0xff);
}

function writeU64(out: ByteWriter, value: bigint): void {
  writeU32(out, Number(value & 0xffffffffn));
  writeU32(out, Number((value >> 32n) & 0xffffffffn));
}

function readU32(reader: ByteReader): number {
  let value = 0;
  for (let shift = 0; shift < 32; shift += 8) value |= reader.u8() << shift;
  return value >>> 0;
}

function readU64(reader: ByteReader): bigint {
  const low = BigInt(readU32(reader));
  return low | (BigInt(readU32(reader)) << 32n);
}
