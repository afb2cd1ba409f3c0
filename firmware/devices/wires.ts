// Wires between devices and interrupt controller.

import type { IrqLine } from './contracts.ts';

// Several sources on one wire: high as long as any source is high. PCI's shared level interrupts.
export class SharedLine {
  private readonly line: IrqLine;
  private highSources = 0;

  constructor(line: IrqLine) {
    this.line = line;
  }

  // Each call gives one more source its own end of the wire.
  source(): IrqLine {
    let isHigh = false;
    return {
      set: (level) => {
        if (level === isHigh) return;
        isHigh = level;
        this.highSources += level ? 1 : -1;
        this.line.set(this.highSources > 0);
      },
    };
  }
}
