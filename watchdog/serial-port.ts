// The serial line of npm `serialport`, opened again after every hang-up. Decides nothing.
import { writeSync } from 'node:fs';
import { SerialPort } from 'serialport';
import { watchdog } from '../native/index.ts';
import type { ModemLines, SerialLine } from './line.ts';

export interface SerialPortOptions {
  readonly path: string;
  readonly baudRate: number;
  readonly reopenMs: number;
  /** The owner calls poll() and is not woken: what comes is read there. */
  readonly isPolled?: boolean;
}

/** What a driver holds for who has not read for a moment. */
const POLL_BYTES = 4096;

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
  private readonly polled = Buffer.alloc(POLL_BYTES);

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
   * Takes what the line has now. The port's own way takes four turns of the event loop and two of a thread
   * of a pool for each frame, fifty times a second.
   */
  poll(): void {
    const { port } = this;
    const fd = port?.isOpen ? fdOf(port) : null;
    if (port === null || fd === null) return;
    let length = 0;
    try {
      length = watchdog.terminalRead(fd, this.polled);
    } catch (error) {
      this.lost(port, (error as Error).message);
    }
    if (length > 0) this.onData(this.polled.subarray(0, length));
  }

  /**
   * Straight to the driver, which takes a frame without waiting: the port itself would write from a
   * thread of a pool, and those may all be waiting for a slow disk. Returns what was not taken.
   */
  private writeNow(port: SerialPort, bytes: Uint8Array): Uint8Array {
    const fd = fdOf(port);
    if (fd === null) return bytes;
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
    const { path, baudRate, isPolled } = this.options;
    const port = new SerialPort({ path, baudRate, autoOpen: false, hupcl: false });
    this.port = port;
    if (isPolled !== true) port.on('data', (bytes: Buffer) => this.onData(bytes));
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

function fdOf(port: SerialPort): number | null {
  const { fd } = (port.port ?? {}) as { fd?: number | null };
  return typeof fd === 'number' ? fd : null;
}
