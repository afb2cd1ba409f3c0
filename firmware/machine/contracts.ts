// What the parts of the guest machine promise each other.
//
// The machine is a pure function of its initial state and its inputs. An engine executes
// instructions, devices answer ports and memory-mapped registers, a virtual clock tells them the
// time; everything that enters comes through `inject(input)` at a position, everything that leaves
// is an `Output`. Nothing here knows a host: no file, socket, timer, thread or randomness.

// Instructions retired since power-on: the exact position in the guest's life.
export type Icount = bigint;
// Virtual nanoseconds since power-on; the guest's TSC runs at 1 GHz and equals it.
export type VirtualNs = bigint;

// State of anything in the machine: plain named data that survives a checkpoint unchanged. Use type
// aliases (not interfaces) for concrete states, so that they are assignable to StateObject.
export type StateValue =
  | number
  | bigint
  | boolean
  | string
  | null
  | Uint8Array
  | readonly StateValue[]
  | StateObject;
export type StateObject = { readonly [field: string]: StateValue };

// ---- engine ---------------------------------------------------------------------------------

// Same numbers as twinstep::soft::Exit in native/softcpu/engine.h.
export const ExitReason = {
  limit: 0, // icount === limit
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
// boundaries with the exact icount; writes retire before they are reported, reads after they are
// answered; how a run is cut into calls never changes what the guest computes.
export interface Engine {
  // Which engine this is, e.g. 'soft'; both boards must run the same.
  readonly kind: string;
  run(limitIcount: Icount): ExitReason;

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

  icount(): Icount;
  isHalted(): boolean;

  // From the present icount on: TSC = base + (((icount - here) * multiplier) >> 32).
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

// What the vCPU looks like when a boot protocol hands over; the engine's binding knows how to
// write it into its own state format.
export type SegmentSetup = {
  readonly selector: number;
  readonly base: number;
  readonly limit: number; // in bytes, expanded
  readonly attributes: number; // VMX access rights: type 0-3, S 4, DPL 5-6, P 7, L 13, D/B 14, G 15
};

export type CpuSetup = {
  readonly rip: number;
  readonly rflags: number;
  readonly registers: Readonly<
    Partial<Record<'rax' | 'rbx' | 'rcx' | 'rdx' | 'rsi' | 'rdi' | 'rbp' | 'rsp', number>>
  >;
  readonly cs: SegmentSetup;
  readonly data: SegmentSetup; // DS, ES, SS, FS, GS
  readonly taskState?: SegmentSetup;
  readonly cr0: number;
  readonly cr3: number;
  readonly cr4: number;
  readonly efer: number;
  readonly gdtBase: number;
  readonly gdtLimit: number;
};

// ---- wires ----------------------------------------------------------------------------------

// One wire into an interrupt controller. Setting the level it already has is harmless.
export interface IrqLine {
  set(level: boolean): void;
}

export interface VirtualClock {
  nowNs(): VirtualNs;
}

// Guest-physical memory as devices see it (DMA). Addresses come from the guest, so nothing throws:
// whatever does not lie wholly in RAM answers undefined or false and is counted. Values are
// little-endian. Writes are made known to the engine.
export interface GuestRam {
  readonly bytes: number;
  // Is [address, address + bytes) RAM, without a gap? False also for negative or unsafe numbers.
  has(address: number, bytes: number): boolean;
  readU8(address: number): number | undefined;
  readU16(address: number): number | undefined;
  readU32(address: number): number | undefined;
  // A 64-bit value as a number. Above 2^53 the low bits are lost; no such address is ever valid.
  readU64(address: number): number | undefined;
  writeU8(address: number, value: number): boolean;
  writeU16(address: number, value: number): boolean;
  writeU32(address: number, value: number): boolean;
  writeU64(address: number, value: number): boolean;
  // Fills `into` completely, or answers false and leaves it alone.
  read(address: number, into: Uint8Array): boolean;
  write(address: number, from: Uint8Array): boolean;
  // A copy of the bytes.
  copy(address: number, bytes: number): Uint8Array | undefined;
  fill(address: number, bytes: number, value: number): boolean;
  // Accesses refused because they were not (wholly) RAM.
  readonly refused: number;
}

// Random bytes as the guest gets them: a generator inside the machine, seeded by the initial state
// and by entropy inputs.
export interface EntropySource {
  fill(into: Uint8Array): void;
}

// ---- devices --------------------------------------------------------------------------------

export type AddressRange = { readonly base: number; readonly count: number };

// A device on the bus. It is told the time and never asks a host. `read...` and `write...` are
// called with the virtual time already advanced to now, for addresses inside the ranges. Ports are
// split by the bus into accesses of at most `portBytesMax` bytes (default 1, as on an ISA bus);
// memory accesses come as 1, 2 or 4 bytes. Values are unsigned.
export interface Device {
  readonly name: string;
  readonly ports?: readonly AddressRange[];
  readonly portBytesMax?: 1 | 2 | 4;
  readonly memory?: readonly AddressRange[];
  readPort?(port: number, bytes: number): number;
  writePort?(port: number, bytes: number, value: number): void;
  readMemory?(address: number, bytes: number): number;
  writeMemory?(address: number, bytes: number, value: number): void;

  // The next moment the device changes something by itself (usually an interrupt); undefined: none.
  // Strictly later than the last advanceTo().
  nextDeadlineNs(): VirtualNs | undefined;
  // Time has come to nowNs (never goes back). Going there in one step or in many is the same.
  advanceTo(nowNs: VirtualNs): void;

  // Every field the guest could ever notice, and back. A restored device drives its wires itself.
  state(): StateObject;
  restore(state: StateObject): void;
  // Power-on state.
  reset(): void;
}

// ---- what leaves ----------------------------------------------------------------------------

export type SerialPortName = 'com1' | 'com2' | 'console';

export type DiskOperation = 'read' | 'write' | 'flush' | 'discard' | 'write-zeroes';

export type DiskRequest = {
  readonly kind: 'disk-request';
  readonly disk: number; // index of the disk
  readonly id: number; // unique among the requests in flight of this disk
  readonly operation: DiskOperation;
  readonly offset: number; // bytes
  readonly bytes: number;
  // What to write: a private copy, never guest memory itself. Undefined for all other operations.
  readonly data: Uint8Array | undefined;
};

export type Output =
  | { readonly kind: 'net-tx'; readonly nic: number; readonly frame: Uint8Array }
  | { readonly kind: 'serial-tx'; readonly port: SerialPortName; readonly byte: number }
  // Line settings the guest chose and the modem lines it drives (for passing COM2 through).
  | {
      readonly kind: 'serial-line';
      readonly port: SerialPortName;
      readonly baud: number;
      readonly dataBits: number;
      readonly parity: 'none' | 'odd' | 'even' | 'mark' | 'space';
      readonly stopBits: number;
      readonly sendBreak: boolean;
      readonly dtr: boolean;
      readonly rts: boolean;
    }
  | DiskRequest
  | { readonly kind: 'debug-exit'; readonly code: number }
  | { readonly kind: 'power'; readonly event: 'reset' | 'off' | 'triple-fault' };

// Called synchronously at the position of the output. Must not re-enter the machine.
export type OutputSink = (output: Output) => void;

// ---- what enters ----------------------------------------------------------------------------

export type DiskStatus = 'ok' | 'io-error' | 'unsupported';

export type Input =
  // Virtual time becomes `ns` (never earlier than it is) and then passes at `multiplier`
  // nanoseconds an instruction, 32.32 fixed point, at least 1. Wakes timers that came due.
  | { readonly kind: 'clock-step'; readonly ns: VirtualNs; readonly multiplier: bigint }
  | { readonly kind: 'net-rx'; readonly nic: number; readonly frame: Uint8Array }
  | { readonly kind: 'serial-rx'; readonly port: SerialPortName; readonly bytes: Uint8Array }
  // Modem lines and break condition as seen on the wire.
  | {
      readonly kind: 'serial-line';
      readonly port: SerialPortName;
      readonly cts: boolean;
      readonly dsr: boolean;
      readonly dcd: boolean;
      readonly ri: boolean;
    }
  | { readonly kind: 'serial-break'; readonly port: SerialPortName }
  | {
      readonly kind: 'disk-completion';
      readonly disk: number;
      readonly id: number;
      readonly status: DiskStatus;
      // The bytes read; required for 'ok' reads, ignored otherwise.
      readonly data: Uint8Array | undefined;
    }
  | { readonly kind: 'entropy'; readonly seed: Uint8Array } // 32 bytes
  | { readonly kind: 'control'; readonly action: 'reset' | 'power-button' | 'nmi' };

// The input side of devices that talk to the outside; the machine routes inputs by index or name.
export interface NetEndpoint {
  receive(frame: Uint8Array): void;
}
export interface SerialEndpoint {
  receive(bytes: Uint8Array): void;
  // Received and not read by the guest yet: whoever feeds the line may hold more back.
  readonly waitingBytes: number;
}
export interface DiskEndpoint {
  // False: no such request is in flight (counted by the device, not an error of the guest).
  complete(id: number, status: DiskStatus, data: Uint8Array | undefined): boolean;
}
