// What goes into a machine, what its slices end with, and what its state is.

import type {
  DiskEndpoint,
  GuestRam,
  NetEndpoint,
  OutputSink,
  SerialEndpoint,
  StateObject,
  VirtualClock,
} from '../devices/contracts.ts';
import type { PciHost } from '../devices/pci/host.ts';
import type { ClockState } from './clock.ts';
import type { Engine } from './engine.ts';
import type { EntropyState } from './entropy.ts';
import type { MemoryBanks } from './memory-banks.ts';

export type SliceEnd = 'limit' | 'kick' | 'open' | 'idle' | 'stopped';
export type SlicePrecision = 'exact' | 'near';
export type StopReason =
  | { readonly kind: 'reset' | 'off' | 'triple-fault' }
  | { readonly kind: 'debug-exit'; readonly code: number };

// What a machine has beside the fixed PC: PCI functions, and their ends towards the world.
export type Endpoints = {
  readonly nics: readonly NetEndpoint[];
  readonly disks: readonly DiskEndpoint[];
  readonly console: SerialEndpoint | undefined;
};
export type PlugContext = {
  readonly pci: PciHost;
  readonly ram: GuestRam;
  readonly clock: VirtualClock;
  // 32 bytes from the machine's generator, to seed one inside a device.
  readonly drawSeed: () => Uint8Array;
  readonly output: OutputSink;
};

export type MachineOptions = {
  readonly engine: Engine;
  // All of guest RAM, shared with the engine.
  readonly memory: MemoryBanks;
  readonly output: OutputSink;
  // Seconds since 1970 at virtual time zero.
  readonly epochSeconds: number;
  // 32 bytes: RDRAND and virtio-rng start from here.
  readonly entropySeed: Uint8Array;
  // Nanoseconds a position until the first clock step, 32.32 fixed point.
  readonly multiplier: bigint;
  readonly plug: ((context: PlugContext) => Endpoints) | undefined;
};

export type MachineState = {
  readonly version: number;
  readonly engineKind: string;
  readonly engine: Uint8Array;
  readonly ramBytes: number;
  readonly clock: ClockState;
  readonly entropy: EntropyState;
  readonly deliveries: number; // interrupts delivered at this position
  readonly stopReason: StopReason | null;
  readonly bus: { readonly openBusReads: number; readonly openBusWrites: number };
  readonly ramRefused: number;
  readonly devices: StateObject;
};
