// The container of logs and checkpoints on disk: a file is a magic number and then chunks, each with
// a kind, a length and a checksum over all three. Reading is incremental and says exactly why and
// where it stopped, so that what a power cut left behind is used up to its last whole chunk.
//
//     file:   8 bytes magic and version | chunk | chunk | ...
//     chunk:  kind u8 | 3 zero bytes | length u32 | CRC-32 u32 (of kind, length, payload) | payload
//
// Numbers are little-endian. CRC-32 is that of IEEE 802.3 (zlib).
import { crc32 } from 'node:zlib';

export const CHUNK_HEAD_BYTES = 12;
/** A chunk is read into memory whole; writers cut larger things up. */
export const CHUNK_PAYLOAD_BYTES_MAX = 4 << 20;
export const MAGIC_BYTES = 8;

export interface Chunk {
  readonly kind: number;
  readonly payload: Uint8Array;
}

export type ChunkProblem = 'magic' | 'version' | 'length' | 'checksum';

export function encodeMagic(name: string, version: number): Uint8Array {
  const bytes = Buffer.alloc(MAGIC_BYTES);
  bytes.write(name, 0, 6, 'latin1');
  bytes.writeUInt16LE(version, 6);
  return bytes;
}

export function encodeChunk(kind: number, payload: Uint8Array): Uint8Array {
  if (payload.length > CHUNK_PAYLOAD_BYTES_MAX) throw new Error(`chunk of ${payload.length} bytes`);
  const bytes = Buffer.alloc(CHUNK_HEAD_BYTES + payload.length);
  bytes[0] = kind;
  bytes.writeUInt32LE(payload.length, 4);
  bytes.writeUInt32LE(crc32(payload, crc32(bytes.subarray(0, 8))), 8);
  bytes.set(payload, CHUNK_HEAD_BYTES);
  return bytes;
}

/** Push bytes in, pull chunks out. After a problem nothing more comes. */
export class ChunkReader {
  /** Why reading stopped, if it did before the end of the bytes. */
  problem: ChunkProblem | undefined;
  /** Offset in the file behind the last whole chunk: what is before it is good. */
  goodBytes = 0;

  private readonly name: string;
  private readonly version: number;
  private pending: Buffer = Buffer.alloc(0);
  private sawMagic = false;

  constructor(name: string, version: number) {
    this.name = name;
    this.version = version;
  }

  push(bytes: Uint8Array): void {
    this.pending =
      this.pending.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.pending, bytes]);
  }

  /** The next whole chunk; undefined when more bytes are needed or a problem was met. */
  next(): Chunk | undefined {
    if (this.problem !== undefined || !this.readMagic()) return undefined;
    const { pending } = this;
    if (pending.length < CHUNK_HEAD_BYTES) return undefined;
    const length = pending.readUInt32LE(4);
    if (length > CHUNK_PAYLOAD_BYTES_MAX) return this.stop('length');
    const end = CHUNK_HEAD_BYTES + length;
    if (pending.length < end) return undefined;
    const payload = new Uint8Array(pending.subarray(CHUNK_HEAD_BYTES, end));
    if (crc32(payload, crc32(pending.subarray(0, 8))) !== pending.readUInt32LE(8)) {
      return this.stop('checksum');
    }
    const kind = pending[0] as number;
    this.pending = pending.subarray(end);
    this.goodBytes += end;
    return { kind, payload };
  }

  /** Bytes that were pushed and belong to no whole chunk. */
  get leftBytes(): number {
    return this.pending.length;
  }

  private readMagic(): boolean {
    if (this.sawMagic) return true;
    if (this.pending.length < MAGIC_BYTES) return false;
    const expected = encodeMagic(this.name, this.version);
    if (!this.pending.subarray(0, 6).equals(expected.subarray(0, 6))) this.stop('magic');
    else if (!this.pending.subarray(6, 8).equals(expected.subarray(6, 8))) this.stop('version');
    else {
      this.sawMagic = true;
      this.pending = this.pending.subarray(MAGIC_BYTES);
      this.goodBytes = MAGIC_BYTES;
    }
    return this.sawMagic;
  }

  private stop(problem: ChunkProblem): undefined {
    this.problem = problem;
    return undefined;
  }
}

/** A problem in words, for the person who gave the file. */
export function chunkProblemText(problem: ChunkProblem, what: string, at: number): string {
  switch (problem) {
    case 'magic':
      return `this is not a ${what}: it starts with other bytes`;
    case 'version':
      return `this ${what} was written by another version of the firmware`;
    case 'length':
    case 'checksum':
      return `this ${what} is damaged at byte ${at}: take another copy`;
  }
}
