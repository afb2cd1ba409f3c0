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

export interface NetworkInterface {
  mac: Uint8Array;
  /** Switched on, and with a carrier. */
  up: boolean;
  mtu: number;
}

/** A raw Ethernet socket of one EtherType on one interface; needs CAP_NET_RAW. */
export interface PacketRing {
  /** As it is now; null when it has gone. */
  readonly interface: NetworkInterface | null;
  /**
   * Begins to receive. frames(n): the n pairs in `frames` say where payloads begin in `ring` and how
   * long they are, until it returns. writable(): after a send() that could not send all. link():
   * look at `interface`. Payloads to send go behind the 14 header bytes of a slot in `staging`.
   */
  start(handler: { frames(count: number): void; writable(): void; link(): void }): {
    ring: ArrayBuffer;
    staging: ArrayBuffer;
    sendStride: number;
    frames: Uint32Array;
    lengths: Uint32Array;
  };
  /** Sends slots first, first + 1, ... with payloads of `lengths[slot]`; how many were dealt with. */
  send(first: number, count: number): number;
  /** Every peer (broadcast) until said otherwise. */
  setDestination(mac: Uint8Array): void;
  counters(): { overrun: number; oversized: number; foreign: number; unsent: number };
  /** The buffers become empty. May be called twice, also inside a callback. */
  close(): void;
}

export interface PacketRingOptions {
  interface: string;
  ethertype: number;
  payloadBytesMax: number;
  receiveSlots: number;
  sendSlots: number;
  /** Frames of any other sender are dropped and counted. */
  sender?: Uint8Array;
}

/** AES-256-GCM of one direction; arguments as in logchan/cipher.ts. */
export interface FrameCipher {
  seal(counter: number, frame: Uint8Array, plain: Uint8Array, bytes: number): void;
  open(counter: number, frame: Uint8Array, start: number, end: number, plain: Uint8Array): number;
}

interface Native {
  /** Throws an Error with a numeric `errno` (EPERM, ENODEV, ...). */
  PacketRing: { new (options: PacketRingOptions): PacketRing };
  /** Null when there is no Ethernet interface of this name. */
  lookUpInterface(name: string): NetworkInterface | null;
  FrameCipher: { new (key: Uint8Array, direction: number): FrameCipher };
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

export const { FrameCipher, GuestMemory, lookUpInterface, PacketRing } = load();
