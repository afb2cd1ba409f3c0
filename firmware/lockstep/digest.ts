// What two boards compare: one 64-bit digest of registers, devices and clock, one of all memory.
// The memory digest is incremental, from the pages the engine says were written.
import { createHash } from 'node:crypto';
import type { MemoryDigest } from '../../native/index.ts';
import type { Engine, StateValue } from '../machine/contracts.ts';
import { encodeState } from './state-codec.ts';

export interface Digests {
  readonly state: bigint;
  readonly memory: bigint;
}

const PAGE_BYTES = 4096;

/** 64 bits of SHA-256 over the canonical encoding. */
export function stateDigest(state: StateValue): bigint {
  return createHash('sha256').update(encodeState(state)).digest().readBigUInt64LE(0);
}

/**
 * The engine's dirty pages, for more than one reader: the digest takes its own, sync-up its own.
 * Bitmaps have one bit a 4 KiB page, in whole 64-bit words.
 */
export class DirtyPages {
  private readonly engine: Engine;
  private readonly readers: Uint8Array[] = [];
  private readonly bitmapBytes: number;

  constructor(engine: Engine, memoryBytes: number) {
    this.engine = engine;
    this.bitmapBytes = Math.ceil(memoryBytes / PAGE_BYTES / 64) * 8;
  }

  /** A new reader, which first sees every page as dirty. Returns how to take what is dirty now. */
  reader(): () => Uint8Array {
    const bitmap = new Uint8Array(this.bitmapBytes).fill(0xff);
    this.readers.push(bitmap);
    return () => {
      this.collect();
      const taken = bitmap.slice();
      bitmap.fill(0);
      return taken;
    };
  }

  private collect(): void {
    const fresh = new Uint8Array(this.bitmapBytes);
    this.engine.takeDirtyPages(fresh);
    for (const bitmap of this.readers) {
      for (let at = 0; at < fresh.length; at++) {
        if (fresh[at] !== 0) bitmap[at] = (bitmap[at] as number) | (fresh[at] as number);
      }
    }
  }
}

/** Digests of one machine, cheap enough to take many times a second. */
export class MachineDigest {
  private readonly takeDirty: () => Uint8Array;
  private readonly memory: MemoryDigest;
  private readonly state: () => StateValue;

  constructor(options: { state: () => StateValue; memory: MemoryDigest; dirty: DirtyPages }) {
    this.state = options.state;
    this.memory = options.memory;
    this.takeDirty = options.dirty.reader();
  }

  take(): Digests {
    return { state: stateDigest(this.state()), memory: this.memory.update(this.takeDirty()) };
  }
}
