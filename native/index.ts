// The addon as TypeScript sees it: every class and method in one screen, and the one place that
// loads it. TWINSTEP_ADDON=Debug takes the sanitizer build (`npm run build:asan`).
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Guest memory, mapped into this thread. Sizes and offsets in bytes. */
export interface GuestMemory {
  /** The memory itself; the same object on every read. Throws a TypeError once closed. */
  readonly buffer: ArrayBuffer;
  /** Names this memory in this process: another thread attaches with `{ token }`. */
  readonly token: number;
  /** Unmaps it here; views become empty. Other threads keep theirs. May be called twice. */
  close(): void;
}

/** Digest of one guest memory, kept up to date from dirty pages. */
export interface MemoryDigest {
  /**
   * Takes in the pages whose bit is set (bit n of the bitmap: page n of 4096 bytes; whole 64-bit
   * words). Returns the digest of all memory, 64 bits. Pages never named count as zero.
   */
  update(bitmap: Uint8Array): bigint;
  /** The hash of one page as of the last update, 0 for a zero page. */
  page(index: number): bigint;
}

interface Native {
  MemoryDigest: { new (memory: GuestMemory): MemoryDigest };
  GuestMemory: {
    /**
     * `{ bytes }` makes new zeroed memory (multiple of 4096, up to 4 GiB; else RangeError);
     * `{ token }` maps memory another thread made (Error once all mappings of it are closed).
     */
    new (options: { bytes: number } | { token: number }): GuestMemory;
  };
}

function load(): Native {
  const configuration = process.env.TWINSTEP_ADDON ?? 'Release';
  // This file runs from dist/native/, the addon lies in native/build/ of the checkout.
  const root = fileURLToPath(new URL('../..', import.meta.url));
  return createRequire(import.meta.url)(join(root, 'native/build', configuration, 'twinstep.node'));
}

export const { GuestMemory, MemoryDigest } = load();
