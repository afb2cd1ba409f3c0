// The addon as TypeScript sees it: every class and method in one screen, and the one place that
// loads it. TWINSTEP_ADDON=Debug takes the sanitizer build (`npm run build:asan`).
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Guest memory, mapped into this thread. Sizes and offsets in bytes. */
export interface GuestMemory {
  readonly bytes: number;
  /**
   * The memory itself, in banks of 3 GiB, the last one as long as it is; the same objects on every read. Throws a
   * TypeError once closed, as all here. The first read costs this thread a collection of its garbage for each bank: a
   * thread that decides takes `read` and `write`.
   */
  readonly banks: readonly ArrayBuffer[];
  /** The only bank. Throws a RangeError where there are several: firmware/machine/memory-banks.ts is for those. */
  readonly buffer: ArrayBuffer;
  /** Names this memory in this process: another thread attaches with `{ token }`. */
  readonly token: number;
  /** Fills `into`; a RangeError where that leads outside. */
  read(at: number, into: Uint8Array): void;
  /** All of `from`; a RangeError where that leads outside. */
  write(at: number, from: Uint8Array): void;
  /** From here on they are zeros and, until they are touched, cost no memory. */
  clearPages(first: number, count: number): void;
  /**
   * The first run of pages that ends behind `page` and was ever touched, from `page` on; all others are zeros, and
   * looking at one would make it real memory. Both the number of pages: there is none.
   */
  realPages(page: number): { first: number; end: number };
  /** Unmaps it here; views become empty. Other threads keep theirs. May be called twice. */
  close(): void;
}

/** What a job of sync-up found lies behind each other in `runs`: number, count, offset in `buffer`, bytes (0: zeros). */
export const RUN_WORDS = 4;
/** So many bytes before those of a run are free, for the head of a message. */
export const RUN_HEAD_BYTES = 16;
export const PAGE_KEY_BYTES = 16;

/**
 * A thread of sync-up. One job at a time, each answered by a promise; what it found lies in `buffer` and `runs` until
 * the next begins. A failed read rejects with `code` (E_SHORT: the file became shorter) and `block`.
 * Blocks are of 64 KiB, hashes of 16 bytes: half of a SHA-256, zeros for a block of zeros.
 */
export interface SyncWorker {
  readonly buffer: ArrayBuffer;
  readonly runs: ArrayBuffer;
  /**
   * What lies from block `first` on, before `end`: so many blocks of zeros, then so many with their hashes in
   * `buffer`. Holes are not read; goes as far as one job goes, at least one block.
   */
  survey(
    fd: number,
    bytes: number,
    first: number,
    end: number,
  ): Promise<{ zeros: number; hashed: number; bytesRead: number }>;
  /** A survey of another board's disk against this one: runs of the blocks here where they differ, up to `next`. */
  compare(
    fd: number,
    bytes: number,
    first: number,
    zeros: number,
    hashes: Uint8Array,
  ): Promise<{ next: number; runs: number; bytesRead: number }>;
  /** Pages of the bitmap from `first` on, up to `next`, zeros among them; nobody's pages are not looked at. */
  scanPages(
    memory: GuestMemory,
    first: number,
    bitmap: Uint8Array,
  ): Promise<{ next: number; runs: number; lookedAt: number }>;
  /**
   * What lies from page `first` on, as a survey of blocks tells it; at least one page. The hash of a page is its
   * AES-128-GMAC under `key`, PAGE_KEY_BYTES that nobody knows who fills pages.
   */
  surveyPages(
    memory: GuestMemory,
    first: number,
    key: Uint8Array,
  ): Promise<{ zeros: number; hashed: number }>;
  /**
   * A survey of another board's memory against this one: runs of the pages here where they differ, up to `next`.
   * `compared`: by their hashes. Pages that nobody touched are not looked at.
   */
  comparePages(
    memory: GuestMemory,
    first: number,
    zeros: number,
    hashes: Uint8Array,
    key: Uint8Array,
  ): Promise<{ next: number; runs: number; compared: number }>;
  /** `digest.update(bitmap)`. Nobody else has the digest to do meanwhile; what is written meanwhile must be named again. */
  digestPages(digest: MemoryDigest, bitmap: Uint8Array): Promise<Record<string, never>>;
  /**
   * Into the digest's memory, and into the digest: the first `bytes` of `buffer`, runs one behind the other. Of each the
   * first page (32 bits, little endian), how many (16 bits), 1 and their bytes or 0 for zeros (8 bits). Rejects where that
   * is no run of this memory, or cannot be written; the digest is then that of no memory any more. Nobody else has it to
   * do meanwhile.
   */
  storePages(digest: MemoryDigest, bytes: number): Promise<Record<string, never>>;
  /** May be called twice. A job under way is still answered. */
  close(): void;
}

/** Digest of one guest memory, kept up to date from dirty pages. */
export interface MemoryDigest {
  /** Names it in this process, for as long as anybody has it: another thread goes on with it. One at a time. */
  readonly token: number;
  /**
   * Takes in the pages whose bit is set (bit n of the bitmap: page n of 4096 bytes; whole 64-bit
   * words). Returns the digest of all memory, 64 bits. Pages never named count as zero.
   */
  update(bitmap: Uint8Array): bigint;
  /** The hash of one page as of the last update, 0 for a zero page. */
  page(index: number): bigint;
  /** It and the memory are let go of here; then everything throws a TypeError. May be called twice. */
  close(): void;
}

/** Initial values of a segment register. */
export interface SegmentSetup {
  readonly selector: number;
  readonly base: number;
  /** In bytes, expanded. */
  readonly limit: number;
  /** VMX access rights: type 0-3, S 4, DPL 5-6, P 7, L 13, D/B 14, G 15. */
  readonly attributes: number;
}

/** What a boot protocol demands of the vCPU; everything left out stays as at power-on. */
export interface CpuSetup {
  readonly rip: number;
  readonly rflags: number;
  readonly registers: {
    readonly [Name in 'rax' | 'rbx' | 'rcx' | 'rdx' | 'rsi' | 'rdi' | 'rbp' | 'rsp']?: number;
  };
  readonly cs: SegmentSetup;
  /** DS, ES, SS, FS, GS. */
  readonly data: SegmentSetup;
  readonly taskState?: SegmentSetup;
  readonly cr0: number;
  readonly cr3: number;
  readonly cr4: number;
  readonly efer: number;
  readonly gdtBase: number;
  readonly gdtLimit: number;
}

/** How the software engine works; what the guest computes is the same with all of it. */
export interface SoftEngineOptions {
  /** Warm code becomes host code, where the host allows it; true when left out. */
  readonly translate?: boolean;
  /** How often a block is entered before that; 0: as soon as it is decoded. */
  readonly warm?: number;
}

/**
 * A vCPU over guest memory, used by the thread that made it (native/softcpu/engine.h). Positions
 * and 64-bit values are bigint. Every method throws a TypeError once closed; closing the
 * GuestMemory does not take the memory from under the engine.
 */
export interface SoftEngine {
  /** Why it interprets only, in words; undefined if it translates (or is no software engine). */
  readonly translatesNot?: string;
  /** Executes up to icount === limit or an exit; answers a `twinstep::soft::Exit`. */
  run(limitIcount: bigint): number;
  /** Facts of the last exit: [bytes, address, valueLow, valueHigh]. The same array always. */
  readonly exit: Float64Array;
  /** Answers a port or MMIO read; the instruction retires at the start of the next run(). */
  completeRead(valueLow: number, valueHigh: number): void;
  setInterruptLine(raised: boolean): void;
  canInterrupt(): boolean;
  /** Delivers now. An Error unless canInterrupt(). */
  interrupt(vector: number): void;
  /** Delivers now, or as soon as nothing holds it back; one is remembered. */
  nmi(): void;
  icount(): bigint;
  tsc(): bigint;
  isHalted(): boolean;
  /** From here on TSC = base + (((icount - here) * multiplier) >> 32). */
  setTsc(base: bigint, multiplier: bigint): void;
  /** Exactly 32 bytes. */
  seedEntropy(seed: Uint8Array): void;
  reset(): void;
  setup(cpu: CpuSetup): void;
  /** The complete vCPU as versioned bytes; setState throws an Error in words for all others. */
  getState(): Uint8Array;
  setState(state: Uint8Array): void;
  /** Guest-physical range that changed behind the engine. */
  memoryWritten(address: number, bytes: number): void;
  /** ORs one bit a 4 KiB page of RAM written since the last call, and starts over. */
  takeDirtyPages(bitmap: Uint8Array): void;
  /** For `kick()` on any thread. */
  readonly kickToken: bigint;
  close(): void;
}

/** Why a TAP took no frame; `full` and `down` may pass, the others will not. */
export type TapDrop = 'full' | 'down' | 'badLength' | 'gone' | 'failed';

/** A TAP interface on this thread's event loop, which it keeps alive until closed. */
export interface Tap {
  /** From now on the functions it was made with are called; once. */
  start(): void;
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
  /** This thread (0: the calling one), not those it starts, goes before all ordinary ones; CAP_SYS_NICE. */
  goFirst(thread: number, priority: number): number;
  /** From here on this process leaves no core file, and nobody reads its memory. */
  forgoCoreDumps(): number;
  /** A packet socket for ARP on one interface; needs CAP_NET_RAW. */
  arpOpen(interfaceName: string): number;
  /** Asks one station, six bytes, or all: ff:ff:ff:ff:ff:ff. */
  arpAsk(fd: number, target: Buffer, station: Buffer): number;
  /** How many frames from `target` have arrived since the last call; the newest one's sender goes to `station`. */
  arpAnswers(fd: number, target: Buffer, station: Buffer): number;
  /** A UDP socket bound to an IPv4 address of four bytes; port 0: any. */
  datagramOpen(address: Buffer, port: number): number;
  datagramPort(fd: number): number;
  /** False: the network did not take it. */
  datagramSay(fd: number, to: Buffer, port: number, bytes: Buffer): boolean;
  /** The length of the next one, which may be more than `into` holds; -1: none is there. `from`: four bytes. */
  datagramHear(fd: number, into: Buffer, from: Buffer): number;
  /** How many bytes a terminal had, without waiting. */
  terminalRead(fd: number, into: Buffer): number;
}

/** What a position counts (docs/decisions/0050). `stepped-branches`: a counter made of steps, for tests. */
export type VtxPositions = 'steps' | 'exits' | 'branches' | 'stepped-branches';

export interface VtxCounters {
  readonly kvmRuns: number;
  readonly hardwareSteps: number;
  readonly referenceSteps: number;
  readonly stepsTakenBack: number;
  readonly standingSteps: number;
  /** Exits the guest caused. */
  readonly exits: number;
  /** By kind, as KVM reports them. */
  readonly portExits: number;
  readonly memoryExits: number;
  readonly halts: number;
  /** The time, told in place. */
  readonly tscExits: number;
  /** Other MSRs, handed to the software engine. */
  readonly msrExits: number;
  readonly windows: number;
  /** How often KVM was given the guest's memory, and forgot all translations. */
  readonly slotsMade: number;
  readonly landed: number;
  readonly missed: number;
  readonly landingSteps: number;
  readonly skidMax: number;
  readonly tellsTsc: boolean;
}

/** The engine over /dev/kvm; methods throw an Error with its words when KVM gives up. */
export interface VtxEngine extends SoftEngine {
  readonly counters: VtxCounters;
  /** As run(); on counted branches it may end somewhat before the limit, at a position that costs less. */
  runNear(limitIcount: bigint): number;
  /** Positions at exits, after a kick: the guest has run since the last one and stands whole. */
  isBetween(): boolean;
  /** Where it stands becomes the next position. */
  closeSlice(): void;
}

export interface KvmProbe {
  readonly isUsable: boolean;
  /** Usable, but slow or lacking instructions. */
  readonly isLimited: boolean;
  readonly tellsTsc: boolean;
  /** KVM's shadow of page tables is never behind the guest's (our kernel patch). */
  readonly tablesFollow: boolean;
  readonly countsBranches: boolean;
  readonly words: readonly string[];
}

interface Native {
  SyncWorker: { new (): SyncWorker };
  /** With a token: the digest of that name, of the same memory (Error once it is gone). */
  MemoryDigest: { new (memory: GuestMemory, token?: number): MemoryDigest };
  /** Throws an Error with a numeric `errno` (EPERM, ENODEV, ...). */
  PacketRing: { new (options: PacketRingOptions): PacketRing };
  /** Null when there is no Ethernet interface of this name. */
  lookUpInterface(name: string): NetworkInterface | null;
  FrameCipher: { new (key: Uint8Array, direction: number): FrameCipher };
  watchdog: WatchdogCalls;
  GuestMemory: {
    /**
     * `{ bytes }` makes new zeroed memory (multiple of 4096, up to 64 GiB; else RangeError);
     * `{ token }` maps memory another thread made (Error once all mappings of it are closed).
     */
    new (options: { bytes: number } | { token: number }): GuestMemory;
  };
  SoftEngine: { new (memory: GuestMemory, options?: SoftEngineOptions): SoftEngine };
  VtxEngine: {
    /** `skid` and `seed` are for stepped-branches. */
    new (memory: GuestMemory, positions: VtxPositions, skid?: number, seed?: number): VtxEngine;
  };
  /**
   * Tries this host's KVM on tiny guests; never throws. `onlyExact`: leaves it at the branch counter
   * where there is none.
   */
  probeKvm(onlyExact?: boolean): KvmProbe;
  /** Makes run() of that engine return soon; false if it is closed. Any thread, any time. */
  kick(token: bigint): boolean;
  Tap: {
    /** Errors carry a `code` E_TAP_... and say in words what to do. At most 64 frames a callback. */
    new (name: string, onFrames: (frames: Uint8Array[]) => void, onGone: () => void): Tap;
  };
  /**
   * What the kernel says of its wall clock (adjtimex); needs no right. `maxErrorUs` grows until a daemon
   * says better, up to 16 s; `offsetUs` is still to be corrected, slowly.
   */
  kernelClock(): {
    maxErrorUs: number;
    estimatedErrorUs: number;
    offsetUs: number;
    isUnsynchronised: boolean;
  };
  /** Advisory, until the descriptor is closed; false: another opening of the file has it. */
  lockFile(fd: number, isExclusive: boolean): boolean;
  /** The range reads as zeros and takes no space; false: this file system has no holes. */
  punchHole(fd: number, offset: number, bytes: number): Promise<boolean>;
  /** A pseudo-terminal; both descriptors are the caller's to close. Raw passes every byte as it is. */
  openPty(isRaw: boolean): { master: number; slave: number; path: string };
  /** Every byte passes as it is, both ways; answers the settings it had, for `restoreTerminal`. */
  makeRawTerminal(fd: number): Uint8Array;
  restoreTerminal(fd: number, settings: Uint8Array): void;
  /** In force at once, and nothing that is under way is lost. Throws what the driver says. */
  setSerialFrame(
    fd: number,
    baud: number,
    dataBits: number,
    parity: 'none' | 'odd' | 'even' | 'mark' | 'space',
    stopBits: number,
  ): void;
}

function load(): Native {
  const configuration = process.env.TWINSTEP_ADDON ?? 'Release';
  // This file runs from dist/native/, the addon lies in native/build/ of the checkout.
  const root = fileURLToPath(new URL('../..', import.meta.url));
  return createRequire(import.meta.url)(join(root, 'native/build', configuration, 'twinstep.node'));
}

export const {
  FrameCipher,
  GuestMemory,
  kernelClock,
  kick,
  lockFile,
  lookUpInterface,
  makeRawTerminal,
  MemoryDigest,
  openPty,
  PacketRing,
  probeKvm,
  punchHole,
  restoreTerminal,
  setSerialFrame,
  SoftEngine,
  SyncWorker,
  Tap,
  VtxEngine,
  watchdog,
} = load();
