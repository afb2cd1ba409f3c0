// What two boards compare: one 64-bit digest of registers, devices and clock, one of all memory.
// The memory digest is incremental, from the pages the engine says were written.
import { createHash } from 'node:crypto';
import type { MemoryDigest } from '../../native/index.ts';
import type { StateValue } from '../devices/contracts.ts';
import type { Engine } from '../machine/engine.ts';
import { encodeState } from './state-codec.ts';

export interface Digests {
  readonly state: bigint;
  readonly memory: bigint;
}

const PAGE_BYTES = 4096;
const ALL = 0xffff_ffff;

/** 64 bits of SHA-256 over the canonical encoding. */
export function stateDigest(state: StateValue): bigint {
  return createHash('sha256').update(encodeState(state)).digest().readBigUInt64LE(0);
}

/**
 * The engine's dirty pages, for more than one reader: the digest takes its own, sync-up its own.
 * Bitmaps have one bit a 4 KiB page, in whole 64-bit words; merged by halves of them, which are numbers
 * that cost nothing where 64 bits would each be an object.
 */
export class DirtyPages {
  private readonly engine: Engine;
  private readonly readers: Uint32Array[] = [];
  private readonly fresh: Uint32Array;

  constructor(engine: Engine, memoryBytes: number) {
    this.engine = engine;
    this.fresh = new Uint32Array(2 * Math.ceil(memoryBytes / PAGE_BYTES / 64));
  }

  /**
   * A new reader: answers how to take what is dirty now, each answer good until the next. It first sees every page as
   * dirty, or, from `zeroes`, only what was written since the engine was made: all else is known to hold nothing.
   */
  reader(from: 'all' | 'zeroes' = 'all'): () => Uint8Array {
    const words = new Uint32Array(this.fresh.length).fill(from === 'all' ? ALL : 0);
    // Kept: memory anew for every answer would be most of its cost where there is much RAM.
    const taken = new Uint32Array(words.length);
    this.readers.push(words);
    return () => {
      this.collect();
      taken.set(words);
      words.fill(0);
      return new Uint8Array(taken.buffer);
    };
  }

  private collect(): void {
    const { fresh } = this;
    fresh.fill(0);
    this.engine.takeDirtyPages(new Uint8Array(fresh.buffer));
    for (let at = 0; at < fresh.length; at++) {
      const word = fresh[at] as number;
      if (word === 0) continue;
      for (const words of this.readers) words[at] = (words[at] as number) | word;
    }
  }
}

/** Digests of one machine, cheap enough to take many times a second. */
export class MachineDigest {
  private readonly takeDirty: () => Uint8Array;
  private readonly memory: MemoryDigest;
  private readonly state: () => StateValue;

  /** `from` as for a reader of dirty pages. */
  constructor(options: {
    state: () => StateValue;
    memory: MemoryDigest;
    dirty: DirtyPages;
    from?: 'all' | 'zeroes';
  }) {
    this.state = options.state;
    this.memory = options.memory;
    this.takeDirty = options.dirty.reader(options.from);
  }

  /** What is dirty by now is in the digest already: somebody else has taken it in. */
  passOver(): void {
    this.takeDirty();
  }

  /** Names the digest of memory for other threads. */
  get memoryToken(): number {
    return this.memory.token;
  }

  /** Takes in what was written, so that the next take() costs little. */
  refresh(): void {
    this.memory.update(this.takeDirty());
  }

  take(): Digests {
    return { state: stateDigest(this.state()), memory: this.memory.update(this.takeDirty()) };
  }
}
