// What two boards say to each other about the guest, over the two lanes of the log channel. MESSAGES.md has the
// bytes and the order of things. Bytes come from a peer: decoding never throws, it gives a reason.
import { FieldReader, FieldWriter } from './fields.ts';

/** Bump when an older peer would read a message differently; `want` carries it. */
export const MESSAGES_VERSION = 2;

/** Half of what the channel takes as one entry. */
export const PIECE_BYTES_MAX = 512 << 10;
export const BLOCK_BYTES = 64 << 10;
export const HASH_BYTES = 16;
export const PAGE_BYTES = 4096;

export type MarkKind = 'grant' | 'leave';
export type SyncPhase = 'disks' | 'memory' | 'stopping' | 'adopting';

export type LogMessage =
  | { readonly type: 'statement'; readonly frame: Uint8Array }
  | {
      readonly type: 'begin';
      /** Counts the streams of this start of the leader. */
      readonly stream: number;
      readonly generation: number;
      readonly boot: number;
      readonly session: number;
      readonly position: bigint;
    }
  | { readonly type: 'log'; readonly bytes: Uint8Array }
  | {
      readonly type: 'mark';
      readonly mark: MarkKind;
      readonly generation: number;
      readonly boot: number;
      readonly session: number;
    }
  | { readonly type: 'released'; readonly sequence: bigint }
  | Ack
  | {
      readonly type: 'want';
      readonly boot: number;
      readonly session: number;
      readonly facts: Uint8Array;
    }
  | { readonly type: 'refuse'; readonly session: number; readonly reasons: readonly string[] }
  | { readonly type: 'synced'; readonly stream: number; readonly session: number }
  | { readonly type: 'drop'; readonly session: number; readonly reason: string }
  /** For people: about.ts. */
  | { readonly type: 'about'; readonly about: Uint8Array }
  /** What the guest said before this follower heard it: heard.ts. */
  | { readonly type: 'heard'; readonly heard: Uint8Array }
  /** What is the time there? By the asker's clock. */
  | { readonly type: 'clock-ask'; readonly askedNs: bigint }
  /** With the question's own time again, and two of the answerer's clock. */
  | {
      readonly type: 'clock';
      readonly askedNs: bigint;
      readonly receivedNs: bigint;
      readonly answeredNs: bigint;
    };

export interface Ack {
  readonly type: 'ack';
  readonly stream: number;
  readonly generation: number;
  readonly session: number;
  /** Log and mark messages since `begin` that are in the follower's memory. */
  readonly through: number;
  /** Those of them that its machine has behind it. */
  readonly applied: number;
  readonly position: bigint;
  readonly virtualNs: bigint;
}

export type BulkMessage =
  | {
      readonly type: 'start';
      readonly sync: number;
      readonly boot: number;
      readonly session: number;
      readonly memoryBytes: number;
    }
  | {
      readonly type: 'hashes';
      readonly sync: number;
      readonly disk: number;
      /** From here on so many blocks of zeros, and behind them those of the hashes. */
      readonly first: number;
      readonly zeros: number;
      readonly hashes: Uint8Array;
    }
  | { readonly type: 'pages'; readonly runs: readonly PageRun[] }
  /** Blocks that follow each other; no bytes: they are zeros. */
  | {
      readonly type: 'blocks';
      readonly disk: number;
      readonly first: number;
      readonly count: number;
      readonly bytes: Uint8Array;
    }
  | { readonly type: 'state'; readonly bytes: Uint8Array }
  | {
      readonly type: 'end';
      readonly sync: number;
      readonly stream: number;
      /** How many came, so that a lost one is noticed. */
      readonly pages: number;
      readonly blocks: number;
    }
  | {
      readonly type: 'progress';
      readonly phase: SyncPhase;
      readonly percent: number;
      readonly round: number;
      /** Whole seconds. */
      readonly etaS: number | null;
    };

/** Pages that follow each other; no bytes: they are zeros. */
export interface PageRun {
  readonly first: number;
  readonly count: number;
  readonly bytes: Uint8Array | undefined;
}

export type MessageProblem = 'empty' | 'type' | 'cut' | 'long' | 'value';
export type Decoded<M> =
  | { readonly ok: true; readonly message: M }
  | { readonly ok: false; readonly reason: MessageProblem };

const LOG_TYPE = {
  statement: 0x01,
  begin: 0x02,
  log: 0x03,
  mark: 0x04,
  released: 0x05,
  ack: 0x06,
  want: 0x07,
  refuse: 0x08,
  synced: 0x09,
  drop: 0x0a,
  about: 0x0b,
  heard: 0x0c,
  'clock-ask': 0x0d,
  clock: 0x0e,
} as const satisfies Record<LogMessage['type'], number>;

export const BULK_TYPE = {
  start: 0x41,
  hashes: 0x42,
  pages: 0x43,
  blocks: 0x44,
  state: 0x45,
  end: 0x46,
  progress: 0x47,
} as const satisfies Record<BulkMessage['type'], number>;

const MARKS: readonly MarkKind[] = ['grant', 'leave'];
const PHASES: readonly SyncPhase[] = ['disks', 'memory', 'stopping', 'adopting'];
const ETA_UNKNOWN = 0xffffffff;
const REASONS_MAX = 32;
const BLOCKS_HEAD_BYTES = 10;
const NOTHING = new Uint8Array(0);

export function encodeLogMessage(message: LogMessage): Uint8Array {
  const type = LOG_TYPE[message.type];
  const write = (bytes: number) => new FieldWriter(1 + bytes).u8(type);
  switch (message.type) {
    case 'statement':
      return write(message.frame.length).raw(message.frame).done();
    case 'log':
      return write(message.bytes.length).raw(message.bytes).done();
    case 'begin': {
      const { stream, generation, boot, session, position } = message;
      return write(24).u32(stream).u32(generation).u32(boot).u32(session).u64(position).done();
    }
    case 'mark': {
      const { mark, generation, boot, session } = message;
      return write(13).u8(MARKS.indexOf(mark)).u32(generation).u32(boot).u32(session).done();
    }
    case 'released':
      return write(8).u64(message.sequence).done();
    case 'ack': {
      const { stream, generation, session, through, applied, position, virtualNs } = message;
      const head = write(44).u32(stream).u32(generation).u32(session);
      return head.count(through).count(applied).u64(position).u64(virtualNs).done();
    }
    case 'want': {
      const { boot, session, facts } = message;
      return write(8 + facts.length)
        .u32(boot)
        .u32(session)
        .raw(facts)
        .done();
    }
    case 'refuse':
      return encodeRefuse(message.session, message.reasons.slice(0, REASONS_MAX));
    case 'synced':
      return write(8).u32(message.stream).u32(message.session).done();
    case 'drop': {
      const words = Buffer.from(message.reason);
      return write(4 + words.length)
        .u32(message.session)
        .raw(words)
        .done();
    }
    case 'about':
      return write(message.about.length).raw(message.about).done();
    case 'heard':
      return write(message.heard.length).raw(message.heard).done();
    case 'clock-ask':
      return write(8).u64(message.askedNs).done();
    case 'clock': {
      const { askedNs, receivedNs, answeredNs } = message;
      return write(24).u64(askedNs).u64(receivedNs).u64(answeredNs).done();
    }
  }
}

function encodeRefuse(session: number, reasons: readonly string[]): Uint8Array {
  const words = reasons.map((reason) => Buffer.from(reason));
  const bytes = words.reduce((sum, { length }) => sum + 2 + length, 0);
  const writer = new FieldWriter(6 + bytes).u8(LOG_TYPE.refuse).u32(session).u8(words.length);
  for (const word of words) writer.u16(word.length).raw(word);
  return writer.done();
}

export function decodeLogMessage(bytes: Uint8Array): Decoded<LogMessage> {
  if (bytes.length === 0) return { ok: false, reason: 'empty' };
  const fields = new FieldReader(bytes, 1);
  const message = readLogMessage(bytes[0] as number, fields);
  return checked(message, fields);
}

function readLogMessage(type: number, fields: FieldReader): LogMessage | MessageProblem {
  switch (type) {
    case LOG_TYPE.statement:
      return { type: 'statement', frame: fields.rest() };
    case LOG_TYPE.log:
      return { type: 'log', bytes: fields.rest() };
    case LOG_TYPE.begin: {
      const [stream, generation] = [fields.u32(), fields.u32()];
      const [boot, session, position] = [fields.u32(), fields.u32(), fields.u64()];
      return { type: 'begin', stream, generation, boot, session, position };
    }
    case LOG_TYPE.mark: {
      const mark = MARKS[fields.u8()];
      const [generation, boot, session] = [fields.u32(), fields.u32(), fields.u32()];
      return mark === undefined ? 'value' : { type: 'mark', mark, generation, boot, session };
    }
    case LOG_TYPE.released:
      return { type: 'released', sequence: fields.u64() };
    case LOG_TYPE.ack: {
      const [stream, generation, session] = [fields.u32(), fields.u32(), fields.u32()];
      const [through, applied] = [fields.count(), fields.count()];
      const [position, virtualNs] = [fields.u64(), fields.u64()];
      if (applied > through) return 'value';
      return { type: 'ack', stream, generation, session, through, applied, position, virtualNs };
    }
    case LOG_TYPE.want:
      return { type: 'want', boot: fields.u32(), session: fields.u32(), facts: fields.rest() };
    case LOG_TYPE.refuse:
      return readRefuse(fields);
    case LOG_TYPE.synced:
      return { type: 'synced', stream: fields.u32(), session: fields.u32() };
    case LOG_TYPE.drop:
      return { type: 'drop', session: fields.u32(), reason: text(fields.rest()) };
    case LOG_TYPE.about:
      return { type: 'about', about: fields.rest() };
    case LOG_TYPE.heard:
      return { type: 'heard', heard: fields.rest() };
    case LOG_TYPE['clock-ask']:
      return { type: 'clock-ask', askedNs: fields.u64() };
    case LOG_TYPE.clock: {
      const [askedNs, receivedNs, answeredNs] = [fields.u64(), fields.u64(), fields.u64()];
      return { type: 'clock', askedNs, receivedNs, answeredNs };
    }
    default:
      return 'type';
  }
}

function readRefuse(fields: FieldReader): LogMessage | MessageProblem {
  const session = fields.u32();
  const count = fields.u8();
  if (count > REASONS_MAX) return 'value';
  const reasons: string[] = [];
  for (let i = 0; i < count && fields.ok; i++) reasons.push(text(fields.raw(fields.u16())));
  return { type: 'refuse', session, reasons };
}

export function encodeBulkMessage(message: Exclude<BulkMessage, { type: 'pages' }>): Uint8Array {
  const type = BULK_TYPE[message.type];
  const write = (bytes: number) => new FieldWriter(1 + bytes).u8(type);
  switch (message.type) {
    case 'start': {
      const { sync, boot, session, memoryBytes } = message;
      return write(20).u32(sync).u32(boot).u32(session).count(memoryBytes).done();
    }
    case 'hashes': {
      const { sync, disk, first, zeros, hashes } = message;
      const head = write(13 + hashes.length)
        .u32(sync)
        .u8(disk);
      return head.u32(first).u32(zeros).raw(hashes).done();
    }
    case 'blocks': {
      const { disk, first, count, bytes } = message;
      return write(9 + bytes.length)
        .u8(disk)
        .u32(first)
        .u32(count)
        .raw(bytes)
        .done();
    }
    case 'state':
      return write(message.bytes.length).raw(message.bytes).done();
    case 'end': {
      const { sync, stream, pages, blocks } = message;
      return write(24).u32(sync).u32(stream).count(pages).count(blocks).done();
    }
    case 'progress': {
      const { phase, percent, round, etaS } = message;
      const head = write(8).u8(PHASES.indexOf(phase)).u8(percent).u16(round);
      return head.u32(Math.min(etaS ?? ETA_UNKNOWN, ETA_UNKNOWN)).done();
    }
  }
}

export function decodeBulkMessage(bytes: Uint8Array): Decoded<BulkMessage> {
  if (bytes.length === 0) return { ok: false, reason: 'empty' };
  const fields = new FieldReader(bytes, 1);
  const message = readBulkMessage(bytes[0] as number, fields);
  return checked(message, fields);
}

function readBulkMessage(type: number, fields: FieldReader): BulkMessage | MessageProblem {
  switch (type) {
    case BULK_TYPE.start: {
      const [sync, boot, session] = [fields.u32(), fields.u32(), fields.u32()];
      return { type: 'start', sync, boot, session, memoryBytes: fields.count() };
    }
    case BULK_TYPE.hashes: {
      const [sync, disk, first] = [fields.u32(), fields.u8(), fields.u32()];
      const [zeros, hashes] = [fields.u32(), fields.rest()];
      if (hashes.length % HASH_BYTES !== 0) return 'value';
      return { type: 'hashes', sync, disk, first, zeros, hashes };
    }
    case BULK_TYPE.pages:
      return readPages(fields);
    case BULK_TYPE.blocks: {
      const [disk, first] = [fields.u8(), fields.u32()];
      const [count, bytes] = [fields.u32(), fields.rest()];
      const room = count * BLOCK_BYTES - bytes.length;
      const fits = bytes.length % 512 === 0 && room >= 0 && room < BLOCK_BYTES;
      if (fields.ok && (count === 0 || (bytes.length > 0 && !fits))) return 'value';
      return { type: 'blocks', disk, first, count, bytes };
    }
    case BULK_TYPE.state:
      return { type: 'state', bytes: fields.rest() };
    case BULK_TYPE.end: {
      const [sync, stream] = [fields.u32(), fields.u32()];
      return { type: 'end', sync, stream, pages: fields.count(), blocks: fields.count() };
    }
    case BULK_TYPE.progress: {
      const [phase, percent, round] = [PHASES[fields.u8()], fields.u8(), fields.u16()];
      const etaS = fields.u32();
      if (phase === undefined || percent > 100) return 'value';
      return { type: 'progress', phase, percent, round, etaS: etaS === ETA_UNKNOWN ? null : etaS };
    }
    default:
      return 'type';
  }
}

function readPages(fields: FieldReader): BulkMessage | MessageProblem {
  const runs: PageRun[] = [];
  while (fields.ok && fields.left > 0) {
    const [first, count, isData] = [fields.u32(), fields.u16(), fields.u8()];
    if (isData > 1 || (fields.ok && count === 0)) return 'value';
    const bytes = isData === 1 ? fields.raw(count * PAGE_BYTES) : undefined;
    runs.push({ first, count, bytes });
  }
  return { type: 'pages', runs };
}

/** A `blocks` message made in place, around bytes that have RUN_HEAD_BYTES of room before them; good as long as those. */
export function blocksInPlace(
  buffer: Uint8Array,
  offset: number,
  bytes: number,
  { disk, first, count }: { disk: number; first: number; count: number },
): Uint8Array {
  const at = offset - BLOCKS_HEAD_BYTES;
  const head = encodeBulkMessage({ type: 'blocks', disk, first, count, bytes: NOTHING });
  buffer.set(head, at);
  return buffer.subarray(at, offset + bytes);
}

function checked<M>(message: M | MessageProblem, fields: FieldReader): Decoded<M> {
  if (typeof message === 'string') {
    // What is cut reads as zeros; do not blame the value.
    return { ok: false, reason: fields.ok ? (message as MessageProblem) : 'cut' };
  }
  if (!fields.ok) return { ok: false, reason: 'cut' };
  return fields.left > 0 ? { ok: false, reason: 'long' } : { ok: true, message };
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');
