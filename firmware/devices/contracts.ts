// What a device is promised and what it promises: wires, clock, guest memory, what leaves and what
// enters.
//
// The machine is a pure function of its initial state and its inputs. A device answers ports and
// memory-mapped registers and is told the virtual time; everything that enters comes through
// `inject(input)` at a position, everything that leaves is an `Output`. Nothing here knows a host:
// no file, socket, timer, thread or randomness.

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

// Random bytes as the guest gets them: a generator inside the machine, seeded by its initial state.
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
  // nanoseconds a position, 32.32 fixed point, at least 1. Wakes timers that came due.
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
      // The guest's RTS turns a transmitter on (RS-485): low, it holds nothing back.
      readonly isHalfDuplex?: true;
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
  | { readonly kind: 'control'; readonly action: 'reset' | 'power-button' | 'nmi' }
  // The time of day outside, ns since 1970: what the CMOS clock follows.
  | { readonly kind: 'wall-clock'; readonly wallNs: bigint };

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
