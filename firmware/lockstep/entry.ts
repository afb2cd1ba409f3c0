// The replay log's entries, written once: ENTRIES.md has the byte diagram and the reasons. Encoder
// and decoder keep the same small context (last position, last clock), so that a clock step or an
// output marker costs a few bytes; both must see every entry of a log in order.
//
// Bytes come from a file or a peer: decoding never throws, it answers with a reason.
import { ByteReader, ByteWriter } from './varint.ts';

export const ENTRY_FORMAT_VERSION = 2;

export type SerialPortName = 'com1' | 'com2' | 'console';
export type DiskStatus = 'ok' | 'io-error' | 'unsupported';

/** What one entry says. Positions, nanoseconds and counters are 64-bit. */
export type EntryBody =
  | { readonly kind: 'clock-step'; readonly ns: bigint; readonly multiplier: bigint }
  | { readonly kind: 'net-rx'; readonly nic: number; readonly frame: Uint8Array }
  | { readonly kind: 'serial-rx'; readonly port: SerialPortName; readonly bytes: Uint8Array }
  | ({ readonly kind: 'serial-line'; readonly port: SerialPortName } & ModemLines)
  | { readonly kind: 'serial-break'; readonly port: SerialPortName }
  | DiskCompletion
  | { readonly kind: 'entropy'; readonly seed: Uint8Array }
  | { readonly kind: 'control'; readonly action: ControlAction }
  /** Output number `sequence` (counted from 1) was made here; `hash` is of its bytes. */
  | { readonly kind: 'output'; readonly sequence: bigint; readonly hash: number }
  /** Digests of registers and devices, and of memory, at this position. */
  | { readonly kind: 'digest'; readonly state: bigint; readonly memory: bigint }
  /** A checkpoint was taken here; `id` names it. */
  | { readonly kind: 'checkpoint'; readonly id: bigint }
  /**
   * The run since this position, closed where no position is: the next one is where these registers
   * stand, over these pages. Parts without `state` come first, if it is much.
   */
  | { readonly kind: 'slice-close'; readonly state: Uint8Array; readonly pages: Uint8Array }
  /** The log ends here in order: nothing is missing. */
  | { readonly kind: 'end' };

export interface ModemLines {
  readonly cts: boolean;
  readonly dsr: boolean;
  readonly dcd: boolean;
  readonly ri: boolean;
}

export interface DiskCompletion {
  readonly kind: 'disk-completion';
  readonly disk: number;
  readonly id: number;
  readonly status: DiskStatus;
  /** Data of a read: here, or to be taken from the local replica and checked against `hash`. */
  readonly data:
    | { readonly from: 'none' }
    | { readonly from: 'entry'; readonly bytes: Uint8Array }
    | { readonly from: 'replica'; readonly hash: number };
}

export type ControlAction = 'reset' | 'power-button' | 'nmi';

export interface Entry {
  /** Instructions retired when the entry takes effect; never decreases along a log. */
  readonly position: bigint;
  readonly body: EntryBody;
}

export type DecodeReason =
  | 'cut' // bytes end inside the entry, or a varint is malformed
  | 'kind' // a kind this version does not know
  | 'aux' // the kind's small field has no meaning
  | 'range'; // a position, time or counter beyond 64 bits, or a wrong fixed length

export type Decoded =
  | { readonly ok: true; readonly entry: Entry; readonly bytes: number }
  | { readonly ok: false; readonly reason: DecodeReason; readonly at: number };

export const KIND = {
  'clock-step': 1,
  'net-rx': 2,
  'serial-rx': 3,
  'serial-line': 4,
  'serial-break': 5,
  'disk-completion': 6,
  entropy: 7,
  control: 8,
  output: 9,
  digest: 10,
  checkpoint: 11,
  end: 12,
  'slice-close': 13,
} as const satisfies Record<EntryBody['kind'], number>;

export const ENTROPY_SEED_BYTES = 32;
const PORTS: readonly SerialPortName[] = ['com1', 'com2', 'console'];
const STATUSES: readonly DiskStatus[] = ['ok', 'io-error', 'unsupported'];
const DATA_FROM = ['none', 'entry', 'replica'] as const;
const ACTIONS: readonly ControlAction[] = ['reset', 'power-button', 'nmi'];
const U64_END = 1n << 64n;

/** What both sides remember between entries. Starts equal, changes equally. */
class Context {
  position = 0n;
  outputs = 0n;
  private ns = 0n;
  private multiplier = 0n;
  private clockPosition = 0n;

  /** Virtual time at `position` if no clock step came. */
  predictNs(position: bigint): bigint {
    return this.ns + (((position - this.clockPosition) * this.multiplier) >> 32n);
  }

  get lastMultiplier(): bigint {
    return this.multiplier;
  }

  stepClock(position: bigint, ns: bigint, multiplier: bigint): void {
    this.clockPosition = position;
    this.ns = ns;
    this.multiplier = multiplier;
  }
}

export class EntryEncoder {
  private readonly context = new Context();
  private readonly out = new ByteWriter();

  /** The entry's bytes. Throws on what the recorder must never make: positions or time going back. */
  encode({ position, body }: Entry): Uint8Array {
    const { context, out } = this;
    if (position < context.position)
      throw new Error(`entry at ${position} after ${context.position}`);
    out.u8(KIND[body.kind] | (auxOf(body) << 4));
    out.varint(position - context.position);
    context.position = position;
    this.encodeBody(position, body);
    return out.take();
  }

  private encodeBody(position: bigint, body: EntryBody): void {
    const { context, out } = this;
    switch (body.kind) {
      case 'clock-step':
        out.varint(body.ns - context.predictNs(position));
        out.zigzag(body.multiplier - context.lastMultiplier);
        context.stepClock(position, body.ns, body.multiplier);
        return;
      case 'net-rx':
        block(out, body.frame);
        return;
      case 'serial-rx':
        block(out, body.bytes);
        return;
      case 'disk-completion':
        out.varint(BigInt(body.disk));
        out.varint(BigInt(body.id));
        if (body.data.from === 'entry') block(out, body.data.bytes);
        if (body.data.from === 'replica') u32(out, body.data.hash);
        return;
      case 'entropy':
        if (body.seed.length !== ENTROPY_SEED_BYTES) throw new Error('entropy seed: 32 bytes');
        out.raw(body.seed);
        return;
      case 'output':
        out.varint(body.sequence - context.outputs);
        u32(out, body.hash);
        context.outputs = body.sequence;
        return;
      case 'digest':
        u64(out, body.state);
        u64(out, body.memory);
        return;
      case 'checkpoint':
        out.varint(body.id);
        return;
      case 'slice-close':
        block(out, body.state);
        block(out, body.pages);
        return;
      case 'serial-line':
        out.u8(lineBits(body));
        return;
      case 'serial-break':
      case 'control':
      case 'end':
        return;
      default:
        assertNever(body);
    }
  }
}

export class EntryDecoder {
  private readonly context = new Context();

  /** Decodes the entry at `at`. On failure the decoder is left as it was before the call. */
  decode(bytes: Uint8Array, at = 0): Decoded {
    const reader = new ByteReader(bytes, at);
    const head = reader.u8();
    const position = this.context.position + reader.varint();
    if (!reader.ok) return { ok: false, reason: 'cut', at };
    if (position >= U64_END) return { ok: false, reason: 'range', at };
    const body = this.decodeBody(head & 0xf, head >> 4, position, reader);
    if (!reader.ok) return { ok: false, reason: 'cut', at };
    if (typeof body === 'string') return { ok: false, reason: body, at };
    this.context.position = position;
    if (body.kind === 'clock-step') this.context.stepClock(position, body.ns, body.multiplier);
    if (body.kind === 'output') this.context.outputs = body.sequence;
    return { ok: true, entry: { position, body }, bytes: reader.position - at };
  }

  private decodeBody(
    kind: number,
    aux: number,
    position: bigint,
    reader: ByteReader,
  ): EntryBody | DecodeReason {
    switch (kind) {
      case KIND['clock-step']:
        return aux === 0 ? this.decodeClockStep(position, reader) : 'aux';
      case KIND['net-rx']:
        return { kind: 'net-rx', nic: aux, frame: reader.raw(reader.count()) };
      case KIND['serial-rx']: {
        const port = PORTS[aux];
        const bytes = reader.raw(reader.count());
        return port === undefined ? 'aux' : { kind: 'serial-rx', port, bytes };
      }
      case KIND['serial-line']:
        return decodeSerialLine(aux, reader);
      case KIND['serial-break']: {
        const port = PORTS[aux];
        return port === undefined ? 'aux' : { kind: 'serial-break', port };
      }
      case KIND['disk-completion']:
        return decodeDisk(aux, reader);
      case KIND.entropy:
        return aux === 0 ? { kind: 'entropy', seed: reader.raw(ENTROPY_SEED_BYTES) } : 'aux';
      case KIND.control: {
        const action = ACTIONS[aux];
        return action === undefined ? 'aux' : { kind: 'control', action };
      }
      default:
        return this.decodeMarker(kind, aux, reader);
    }
  }

  private decodeMarker(kind: number, aux: number, reader: ByteReader): EntryBody | DecodeReason {
    if (aux !== 0) return 'aux';
    switch (kind) {
      case KIND.output: {
        const sequence = this.context.outputs + reader.varint();
        const hash = readU32(reader);
        return sequence < U64_END ? { kind: 'output', sequence, hash } : 'range';
      }
      case KIND.digest:
        return { kind: 'digest', state: readU64(reader), memory: readU64(reader) };
      case KIND.checkpoint:
        return { kind: 'checkpoint', id: reader.varint() };
      case KIND.end:
        return { kind: 'end' };
      case KIND['slice-close']: {
        const state = reader.raw(reader.count());
        return { kind: 'slice-close', state, pages: reader.raw(reader.count()) };
      }
      default:
        return 'kind';
    }
  }

  private decodeClockStep(position: bigint, reader: ByteReader): EntryBody | DecodeReason {
    const ns = this.context.predictNs(position) + reader.varint();
    const multiplier = this.context.lastMultiplier + reader.zigzag();
    const inRange = ns < U64_END && multiplier > 0n && multiplier < U64_END;
    return inRange ? { kind: 'clock-step', ns, multiplier } : 'range';
  }
}

/** The four bits beside the kind. */
function auxOf(body: EntryBody): number {
  switch (body.kind) {
    case 'net-rx':
      if (body.nic > 15) throw new Error(`nic ${body.nic}: at most 16 network cards`);
      return body.nic;
    case 'serial-rx':
    case 'serial-break':
    case 'serial-line':
      return PORTS.indexOf(body.port);
    case 'disk-completion':
      return STATUSES.indexOf(body.status) | (DATA_FROM.indexOf(body.data.from) << 2);
    case 'control':
      return ACTIONS.indexOf(body.action);
    default:
      return 0;
  }
}

const LINES = ['cts', 'dsr', 'dcd', 'ri'] as const;

function lineBits(lines: ModemLines): number {
  return LINES.reduce((bits, name, at) => bits | (Number(lines[name]) << at), 0);
}

function decodeSerialLine(aux: number, reader: ByteReader): EntryBody | DecodeReason {
  const port = PORTS[aux];
  const bits = reader.u8();
  if (port === undefined) return 'aux';
  if (bits > 0xf) return 'range';
  const [cts, dsr, dcd, ri] = LINES.map((_, at) => (bits & (1 << at)) !== 0) as [
    boolean,
    boolean,
    boolean,
    boolean,
  ];
  return { kind: 'serial-line', port, cts, dsr, dcd, ri };
}

function decodeDisk(aux: number, reader: ByteReader): EntryBody | DecodeReason {
  const status = STATUSES[aux & 3];
  const from = DATA_FROM[aux >> 2];
  const disk = reader.varint();
  const id = reader.varint();
  if (status === undefined || from === undefined) return 'aux';
  if (disk > 0xffn || id > BigInt(Number.MAX_SAFE_INTEGER)) return 'range';
  const data =
    from === 'entry'
      ? ({ from, bytes: reader.raw(reader.count()) } as const)
      : from === 'replica'
        ? ({ from, hash: readU32(reader) } as const)
        : ({ from } as const);
  return { kind: 'disk-completion', disk: Number(disk), id: Number(id), status, data };
}

function block(out: ByteWriter, bytes: Uint8Array): void {
  out.varint(BigInt(bytes.length));
  out.raw(bytes);
}

function u32(out: ByteWriter, value: number): void {
  for (let shift = 0; shift < 32; shift += 8) out.u8((value >>> shift) & 0xff);
}

function u64(out: ByteWriter, value: bigint): void {
  u32(out, Number(value & 0xffffffffn));
  u32(out, Number((value >> 32n) & 0xffffffffn));
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

function assertNever(value: never): never {
  throw new Error(`no such entry: ${JSON.stringify(value)}`);
}
