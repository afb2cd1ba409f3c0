// One split virtqueue (VIRTIO 1.1, 2.6), the device's side.
//
//   descriptor table   the guest writes: buffers, linked into chains
//   driver area        the guest writes: ring of chain heads, index of the next it will add
//   device area        we write: ring of heads we are done with and how many bytes we wrote
//
// Both indices only grow (modulo 2^16). We keep our own two positions; the guest's index is
// believed only after a look at its distance. The rings are checked to lie in memory when the queue
// is enabled; memory never shrinks, so later accesses inside them cannot fail.
//
// Without VIRTIO_F_EVENT_IDX, on purpose: it saves notifications while a device is busy, and ours
// serves every notification to its end before the guest runs on, so there are none to save. For
// interrupts the driver's no-interrupt flag does the same work. What is left out is a second way to
// say things, written by the guest and to be believed by us.

import type { GuestRam, StateObject } from '../contracts.ts';
import { type BrokenReason, type ChainResult, known, readChain } from './chain.ts';
import {
  DESCRIPTOR_BYTES,
  DEVICE_RING_ENTRY_BYTES,
  DRIVER_RING_ENTRY_BYTES,
  DRIVER_RING_NO_INTERRUPT,
  RING,
} from './registers.ts';

// A 64-bit register kept as the guest wrote it, whatever it wrote.
export type Halves = { low: number; high: number };

export type QueueState = {
  readonly size: number;
  readonly isEnabled: boolean;
  readonly descriptors: Halves;
  readonly driverArea: Halves;
  readonly deviceArea: Halves;
  readonly taken: number;
  readonly given: number;
};

export class Virtqueue {
  readonly sizeMax: number;
  // Registers of the guest; frozen by the transport once the queue is enabled.
  size: number;
  descriptors: Halves = { low: 0, high: 0 };
  driverArea: Halves = { low: 0, high: 0 };
  deviceArea: Halves = { low: 0, high: 0 };

  private readonly ram: GuestRam;
  private enabled = false;
  private taken = 0; // chains taken from the driver area, modulo 2^16
  private given = 0; // chains given back through the device area, modulo 2^16

  constructor(ram: GuestRam, sizeMax: number) {
    this.ram = ram;
    this.sizeMax = sizeMax;
    this.size = sizeMax;
  }

  get isEnabled(): boolean {
    return this.enabled;
  }

  // Checks what the guest has set up. Only an enabled queue may be used.
  enable(): BrokenReason | undefined {
    const { size } = this;
    if (size === 0 || size > this.sizeMax || (size & (size - 1)) !== 0) return 'queue-size';
    const areas: readonly (readonly [Halves, number, number])[] = [
      [this.descriptors, 16, size * DESCRIPTOR_BYTES],
      [this.driverArea, 2, RING.entries + size * DRIVER_RING_ENTRY_BYTES],
      [this.deviceArea, 4, RING.entries + size * DEVICE_RING_ENTRY_BYTES],
    ];
    for (const [address, alignment, bytes] of areas) {
      if (address.low % alignment !== 0 || !this.ram.has(whole(address), bytes))
        return 'queue-address';
    }
    this.enabled = true;
    return undefined;
  }

  // How many chains wait; undefined if the guest's index cannot be true.
  waiting(): number | undefined {
    const index = known(this.ram.readU16(whole(this.driverArea) + RING.index));
    const count = (index - this.taken) & 0xffff;
    return count <= this.size ? count : undefined;
  }

  // The next chain; only while some wait.
  take(isIndirectAllowed: boolean): ChainResult {
    const entry = (this.taken & (this.size - 1)) * DRIVER_RING_ENTRY_BYTES;
    const head = known(this.ram.readU16(whole(this.driverArea) + RING.entries + entry));
    this.taken = (this.taken + 1) & 0xffff;
    return readChain({
      ram: this.ram,
      table: whole(this.descriptors),
      tableEntries: this.size,
      head,
      isIndirectAllowed,
    });
  }

  // Gives a chain back, with the number of bytes written into it.
  give(head: number, bytesWritten: number): void {
    const ring = whole(this.deviceArea);
    const at = ring + RING.entries + (this.given & (this.size - 1)) * DEVICE_RING_ENTRY_BYTES;
    this.ram.writeU32(at, head);
    this.ram.writeU32(at + 4, bytesWritten);
    this.given = (this.given + 1) & 0xffff;
    this.ram.writeU16(ring + RING.index, this.given);
  }

  wantsInterrupt(): boolean {
    const flags = known(this.ram.readU16(whole(this.driverArea) + RING.flags));
    return (flags & DRIVER_RING_NO_INTERRUPT) === 0;
  }

  reset(): void {
    this.size = this.sizeMax;
    this.descriptors = { low: 0, high: 0 };
    this.driverArea = { low: 0, high: 0 };
    this.deviceArea = { low: 0, high: 0 };
    this.enabled = false;
    this.taken = 0;
    this.given = 0;
  }

  state(): QueueState {
    return {
      size: this.size,
      isEnabled: this.enabled,
      descriptors: { ...this.descriptors },
      driverArea: { ...this.driverArea },
      deviceArea: { ...this.deviceArea },
      taken: this.taken,
      given: this.given,
    };
  }

  restore(state: StateObject): void {
    const from = state as QueueState;
    this.size = from.size;
    this.descriptors = { ...from.descriptors };
    this.driverArea = { ...from.driverArea };
    this.deviceArea = { ...from.deviceArea };
    this.enabled = from.isEnabled;
    this.taken = from.taken;
    this.given = from.given;
  }
}

// Above 2^53 the low bits are lost; no such address is in memory.
function whole(address: Halves): number {
  return address.high * 2 ** 32 + address.low;
}
