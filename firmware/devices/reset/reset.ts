// The ways a PC guest asks for a reset, and the stubs they live in: keyboard controller (0x60/0x64),
// system control port A (0x92), chipset reset register (0xCF9, wired through the PCI host).
//
// There is no keyboard. The controller's status says "output full" for ever, input buffer empty:
// probing drivers fail to drain it and give up at once, and a guest that waits for the input buffer
// before it sends the reset command does not wait.

import type { Device, StateObject } from '../contracts.ts';

const DATA_PORT = 0x60;
const COMMAND_PORT = 0x64;
const SYSTEM_PORT_A = 0x92;

const STATUS_OUTPUT_FULL = 0x01;
const NO_DATA = 0xff;
// 0xF0..0xFF pulse the output lines whose bit is zero; line 0 is the CPU's reset.
const COMMAND_PULSE = 0xf0;
const COMMAND_WRITE_OUTPUT = 0xd1;

const PortA = { fastReset: 0x01, a20: 0x02 } as const;
const ResetControl = { cpu: 0x04, writable: 0x0e } as const;

export type ResetState = {
  readonly awaitsOutputByte: boolean;
  readonly portA: number;
  readonly resetControl: number;
};

export class ResetPorts implements Device {
  readonly name = 'reset';
  readonly ports = [
    { base: DATA_PORT, count: 1 },
    { base: COMMAND_PORT, count: 1 },
    { base: SYSTEM_PORT_A, count: 1 },
  ];

  // Port 0xCF9 for the PCI host.
  readonly register = {
    read: (): number => this.resetControl,
    write: (value: number): void => this.writeResetControl(value),
  };

  private readonly onReset: () => void;
  private awaitsOutputByte = false;
  private portA: number = PortA.a20;
  private resetControl = 0;

  constructor(options: { readonly onReset: () => void }) {
    this.onReset = options.onReset;
  }

  readPort(port: number): number {
    if (port === COMMAND_PORT) return STATUS_OUTPUT_FULL;
    return port === SYSTEM_PORT_A ? this.portA : NO_DATA;
  }

  writePort(port: number, _bytes: number, value: number): void {
    if (port === SYSTEM_PORT_A) {
      const isRising = (value & ~this.portA & PortA.fastReset) !== 0;
      this.portA = value | PortA.a20; // address line 20 is always open
      if (isRising) this.onReset();
    } else if (port === COMMAND_PORT) {
      this.awaitsOutputByte = value === COMMAND_WRITE_OUTPUT;
      if (value >= COMMAND_PULSE && (value & 1) === 0) this.onReset();
    } else if (this.awaitsOutputByte) {
      this.awaitsOutputByte = false;
      if ((value & 1) === 0) this.onReset(); // output port bit 0: reset, active low
    }
  }

  nextDeadlineNs(): undefined {
    return undefined;
  }
  advanceTo(): void {}

  state(): ResetState {
    return {
      awaitsOutputByte: this.awaitsOutputByte,
      portA: this.portA,
      resetControl: this.resetControl,
    };
  }

  restore(state: StateObject): void {
    const from = state as ResetState;
    this.awaitsOutputByte = from.awaitsOutputByte;
    this.portA = from.portA;
    this.resetControl = from.resetControl;
  }

  reset(): void {
    this.awaitsOutputByte = false;
    this.portA = PortA.a20;
    this.resetControl = 0;
  }

  private writeResetControl(value: number): void {
    const isRising = (value & ~this.resetControl & ResetControl.cpu) !== 0;
    this.resetControl = value & ResetControl.writable;
    if (isRising) this.onReset();
  }
}
