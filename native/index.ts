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

interface Native {
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

export const { GuestMemory } = load();
