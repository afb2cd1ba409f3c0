// The PC's two cascaded 8259A controllers: interrupt lines 0..15 in, one INTR wire out.
//
// The machine raises lines through `line(irq)`, hears of the output through the INTR wire it
// injects, and fetches the vector with acknowledge() when the vCPU takes the interrupt.

import type { Device, IrqLine, StateObject } from '../contracts.ts';
import { Chip, type ChipState } from './chip.ts';
import { CASCADE_LEVEL, ELCR_PORT, ELCR_WRITABLE, MASTER_PORT, SLAVE_PORT } from './registers.ts';

export type PicState = {
  readonly master: ChipState;
  readonly slave: ChipState;
};

export class Pic implements Device {
  readonly name = 'pic';
  readonly ports = [
    { base: MASTER_PORT, count: 2 },
    { base: SLAVE_PORT, count: 2 },
    { base: ELCR_PORT, count: 2 },
  ];

  private readonly master = new Chip(1 << CASCADE_LEVEL);
  private readonly slave = new Chip(0);
  private readonly intr: IrqLine;
  private readonly levelTriggered: number;

  // `levelTriggered`: bit mask of the lines that firmware sets to level before the guest starts.
  constructor(options: { readonly intr: IrqLine; readonly levelTriggered: number }) {
    this.intr = options.intr;
    this.levelTriggered = options.levelTriggered;
    this.presetLevels();
  }

  line(irq: number): IrqLine {
    if (!(irq >= 0 && irq < 16) || irq === CASCADE_LEVEL)
      throw new Error(`no interrupt line ${irq}`);
    const chip = irq < 8 ? this.master : this.slave;
    return {
      set: (level) => {
        chip.setPin(irq & 7, level);
        this.update();
      },
    };
  }

  get isRaised(): boolean {
    return this.master.pending >= 0;
  }

  // The vCPU takes the interrupt: the vector, spurious if the request went away meanwhile.
  acknowledge(): number {
    const level = this.master.acknowledge();
    let vector = this.master.vectorBase + level;
    if (level === CASCADE_LEVEL) {
      vector = this.slave.vectorBase + this.slave.acknowledge();
      this.pulseCascade();
    }
    this.update();
    return vector;
  }

  readPort(port: number): number {
    if (port >= ELCR_PORT) return this.chip(port - ELCR_PORT).levelPins;
    const isSlave = port >= SLAVE_PORT;
    const value = this.chip(isSlave ? 1 : 0).read(port & 1);
    if (isSlave) this.pulseCascade();
    this.update();
    return value;
  }

  writePort(port: number, _bytes: number, value: number): void {
    if (port >= ELCR_PORT) {
      const chip = port - ELCR_PORT;
      this.chip(chip).levelPins = value & ELCR_WRITABLE[chip]!;
    } else {
      this.chip(port >= SLAVE_PORT ? 1 : 0).write(port & 1, value);
    }
    this.update();
  }

  nextDeadlineNs(): undefined {
    return undefined;
  }
  advanceTo(): void {}

  state(): PicState {
    return { master: this.master.state(), slave: this.slave.state() };
  }

  restore(state: StateObject): void {
    const from = state as PicState;
    this.master.restore(from.master);
    this.slave.restore(from.slave);
    this.intr.set(this.isRaised);
  }

  reset(): void {
    this.master.reset();
    this.slave.reset();
    this.presetLevels();
    this.intr.set(false);
  }

  private chip(index: number): Chip {
    return index === 0 ? this.master : this.slave;
  }

  private presetLevels(): void {
    this.master.levelPins = this.levelTriggered & ELCR_WRITABLE[0];
    this.slave.levelPins = (this.levelTriggered >> 8) & ELCR_WRITABLE[1];
  }

  // After the slave was acknowledged its next request must be a new edge for the master.
  private pulseCascade(): void {
    this.master.setPin(CASCADE_LEVEL, false);
  }

  private update(): void {
    this.master.setPin(CASCADE_LEVEL, this.slave.pending >= 0);
    this.intr.set(this.isRaised);
  }
}
