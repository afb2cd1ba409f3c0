// What the machine asks of an engine: it executes instructions to an exact position, and hands over
// what the machine must serve.

import type { CpuSetup } from '../../native/index.ts';

// What a boot protocol says of the vCPU; defined where the engine takes it.
export type { CpuSetup, SegmentSetup } from '../../native/index.ts';

// The exact place in the guest's life, counted from power-on: in instructions retired, branches or
// exits, as the engine can (docs/decisions/0050).
export type Position = bigint;

// Same numbers as twinstep::soft::Exit in native/softcpu/engine.h.
export const ExitReason = {
  limit: 0, // position === limit
  kick: 1, // a kick was seen; earlier than the limit
  portIn: 2, // answer with completeRead()
  portOut: 3, // already retired
  mmioRead: 4, // answer with completeRead()
  mmioWrite: 5, // already retired
  halt: 6, // HLT with nothing to deliver; also when run() finds the guest halted
  interruptWindow: 7, // the line is raised and the guest can take it now: call interrupt(vector)
  shutdown: 8, // triple fault
  debug: 9, // host breakpoint
} as const;
export type ExitReason = (typeof ExitReason)[keyof typeof ExitReason];

// Sizes the engine may ask for: 1, 2, 4, 8 (8 only for memory).
export type AccessBytes = 1 | 2 | 4 | 8;

// A vCPU over guest memory. The rules of native/softcpu/engine.h hold: run() stops at instruction
// boundaries and knows its exact position; writes retire before they are reported, reads after they are
// answered; how a run is cut into calls never changes what the guest computes.
export interface Engine {
  // Which engine this is, e.g. 'soft'; both boards must run the same.
  readonly kind: string;
  // Kinds of engines whose states setState() takes, its own among them.
  readonly statesFrom: readonly string[];
  run(limit: Position): ExitReason;
  // The same for a limit nobody else knows of yet: it may end with `limit` at a position somewhat before
  // it, where ending exactly there costs more. Always one further than it began. Left out: run() does.
  runNear?(limit: Position): ExitReason;

  // Facts of the last exit, plain numbers: valid until the next run(). Physical addresses fit 52
  // bits; values of 8 bytes are split into two unsigned 32-bit halves.
  readonly exitAddress: number;
  readonly exitBytes: number;
  readonly exitValueLow: number;
  readonly exitValueHigh: number;

  // Answers portIn or mmioRead; the instruction retires at the start of the next run().
  completeRead(valueLow: number, valueHigh: number): void;

  setInterruptLine(raised: boolean): void;
  canInterrupt(): boolean;
  interrupt(vector: number): void;
  nmi(): void;

  position(): Position;
  isHalted(): boolean;

  // From the present position on: TSC = base + (((position - here) * multiplier) >> 32).
  setTsc(base: bigint, multiplier: bigint): void;
  // Reseeds the generator behind RDRAND: exactly 32 bytes.
  seedEntropy(seed: Uint8Array): void;

  reset(): void;
  // Power-on state, then what a boot protocol demands. Native bindings may leave this to the
  // adapter that wraps them.
  setup(cpu: CpuSetup): void;
  // The complete vCPU state as the engine's own versioned bytes (twinstep::soft::State). setState
  // throws EngineStateError with the reason in words if no CPU could hold it.
  getState(): Uint8Array;
  setState(state: Uint8Array): void;

  // Guest memory changed behind the engine (DMA, loader), as guest-physical addresses.
  memoryWritten(address: number, bytes: number): void;
  // ORs the 4 KiB pages of guest RAM (by offset in RAM, not by physical address) written since the
  // last call into the bitmap, one bit a page, and clears them in the engine.
  takeDirtyPages(bitmap: Uint8Array): void;

  // For engines that cannot stop at every instruction. After a kick: whether the guest has run since the
  // last position and stands whole. closeSlice() makes where it stands the next position.
  readonly isBetween?: boolean;
  closeSlice?(): void;

  // What another thread needs to kick this engine; structured-cloneable. A kick is sticky until
  // run() has reported it.
  readonly kickToken: KickToken;
  close(): void;
}

// Opaque to all but the native binding, which has `kick(token)`, callable on any thread.
export type KickToken = bigint;
