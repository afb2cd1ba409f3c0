// The fixed part of the PC: which devices every machine has, and which wire goes where.

import { PmTimer } from '../devices/acpi-pm/acpi-pm.ts';
import type { Device, IrqLine, OutputSink } from '../devices/contracts.ts';
import { DebugPorts } from '../devices/debug/debug.ts';
import { PCI_IRQS, PciHost } from '../devices/pci/host.ts';
import { Pic } from '../devices/pic/pic.ts';
import { Pit } from '../devices/pit/pit.ts';
import { ResetPorts } from '../devices/reset/reset.ts';
import { Rtc } from '../devices/rtc/rtc.ts';
import { COM1, COM2 } from '../devices/uart/registers.ts';
import { Uart } from '../devices/uart/uart.ts';
import { cmosPresets } from './cmos.ts';

export type PcOptions = {
  readonly ramBytes: number;
  readonly epochSeconds: number;
  readonly intr: IrqLine;
  readonly output: OutputSink;
  readonly onReset: () => void;
  readonly onDebugExit: (code: number) => void;
};

export type Pc = {
  readonly pic: Pic;
  readonly pci: PciHost;
  readonly com1: Uart;
  readonly com2: Uart;
  readonly rtc: Rtc;
  // All of them; the interrupt controller last, so that its saved pins overrule what the others
  // drive while they are restored.
  readonly devices: readonly Device[];
};

export function buildPc(options: PcOptions): Pc {
  const { intr, output } = options;
  const levelTriggered = PCI_IRQS.reduce((mask, irq) => mask | (1 << irq), 0);
  const pic = new Pic({ intr, levelTriggered });
  const reset = new ResetPorts({ onReset: options.onReset });
  const pci = new PciHost({
    irqLine: (irq) => pic.line(irq),
    resetRegister: reset.register,
  });
  const com1 = new Uart({ name: 'com1', port: COM1.port, irq: pic.line(COM1.irq), output });
  const com2 = new Uart({ name: 'com2', port: COM2.port, irq: pic.line(COM2.irq), output });
  const pit = new Pit({ irq: pic.line(0) });
  const rtc = new Rtc({
    irq: pic.line(8),
    epochSeconds: options.epochSeconds,
    presets: cmosPresets(options.ramBytes),
  });
  const debug = new DebugPorts({ onExit: options.onDebugExit });
  const devices = [pit, rtc, com1, com2, new PmTimer(), reset, debug, pci, pic];
  return { pic, pci, com1, com2, rtc, devices };
}
