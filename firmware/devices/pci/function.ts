// What a PCI function is to the host bridge.
//
// The host owns the configuration ports and the windows in which BARs can lie; a function owns its
// PciConfig and answers its BARs. It gets its interrupt wire from `PciHost.intx(slot)`, hands it to
// its PciConfig and afterwards only says `config.setInterrupt(level)`.

import type { StateObject, VirtualNs } from '../contracts.ts';
import type { PciConfig } from './config.ts';

export interface PciFunction {
  readonly name: string;
  readonly config: PciConfig;

  // Only for functions that do more than registers in configuration space (virtio's access window);
  // the access lies within one dword. Without them the host asks `config` directly.
  configRead?(offset: number, bytes: number): number;
  configWrite?(offset: number, bytes: number, value: number): void;

  // Accesses of 1, 2 or 4 bytes, wholly inside the BAR. The time is advanced to now.
  barRead(bar: number, offset: number, bytes: number): number;
  barWrite(bar: number, offset: number, bytes: number, value: number): void;

  // As Device; a function without timers leaves both out.
  nextDeadlineNs?(): VirtualNs | undefined;
  advanceTo?(nowNs: VirtualNs): void;

  // Without the PciConfig, which the host saves, restores and resets first.
  state(): StateObject;
  restore(state: StateObject): void;
  reset(): void;
}
