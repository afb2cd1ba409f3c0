// What two boards say to each other in a sync-up, over the bulk lane of their channel; as messages.ts.
import { checked, type Decoded, FieldReader, FieldWriter, type MessageProblem } from './fields.ts';

/** Half of what the channel takes as one entry. */
export const PIECE_BYTES_MAX = 512 << 10;
export const BLOCK_BYTES = 64 << 10;
export const HASH_BYTES = 16;
export const PAGE_BYTES = 4096;
/** Of the hashes of pages: drawn for each sync-up. */
export const KEY_BYTES = 16;

/** What of the disks is compared; whether the memory is. */
export type SyncKind = 'everything' | 'changes';

export type SyncPhase = 'disks' | 'memory' | 'stopping' | 'adopting';

export type BulkMessage =
  | {
      readonly type: 'start';
      readonly sync: number;
      readonly boot: number;
      readonly session: number;
      readonly memoryBytes: number;
      /** What is written from now on is known as since this base; 0: neither board remembers anything. */
      readonly base: number;
      /** The boards have none in common: everything is compared. */
      readonly isNew: boolean;
      /** Of the hashes in `page-hashes`. */
      readonly key: Uint8Array;
    }
  /** What the source would have compared of a disk, behind `start`: for each, in order, once or more. */
  | {
      readonly type: 'ranges';
      readonly disk: number;
      readonly isLast: boolean;
      readonly ranges: readonly BlockRange[];
    }
  /** Below this block of a disk all that was to be compared is, and what differed has gone out. */
  | { readonly type: 'equal'; readonly disk: number; readonly block: number }
  | {
      readonly type: 'hashes';
      readonly sync: number;
      readonly disk: number;
      /** From here on so many blocks of zeros, and behind them those of the hashes. */
      readonly first: number;
      readonly zeros: number;
      readonly hashes: Uint8Array;
    }
  /** The answer to a `look`: a survey, as in `hashes`. */
  | {
      readonly type: 'looked';
      readonly id: number;
      readonly zeros: number;
      readonly hashes: Uint8Array;
    }
  /** What the target's memory begins with, behind the hashes of its disks: a survey, as in `hashes`, in order. */
  | {
      readonly type: 'page-hashes';
      readonly sync: number;
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
      readonly kind: SyncKind;
      /** Of the disks and the memory: looked at, and in all. */
      readonly doneBytes: number;
      readonly totalBytes: number;
    };

export interface BlockRange {
  readonly first: number;
  readonly count: number;
}

/** Pages that follow each other; no bytes: they are zeros. */
export interface PageRun {
  readonly first: number;
  readonly count: number;
  readonly bytes: Uint8Array | undefined;
}

export const BULK_TYPE = {
  start: 0x41,
  hashes: 0x42,
  pages: 0x43,
  blocks: 0x44,
  state: 0x45,
  end: 0x46,
  progress: 0x47,
  ranges: 0x48,
  equal: 0x49,
  looked: 0x4a,
  'page-hashes': 0x4b,
} as const satisfies Record<BulkMessage['type'], number>;

const RANGE_BYTES = 8;
/** Of one message. */
export const RANGES_MAX = 4096;
const KINDS: readonly SyncKind[] = ['everything', 'changes'];
const PHASES: readonly SyncPhase[] = ['disks', 'memory', 'stopping', 'adopting'];
const ETA_UNKNOWN = 0xffffffff;
const BLOCKS_HEAD_BYTES = 10;
const NOTHING = new Uint8Array(0);

export function encodeBulkMessage(message: Exclude<BulkMessage, { type: 'pages' }>): Uint8Array {
  const type = BULK_TYPE[message.type];
  const write = (bytes: number) => new FieldWriter(1 + bytes).u8(type);
  switch (message.type) {
    case 'start': {
      const { sync, boot, session, memoryBytes, base, isNew, key } = message;
      const head = write(29 + KEY_BYTES)
        .u32(sync)
        .u32(boot)
        .u32(session);
      return head.count(memoryBytes).count(base).u8(Number(isNew)).raw(key).done();
    }
    case 'ranges': {
      const { disk, isLast, ranges } = message;
      const writer = write(2 + RANGE_BYTES * ranges.length)
        .u8(disk)
        .u8(Number(isLast));
      for (const { first, count } of ranges) writer.u32(first).u32(count);
      return writer.done();
    }
    case 'equal':
      return write(5).u8(message.disk).u32(message.block).done();
    case 'hashes': {
      const { sync, disk, first, zeros, hashes } = message;
      const head = write(13 + hashes.length)
        .u32(sync)
        .u8(disk);
      return head.u32(first).u32(zeros).raw(hashes).done();
    }
    case 'page-hashes': {
      const { sync, first, zeros, hashes } = message;
      const head = write(12 + hashes.length)
        .u32(sync)
        .u32(first);
      return head.u32(zeros).raw(hashes).done();
    }
    case 'looked': {
      const { id, zeros, hashes } = message;
      return write(8 + hashes.length)
        .u32(id)
        .u32(zeros)
        .raw(hashes)
        .done();
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
      const { phase, percent, round, etaS, kind, doneBytes, totalBytes } = message;
      const head = write(25).u8(PHASES.indexOf(phase)).u8(percent).u16(round);
      head.u32(Math.min(etaS ?? ETA_UNKNOWN, ETA_UNKNOWN)).u8(KINDS.indexOf(kind));
      return head.count(doneBytes).count(totalBytes).done();
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
      const [memoryBytes, base, flag] = [fields.count(), fields.count(), fields.u8()];
      const key = fields.raw(KEY_BYTES).slice();
      if (flag > 1) return 'value';
      return { type: 'start', sync, boot, session, memoryBytes, base, isNew: flag === 1, key };
    }
    case BULK_TYPE.ranges:
      return readRanges(fields);
    case BULK_TYPE.equal:
      return { type: 'equal', disk: fields.u8(), block: fields.u32() };
    case BULK_TYPE.hashes: {
      const [sync, disk, first] = [fields.u32(), fields.u8(), fields.u32()];
      const [zeros, hashes] = [fields.u32(), fields.rest()];
      if (hashes.length % HASH_BYTES !== 0) return 'value';
      return { type: 'hashes', sync, disk, first, zeros, hashes };
    }
    case BULK_TYPE['page-hashes']: {
      const [sync, first, zeros] = [fields.u32(), fields.u32(), fields.u32()];
      const hashes = fields.rest();
      if (hashes.length % HASH_BYTES !== 0) return 'value';
      return { type: 'page-hashes', sync, first, zeros, hashes };
    }
    case BULK_TYPE.looked: {
      const [id, zeros, hashes] = [fields.u32(), fields.u32(), fields.rest()];
      if (hashes.length % HASH_BYTES !== 0) return 'value';
      return { type: 'looked', id, zeros, hashes };
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
      const [seconds, kind] = [fields.u32(), KINDS[fields.u8()]];
      const [doneBytes, totalBytes] = [fields.count(), fields.count()];
      if (phase === undefined || percent > 100 || kind === undefined) return 'value';
      const etaS = seconds === ETA_UNKNOWN ? null : seconds;
      return { type: 'progress', phase, percent, round, etaS, kind, doneBytes, totalBytes };
    }
    default:
      return 'type';
  }
}

function readRanges(fields: FieldReader): BulkMessage | MessageProblem {
  const [disk, flag] = [fields.u8(), fields.u8()];
  if (flag > 1 || fields.left > RANGES_MAX * RANGE_BYTES) return 'value';
  const ranges: BlockRange[] = [];
  while (fields.ok && fields.left > 0) ranges.push({ first: fields.u32(), count: fields.u32() });
  return { type: 'ranges', disk, isLast: flag === 1, ranges };
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
