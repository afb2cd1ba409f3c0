// What a slice leaves behind, gathered for one message: the bytes of a serial port in one piece, the
// rest one by one, each with the number of its output.

import type { DiskRequest, SerialPortName } from '../../devices/contracts.ts';
import type { ExternalOutput } from '../../lockstep/outputs.ts';
import type { OutputItem } from './messages.ts';

type SerialRun = { readonly port: SerialPortName; readonly bytes: number[]; sequence: bigint };

export class Outbox {
  private outputs: OutputItem[] = [];
  private requests: DiskRequest[] = [];
  private readonly serial = new Map<SerialPortName, SerialRun>();

  get isEmpty(): boolean {
    return this.outputs.length === 0 && this.requests.length === 0 && this.serial.size === 0;
  }

  add(output: ExternalOutput, sequence: bigint): void {
    if (output.kind !== 'serial-tx') {
      // What a line says and how it is set must keep their order.
      if (output.kind === 'serial-line') this.closeRun(output.port);
      this.outputs.push({ ...output, sequence });
      return;
    }
    const { port, byte } = output;
    const run = this.serial.get(port);
    if (run === undefined) this.serial.set(port, { port, bytes: [byte], sequence });
    else {
      run.bytes.push(byte);
      run.sequence = sequence;
    }
  }

  request(request: DiskRequest): void {
    this.requests.push(request);
  }

  take(): { outputs: OutputItem[]; requests: DiskRequest[] } {
    this.closeRuns();
    const { outputs, requests } = this;
    this.outputs = [];
    this.requests = [];
    return { outputs, requests };
  }

  /** What comes after this travels by itself. */
  closeRuns(): void {
    for (const port of [...this.serial.keys()]) this.closeRun(port);
  }

  get hasRequests(): boolean {
    return this.requests.length > 0;
  }

  private closeRun(port: SerialPortName): void {
    const run = this.serial.get(port);
    if (run === undefined) return;
    const { bytes, sequence } = run;
    this.outputs.push({ kind: 'serial-tx', port, bytes: Uint8Array.from(bytes), sequence });
    this.serial.delete(port);
  }
}
