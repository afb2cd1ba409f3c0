// The entropy device: the guest gives buffers, the machine's generator fills them.
//
// The bytes are a function of the initial seed, so they cost no log entry; how good they are is decided
// by who makes the seed.

import type { EntropySource, GuestRam, IrqLine, StateObject } from '../contracts.ts';
import { type Chain, scatter } from '../virtio/chain.ts';
import type { VirtioModel } from '../virtio/model.ts';
import { VirtioPci } from '../virtio/pci.ts';
import { DeviceType } from '../virtio/registers.ts';
import { ChaChaGenerator } from './generator.ts';

const REQUEST_QUEUE = 0;
// The device may answer with less than the buffer holds: drivers ask again. A bound keeps a request
// for gigabytes from stopping the machine for seconds.
export const REQUEST_BYTES_MAX = 4096;

export type VirtioRngOptions = {
  readonly ram: GuestRam;
  readonly intx: IrqLine;
  readonly seed: Uint8Array; // 32 bytes, part of the machine's initial state
};

export type VirtioRngState = {
  readonly generator: Uint8Array;
  readonly bytesGiven: number;
};

export class VirtioRng implements VirtioModel, EntropySource {
  readonly name = 'virtio-rng';
  readonly deviceType = DeviceType.entropy;
  readonly classCode = 0x00ff00;
  readonly features = [];
  readonly queueSizes = [8];
  readonly configSpace = new Uint8Array(0);
  readonly pci: VirtioPci;
  bytesGiven = 0;

  private readonly ram: GuestRam;
  private readonly generator: ChaChaGenerator;

  constructor({ ram, intx, seed }: VirtioRngOptions) {
    this.ram = ram;
    this.generator = new ChaChaGenerator(seed);
    this.pci = new VirtioPci({ ram, intx, model: this });
  }

  fill(into: Uint8Array): void {
    this.generator.fill(into);
  }

  serve(queue: number): void {
    this.pci.drain(queue, (chain) => this.answer(chain));
  }

  deviceReset(): void {}

  // The generator goes on: a machine switched off and on must not repeat its random numbers.
  powerReset(): void {
    this.bytesGiven = 0;
  }

  state(): VirtioRngState {
    return { generator: this.generator.state(), bytesGiven: this.bytesGiven };
  }

  restore(state: StateObject): void {
    const from = state as VirtioRngState;
    this.generator.restore(from.generator);
    this.bytesGiven = from.bytesGiven;
  }

  private answer(chain: Chain): void {
    const bytes = new Uint8Array(Math.min(chain.writableBytes, REQUEST_BYTES_MAX));
    this.generator.fill(bytes);
    scatter(this.ram, chain.writable, 0, bytes);
    this.bytesGiven += bytes.length;
    this.pci.give(REQUEST_QUEUE, chain.head, bytes.length);
  }
}
