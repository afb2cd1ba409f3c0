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

/** Kernel calls of role arbitration. A failed one throws an Error with `code`, as Node's own do. */
interface WatchdogCalls {
  support(fd: number): { options: number; firmwareVersion: number; identity: string };
  bootStatus(fd: number): number;
  timeoutSeconds(fd: number): number;
  /** Answers what the driver really took. */
  setTimeoutSeconds(fd: number, seconds: number): number;
  keepAlive(fd: number): number;
  /** Milliseconds since boot, suspension included. */
  bootClockMs(): number;
  /**
   * Gives the write end of a pipe to a thread with a file table of its own: the reader sees the end of
   * this process before its memory is torn down. The descriptor is gone here afterwards.
   */
  startSentinel(fd: number): number;
  /** A packet socket for ARP on one interface; needs CAP_NET_RAW. */
  arpOpen(interfaceName: string): number;
  arpAsk(fd: number, interfaceName: string, target: Buffer): number;
  /** How many frames from `target` have arrived since the last call. */
  arpAnswers(fd: number, target: Buffer): number;
  /** A pair of pseudo-terminals, raw; the master does not block. */
  openPty(): { master: number; slavePath: string };
}

interface Native {
  watchdog: WatchdogCalls;
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

export const { GuestMemory, watchdog } = load();
