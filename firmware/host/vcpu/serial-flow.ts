// How many serial bytes the owner gave and the guest has not taken yet, so that a line can be told to
// wait instead of filling memory.
import type { SerialPortName } from '../../devices/contracts.ts';

export type SerialBytes = Readonly<Partial<Record<SerialPortName, number>>>;

const PORTS: readonly SerialPortName[] = ['com1', 'com2', 'console'];

export class SerialFlow {
  private readonly held: Partial<Record<SerialPortName, number>> = {};

  given(port: SerialPortName, bytes: number): void {
    this.held[port] = (this.held[port] ?? 0) + bytes;
  }

  /** What was taken (or dropped) since the last time; `left`: what a role still keeps. */
  taken(left: (port: SerialPortName) => number): SerialBytes | undefined {
    let taken: SerialBytes | undefined;
    for (const port of PORTS) {
      const before = this.held[port] ?? 0;
      if (before === 0) continue;
      const now = left(port);
      if (now === before) continue;
      this.held[port] = now;
      taken = { ...taken, [port]: before - now };
    }
    return taken;
  }
}
