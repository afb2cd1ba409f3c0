// Ports for tests and delays: a byte written to 0xF4 ends the run with it as code; ports 0x80 (power-on
// codes) and 0xED are written by guests only to let a bus cycle pass.

import type { Device, StateObject } from '../contracts.ts';

export const DEBUG_EXIT_PORT = 0xf4;
const POST_PORT = 0x80;
const DELAY_PORT = 0xed;

export type DebugState = { readonly postCode: number };

export class DebugPorts implements Device {
  readonly name = 'debug';
  readonly ports = [
    { base: DEBUG_EXIT_PORT, count: 1 },
    { base: POST_PORT, count: 1 },
    { base: DELAY_PORT, count: 1 },
  ];

  private readonly onExit: (code: number) => void;
  private postCode = 0;

  constructor(options: { readonly onExit: (code: number) => void }) {
    this.onExit = options.onExit;
  }

  readPort(port: number): number {
    return port === POST_PORT ? this.postCode : 0xff;
  }

  writePort(port: number, _bytes: number, value: number): void {
    if (port === DEBUG_EXIT_PORT) this.onExit(value);
    else if (port === POST_PORT) this.postCode = value;
  }

  nextDeadlineNs(): undefined {
    return undefined;
  }
  advanceTo(): void {}

  state(): DebugState {
    return { postCode: this.postCode };
  }

  restore(state: StateObject): void {
    this.postCode = (state as DebugState).postCode;
  }

  reset(): void {
    this.postCode = 0;
  }
}
