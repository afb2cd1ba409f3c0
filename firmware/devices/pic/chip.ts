// One 8259A interrupt controller.
//
// Eight pins, each edge- or level-triggered. A request stays only while its pin is high: an edge
// is remembered, but a pin that falls before the acknowledge takes its request back, as on the
// real chip. The chip has priorities (rotatable), a mask, in-service bits, and from these derives
// one output.

import type { StateObject } from '../contracts.ts';
import { Icw1, Icw4, Ocw2Command, Ocw3, POLL_PENDING, SPURIOUS_LEVEL } from './registers.ts';

export type ChipState = {
  readonly pins: number;
  readonly edges: number;
  readonly mask: number;
  readonly inService: number;
  readonly levelPins: number;
  readonly lowestPriority: number;
  readonly vectorBase: number;
  readonly icw3: number;
  readonly awaitedIcw: number;
  readonly needsIcw4: boolean;
  readonly isSingle: boolean;
  readonly allLevel: boolean;
  readonly autoEoi: boolean;
  readonly rotateInAutoEoi: boolean;
  readonly specialMask: boolean;
  readonly fullyNested: boolean;
  readonly readsInService: boolean;
  readonly pollNext: boolean;
};

const POWER_ON: ChipState = {
  pins: 0,
  edges: 0,
  mask: 0xff,
  inService: 0,
  levelPins: 0,
  lowestPriority: 7,
  vectorBase: 0,
  icw3: 0,
  awaitedIcw: 0,
  needsIcw4: false,
  isSingle: false,
  allLevel: false,
  autoEoi: false,
  rotateInAutoEoi: false,
  specialMask: false,
  fullyNested: false,
  readsInService: false,
  pollNext: false,
};

type Writable<T> = { -readonly [K in keyof T]: T[K] };

export class Chip {
  private s: Writable<ChipState> = { ...POWER_ON };
  // Pins of the master that are slaves: special fully nested mode lets them in again.
  private readonly cascadePins: number;

  constructor(cascadePins: number) {
    this.cascadePins = cascadePins;
  }

  setPin(level: number, isHigh: boolean): void {
    const bit = 1 << level;
    if (isHigh && (this.s.pins & bit) === 0) {
      this.s.pins |= bit;
      this.s.edges |= bit;
    } else if (!isHigh) {
      this.s.pins &= ~bit;
      this.s.edges &= ~bit;
    }
  }

  // The level to be delivered now, or -1.
  get pending(): number {
    const requests = this.requests & ~this.s.mask;
    if (requests === 0) return -1;
    const blocking = this.s.specialMask ? this.s.inService & ~this.s.mask : this.s.inService;
    for (let i = 1; i <= 8; i++) {
      const level = (this.s.lowestPriority + i) & 7;
      const bit = 1 << level;
      const isBlocked = (blocking & bit) !== 0;
      if (isBlocked && !(this.s.fullyNested && (this.cascadePins & bit) !== 0)) return -1;
      if ((requests & bit) !== 0) return level;
      if (isBlocked) return -1;
    }
    return -1;
  }

  get vectorBase(): number {
    return this.s.vectorBase;
  }

  get levelPins(): number {
    return this.s.levelPins;
  }

  set levelPins(pins: number) {
    this.s.levelPins = pins;
  }

  // The acknowledge cycle: answers the level and puts it in service.
  acknowledge(): number {
    const level = this.pending;
    if (level < 0) return SPURIOUS_LEVEL;
    this.s.edges &= ~(1 << level);
    if (!this.s.autoEoi) this.s.inService |= 1 << level;
    else if (this.s.rotateInAutoEoi) this.s.lowestPriority = level;
    return level;
  }

  read(offset: number): number {
    if (this.s.pollNext) {
      this.s.pollNext = false;
      return this.pending < 0 ? SPURIOUS_LEVEL : POLL_PENDING | this.acknowledge();
    }
    if (offset === 1) return this.s.mask;
    return this.s.readsInService ? this.s.inService : this.requests;
  }

  write(offset: number, value: number): void {
    if (offset === 1) this.writeData(value);
    else if ((value & Icw1.is) !== 0) this.startInitialisation(value);
    else if ((value & Ocw3.is) !== 0) this.writeOcw3(value);
    else this.writeOcw2(value >> 5, value & 7);
  }

  state(): ChipState {
    return { ...this.s };
  }

  restore(state: StateObject): void {
    this.s = { ...POWER_ON, ...(state as ChipState) };
  }

  reset(): void {
    this.s = { ...POWER_ON };
  }

  private get requests(): number {
    const level = this.s.allLevel ? 0xff : this.s.levelPins;
    return (this.s.pins & level) | (this.s.edges & ~level);
  }

  private startInitialisation(icw1: number): void {
    const s = this.s;
    s.edges = 0;
    s.mask = 0;
    s.inService = 0;
    s.lowestPriority = 7;
    s.autoEoi = false;
    s.rotateInAutoEoi = false;
    s.specialMask = false;
    s.fullyNested = false;
    s.readsInService = false;
    s.pollNext = false;
    s.needsIcw4 = (icw1 & Icw1.needIcw4) !== 0;
    s.isSingle = (icw1 & Icw1.single) !== 0;
    s.allLevel = (icw1 & Icw1.levelTriggered) !== 0;
    s.awaitedIcw = 2;
  }

  private writeData(value: number): void {
    const s = this.s;
    switch (s.awaitedIcw) {
      case 2:
        s.vectorBase = value & 0xf8;
        s.awaitedIcw = s.isSingle ? (s.needsIcw4 ? 4 : 0) : 3;
        return;
      case 3:
        s.icw3 = value;
        s.awaitedIcw = s.needsIcw4 ? 4 : 0;
        return;
      case 4:
        s.autoEoi = (value & Icw4.autoEoi) !== 0;
        s.fullyNested = (value & Icw4.fullyNested) !== 0;
        s.awaitedIcw = 0;
        return;
      default:
        s.mask = value;
    }
  }

  private writeOcw3(value: number): void {
    if ((value & Ocw3.enableSpecialMask) !== 0)
      this.s.specialMask = (value & Ocw3.specialMask) !== 0;
    if ((value & Ocw3.poll) !== 0) this.s.pollNext = true;
    else if ((value & Ocw3.readRegister) !== 0)
      this.s.readsInService = (value & Ocw3.readIsr) !== 0;
  }

  private writeOcw2(command: number, level: number): void {
    const s = this.s;
    switch (command) {
      case Ocw2Command.clearRotateInAutoEoi:
        s.rotateInAutoEoi = false;
        return;
      case Ocw2Command.setRotateInAutoEoi:
        s.rotateInAutoEoi = true;
        return;
      case Ocw2Command.nonSpecificEoi:
      case Ocw2Command.rotateOnNonSpecificEoi: {
        const highest = this.highestInService();
        if (highest < 0) return;
        s.inService &= ~(1 << highest);
        if (command === Ocw2Command.rotateOnNonSpecificEoi) s.lowestPriority = highest;
        return;
      }
      case Ocw2Command.specificEoi:
      case Ocw2Command.rotateOnSpecificEoi:
        s.inService &= ~(1 << level);
        if (command === Ocw2Command.rotateOnSpecificEoi) s.lowestPriority = level;
        return;
      case Ocw2Command.setPriority:
        s.lowestPriority = level;
        return;
      default:
    }
  }

  // A non-specific EOI in special mask mode does not see masked in-service bits.
  private highestInService(): number {
    const s = this.s;
    const candidates = s.specialMask ? s.inService & ~s.mask : s.inService;
    for (let i = 1; i <= 8; i++) {
      const level = (s.lowestPriority + i) & 7;
      if ((candidates & (1 << level)) !== 0) return level;
    }
    return -1;
  }
}
