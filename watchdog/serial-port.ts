// The serial line of npm `serialport`, opened again after every hang-up. Decides nothing.
import { writeSync } from 'node:fs';
import { SerialPort } from 'serialport';
import type { ModemLines, SerialLine } from './line.ts';

export interface SerialPortOptions {
  readonly path: string;
  readonly baudRate: number;
  readonly reopenMs: number;
}

export class SerialPortLine implements SerialLine {
  onData: (bytes: Uint8Array) => void = () => {};
  onUp: () => void = () => {};
  onDown: (why: string) => void = () => {};
  opened = 0;
  private readonly options: SerialPortOptions;
  private port: SerialPort | null = null;
  private timer: NodeJS.Timeout | null = null;
  private stopped = true;
  private modemMissing = false;

  constructor(options: SerialPortOptions) {
    this.options = options;
  }

  start(): void {
    this.stopped = false;
    this.open();
  }

  write(bytes: Uint8Array): boolean {
    const { port } = this;
    // Bytes still in the driver are older than what we have to say: the caller keeps the newest.
    if (port === null || !port.isOpen || port.writableLength > 0) return false;
    const rest = this.writeNow(port, bytes);
    // A line that was hung up may read as empty for ever; writing to it tells.
    if (rest.length > 0) {
      port.write(Buffer.from(rest), (error) => {
        if (error) this.lost(port, error.message);
      });
    }
    return true;
  }

  /**
   * Straight to the driver, which takes a frame without waiting: the port itself would write from a
   * thread of a pool, and those may all be waiting for a slow disk. Returns what was not taken.
   */
  private writeNow(port: SerialPort, bytes: Uint8Array): Uint8Array {
    const { fd } = (port.port ?? {}) as { fd?: number | null };
    if (typeof fd !== 'number') return bytes;
    try {
      return bytes.subarray(writeSync(fd, bytes));
    } catch {
      // Full, or hung up: the port's own way finds out which.
      return bytes;
    }
  }

  /** Said, and not yet taken by the driver. */
  get waitingBytes(): number {
    return this.port?.writableLength ?? 0;
  }

  modemLines(): Promise<ModemLines | null> {
    const { port } = this;
    if (port === null || !port.isOpen || this.modemMissing) return Promise.resolve(null);
    return new Promise((resolve) => {
      port.get((error, status) => {
        // A pseudo-terminal answers with an error, always.
        if (error !== null || status === undefined) this.modemMissing = true;
        resolve(error === null && status !== undefined ? status : null);
      });
    });
  }

  async stop(): Promise<void> {
    this.stopped = true;
    if (this.timer !== null) clearTimeout(this.timer);
    const { port } = this;
    this.port = null;
    if (port === null) return;
    port.removeAllListeners('close');
    if (port.isOpen) await new Promise<void>((resolve) => port.close(() => resolve()));
  }

  private open(): void {
    const { path, baudRate } = this.options;
    const port = new SerialPort({ path, baudRate, autoOpen: false, hupcl: false });
    this.port = port;
    port.on('data', (bytes: Buffer) => this.onData(bytes));
    port.on('error', (error: Error) => this.lost(port, error.message));
    port.on('close', (error: Error | null) => this.lost(port, error?.message ?? 'closed'));
    port.open((error) => {
      if (this.stopped) return;
      if (error !== null) return this.lost(port, error.message);
      this.opened += 1;
      this.modemMissing = false;
      this.onUp();
    });
  }

  private lost(port: SerialPort, why: string): void {
    if (this.stopped || this.port !== port) return;
    this.port = null;
    if (port.isOpen) port.close(() => {});
    this.onDown(why);
    this.timer = setTimeout(() => this.open(), this.options.reopenMs);
  }
}
