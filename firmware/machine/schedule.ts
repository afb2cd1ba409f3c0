// Which device wants to be woken when, and the position that is.
//
// Devices are asked for their deadline only after something may have changed it (an access, an input,
// the deadline itself), and the position is computed only when the earliest deadline or the clock
// changed: the run loop comes by here on every exit.

import type { Device, VirtualNs } from '../devices/contracts.ts';
import type { Clock } from './clock.ts';
import type { Position } from './engine.ts';

export class Schedule {
  private readonly devices: readonly Device[];
  private readonly deadlines = new Map<Device, VirtualNs>();
  private readonly stale = new Set<Device>();
  private isAllStale = true;
  private dueNs: VirtualNs | undefined;
  private duePosition: Position | undefined;

  // The list may still grow until the first question.
  constructor(devices: readonly Device[]) {
    this.devices = devices;
  }

  // The guest is about to use the device, at this time.
  access(device: Device, nowNs: VirtualNs): void {
    device.advanceTo(nowNs);
    this.stale.add(device);
  }

  touchAll(): void {
    this.isAllStale = true;
  }

  clockChanged(): void {
    this.duePosition = undefined;
  }

  nextNs(): VirtualNs | undefined {
    this.refresh();
    return this.dueNs;
  }

  nextPosition(clock: Clock): Position | undefined {
    this.refresh();
    if (this.dueNs === undefined) return undefined;
    this.duePosition ??= clock.positionAt(this.dueNs);
    return this.duePosition;
  }

  // Fires what is due. Firing may make more due only later, so once is enough.
  advanceDue(nowNs: VirtualNs): void {
    const next = this.nextNs();
    if (next !== undefined && next <= nowNs) this.advanceAll(nowNs);
  }

  advanceAll(nowNs: VirtualNs): void {
    for (const device of this.devices) device.advanceTo(nowNs);
    this.isAllStale = true;
  }

  private refresh(): void {
    if (!this.isAllStale && this.stale.size === 0) return;
    const devices = this.isAllStale ? this.devices : this.stale;
    for (const device of devices) {
      const deadline = device.nextDeadlineNs();
      if (deadline === undefined) this.deadlines.delete(device);
      else this.deadlines.set(device, deadline);
    }
    this.isAllStale = false;
    this.stale.clear();
    let next: VirtualNs | undefined;
    for (const deadline of this.deadlines.values())
      if (next === undefined || deadline < next) next = deadline;
    if (next !== this.dueNs) this.duePosition = undefined;
    this.dueNs = next;
  }
}
