// What a virtio device is to its transport (pci.ts), and the other way round: `VirtioPci` is handed
// in at construction, serves the queues and raises the interrupt; the model says what requests mean.

import type { StateObject } from '../contracts.ts';

export interface VirtioModel {
  readonly name: string;
  readonly deviceType: number;
  readonly classCode: number; // PCI class, 24 bits
  // Feature bits of the device itself; the transport adds its own.
  readonly features: readonly number[];
  // The largest size of each queue, powers of two.
  readonly queueSizes: readonly number[];
  // Device configuration as the guest reads it; guests cannot write it.
  readonly configSpace: Uint8Array;

  // Chains may wait on a queue: the guest notified, or the device has just become live. Called only
  // while the device is live and the queue enabled.
  serve(queue: number): void;
  // The guest reset the device: chains taken so far are no longer the device's. Identity, backlog
  // towards the host and counters stay.
  deviceReset(): void;
  // Power-on: counters too.
  powerReset(): void;

  state(): StateObject;
  restore(state: StateObject): void;
}
