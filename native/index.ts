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

/** Why a TAP took no frame; `full` and `down` may pass, the others will not. */
export type TapDrop = 'full' | 'down' | 'badLength' | 'gone' | 'failed';

/** A TAP interface on this thread's event loop, which it keeps alive until closed. */
export interface Tap {
  /** Hands the host one frame, at once; the reason if it was dropped. */
  write(frame: Uint8Array): TapDrop | undefined;
  counters(): {
    rxFrames: number;
    rxBytes: number;
    rxFailed: number;
    txFrames: number;
    txBytes: number;
    txDropped: Record<TapDrop, number>;
  };
  /** What the host says about its end now; throws once the interface is gone. */
  info(): { name: string; mac: Uint8Array; mtuBytes: number; isUp: boolean };
  /** May be called twice. */
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
  Tap: {
    /** Errors carry a `code` E_TAP_... and say in words what to do. At most 64 frames a callback. */
    new (name: string, onFrames: (frames: Uint8Array[]) => void, onGone: () => void): Tap;
  };
  /** Advisory, until the descriptor is closed; false: another opening of the file has it. */
  lockFile(fd: number, isExclusive: boolean): boolean;
  /** The range reads as zeros and takes no space; false: this file system has no holes. */
  punchHole(fd: number, offset: number, bytes: number): Promise<boolean>;
}

function load(): Native {
  const configuration = process.env.TWINSTEP_ADDON ?? 'Release';
  // This file runs from dist/native/, the addon lies in native/build/ of the checkout.
  const root = fileURLToPath(new URL('../..', import.meta.url));
  return createRequire(import.meta.url)(join(root, 'native/build', configuration, 'twinstep.node'));
}

export const { GuestMemory, Tap, lockFile, punchHole } = load();
