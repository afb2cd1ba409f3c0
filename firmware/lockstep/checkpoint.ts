// A checkpoint: the whole machine at one position, as a stream of chunks (chunks.ts). Zero pages cost
// nothing, memory goes out in runs of pages, the last chunk counts what was written. A reader that
// meets a cut, altered or foreign stream says so and has changed nothing but the RAM it was given.
//
//     identity  what machine this is (canonical state encoding)
//     pages     first page u32 | pages u32 | their bytes      (only pages that are not zero)
//     disk      disk u32 | offset u64 | bytes                 (only what the guest has written)
//     state     registers, devices, clock, output counters (canonical state encoding)
//     end       pages written u32 | CRC-32 of all page and disk payloads u32
import { crc32 } from 'node:zlib';
import type { StateObject, StateValue } from '../devices/contracts.ts';
import type { Machine } from '../machine/machine.ts';
import type { MachineState } from '../machine/machine-types.ts';
import type { MemoryBanks } from '../machine/memory-banks.ts';
import { PAGE_BYTES } from '../machine/memory-map.ts';
import { type Chunk, ChunkReader, chunkProblemText, encodeChunk, encodeMagic } from './chunks.ts';
import { LockstepError } from './errors.ts';
import { OutputCounter } from './outputs.ts';
import { decodeState, encodeState } from './state-codec.ts';

export const CHECKPOINT_MAGIC = 'TWSCPT';
export const CHECKPOINT_VERSION = 1;

const KIND = { identity: 1, pages: 2, state: 3, end: 4, disk: 5 } as const;
/** Pages in one chunk at most: 1 MiB, small enough to interleave with other traffic. */
const RUN_PAGES_MAX = 256;
const ZERO_PAGE = Buffer.alloc(PAGE_BYTES);
const DISK_HEAD_BYTES = 12;

export interface DiskBlock {
  readonly disk: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface Checkpoint {
  readonly identity: StateObject;
  /** Entries of the log that led here. */
  readonly entries: number;
  readonly machine: MachineState;
  readonly outputs: OutputCounter;
}

/** The stream, piece by piece; the machine must stand still until the last piece is taken. */
export function* writeCheckpoint(
  machine: Machine,
  memory: MemoryBanks,
  context: {
    identity: StateObject;
    outputs: OutputCounter;
    entries: number;
    disks: Iterable<DiskBlock>;
  },
): Generator<Uint8Array> {
  yield encodeMagic(CHECKPOINT_MAGIC, CHECKPOINT_VERSION);
  yield encodeChunk(KIND.identity, encodeState(context.identity));
  let pages = 0;
  let sum = 0;
  for (const { first, count } of nonZeroRuns(memory)) {
    const payload = Buffer.alloc(8 + count * PAGE_BYTES);
    payload.writeUInt32LE(first, 0);
    payload.writeUInt32LE(count, 4);
    memory.read(first * PAGE_BYTES, payload.subarray(8));
    pages += count;
    sum = crc32(payload, sum);
    yield encodeChunk(KIND.pages, payload);
  }
  for (const { disk, offset, bytes } of context.disks) {
    const payload = Buffer.alloc(DISK_HEAD_BYTES + bytes.length);
    payload.writeUInt32LE(disk, 0);
    payload.writeBigUInt64LE(BigInt(offset), 4);
    payload.set(bytes, DISK_HEAD_BYTES);
    sum = crc32(payload, sum);
    yield encodeChunk(KIND.disk, payload);
  }
  const state = {
    entries: context.entries,
    machine: machine.state() as unknown as StateValue,
    outputs: { ...context.outputs.state() },
  };
  yield encodeChunk(KIND.state, encodeState(state));
  const end = Buffer.alloc(8);
  end.writeUInt32LE(pages, 0);
  end.writeUInt32LE(sum, 4);
  yield encodeChunk(KIND.end, end);
}

/**
 * Reads a stream into `memory`, which must be zero. Push bytes, then `finish()`. Problems throw
 * LockstepError with the reason in words; until `finish()` answers, the machine is not touched.
 */
export class CheckpointReader {
  private readonly chunks = new ChunkReader(CHECKPOINT_MAGIC, CHECKPOINT_VERSION);
  private readonly memory: MemoryBanks;
  private readonly onDiskBlock: (block: DiskBlock) => void;
  private identity: StateObject | undefined;
  private state: Pick<Checkpoint, 'machine' | 'outputs' | 'entries'> | undefined;
  private pages = 0;
  private sum = 0;
  private isComplete = false;

  /** `onDiskBlock` gets what the guest had written to its disks, before `finish()`. */
  constructor(memory: MemoryBanks, onDiskBlock: (block: DiskBlock) => void) {
    this.memory = memory;
    this.onDiskBlock = onDiskBlock;
  }

  push(bytes: Uint8Array): void {
    this.chunks.push(bytes);
    for (let chunk = this.chunks.next(); chunk !== undefined; chunk = this.chunks.next()) {
      this.take(chunk);
    }
    const { problem, goodBytes } = this.chunks;
    if (problem !== undefined) throw bad(chunkProblemText(problem, 'checkpoint', goodBytes));
  }

  finish(): Checkpoint {
    const { identity, state } = this;
    if (!this.isComplete || identity === undefined || state === undefined) {
      throw bad(`this checkpoint is cut off after ${this.chunks.goodBytes} bytes`);
    }
    return { identity, ...state };
  }

  private take({ kind, payload }: Chunk): void {
    if (this.isComplete) throw bad('this checkpoint has something after its end');
    if (kind === KIND.identity) this.identity = objectOf(payload);
    else if (kind === KIND.pages) this.takePages(payload);
    else if (kind === KIND.disk) this.takeDisk(payload);
    else if (kind === KIND.state) this.takeState(objectOf(payload));
    else if (kind === KIND.end) this.takeEnd(payload);
    else throw bad(`this checkpoint holds a part of unknown kind ${kind}`);
  }

  private takePages(payload: Uint8Array): void {
    const view = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
    const first = payload.length >= 8 ? view.readUInt32LE(0) : 0;
    const count = payload.length >= 8 ? view.readUInt32LE(4) : 0;
    const fits = (first + count) * PAGE_BYTES <= this.memory.bytes;
    if (payload.length !== 8 + count * PAGE_BYTES || !fits) {
      throw bad('this checkpoint is of a machine with more memory');
    }
    this.memory.write(first * PAGE_BYTES, payload.subarray(8));
    this.pages += count;
    this.sum = crc32(payload, this.sum);
  }

  private takeDisk(payload: Uint8Array): void {
    const view = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
    if (payload.length < DISK_HEAD_BYTES)
      throw bad('this checkpoint holds a disk block without place');
    this.onDiskBlock({
      disk: view.readUInt32LE(0),
      offset: Number(view.readBigUInt64LE(4)),
      bytes: payload.subarray(DISK_HEAD_BYTES),
    });
    this.sum = crc32(payload, this.sum);
  }

  private takeState(state: StateObject): void {
    const outputs = new OutputCounter();
    const counters = state.outputs as StateObject | undefined;
    const machine = state.machine as unknown as MachineState | undefined;
    const { entries } = state;
    if (counters === undefined || machine === undefined || typeof entries !== 'number')
      throw bad('this checkpoint has no state');
    outputs.restore(counters as unknown as ReturnType<OutputCounter['state']>);
    this.state = { machine, outputs, entries };
  }

  private takeEnd(payload: Uint8Array): void {
    const view = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
    const complete =
      payload.length === 8 &&
      view.readUInt32LE(0) === this.pages &&
      view.readUInt32LE(4) === this.sum;
    if (!complete) throw bad('this checkpoint lacks pages: take another copy');
    this.isComplete = true;
  }
}

/** Runs of pages that hold anything but zeros; what was never touched is not looked at. */
function* nonZeroRuns(memory: MemoryBanks): Generator<{ first: number; count: number }> {
  const bytes = Buffer.alloc(PAGE_BYTES);
  for (const touched of memory.touched()) {
    let first = -1;
    for (let page = touched.first; page <= touched.end; page++) {
      const inRun = first >= 0;
      const used = page < touched.end && !isZero(memory, page, bytes);
      if (inRun && (!used || page - first === RUN_PAGES_MAX)) {
        yield { first, count: page - first };
        first = used ? page : -1;
      } else if (!inRun && used) first = page;
    }
  }
}

function isZero(memory: MemoryBanks, page: number, into: Buffer): boolean {
  memory.read(page * PAGE_BYTES, into);
  return ZERO_PAGE.equals(into);
}

function objectOf(payload: Uint8Array): StateObject {
  const value = decodeState(payload);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) {
    throw bad('this checkpoint holds a state that cannot be read');
  }
  return value as StateObject;
}

const bad = (why: string): LockstepError => new LockstepError('E_CHECKPOINT', why);
