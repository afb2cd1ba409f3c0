// A serial port of this board as a guest's line. Rate, frame, break and DTR are what the guest sets; RTS and CTS
// are the kernel's, which holds back what nobody reads and waits for who is not ready. One that is lost (an adapter
// pulled out) is opened anew under its name, with the same settings.
import { SerialPort } from 'serialport';
import { HostError, systemWords } from '../errors.ts';
import type { LineSettings } from './guest-lines.ts';
import { type SerialLine, type SerialLineEvents, UNREAD_BYTES_MAX, Unread } from './line.ts';

const REOPEN_MS = 250;
/** Until the guest says otherwise: what a 16550 is set to by most. */
const FRAME_DEFAULT = { baudRate: 9600, dataBits: 8, parity: 'none', stopBits: 1 } as const;

type Frame = Pick<LineSettings, 'parity'> & {
  readonly baudRate: number;
  readonly dataBits: 5 | 6 | 7 | 8;
  readonly stopBits: 1 | 2;
};

/** `isHalfDuplex`: the guest's RTS turns a transmitter on, and no RTS or CTS holds anything back. */
export async function portLine(
  path: string,
  isHalfDuplex: boolean,
  events: SerialLineEvents,
): Promise<SerialLine> {
  const line = new PortLine(path, isHalfDuplex, events);
  try {
    await line.open();
  } catch (error) {
    throw new HostError('E_SERIAL', `serial port ${path}: ${systemWords(error)}`);
  }
  return line;
}

class PortLine implements SerialLine {
  readonly where: string;
  trouble: string | null = null;
  private readonly isHalfDuplex: boolean;
  private readonly events: SerialLineEvents;
  private readonly unread: Unread;
  private port: SerialPort | undefined;
  private frame: Frame = FRAME_DEFAULT;
  private lines = { dtr: true, rts: true, brk: false };
  /** One setting after the other. */
  private settling: Promise<void> = Promise.resolve();
  /** What the guest sent while the port was away. */
  private waiting: Uint8Array = new Uint8Array(0);
  private isPaused = false;
  private isClosed = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(path: string, isHalfDuplex: boolean, events: SerialLineEvents) {
    this.where = path;
    this.isHalfDuplex = isHalfDuplex;
    this.events = events;
    this.unread = new Unread(events.onTaken);
  }

  async open(): Promise<void> {
    const rtscts = !this.isHalfDuplex;
    const options = { path: this.where, ...this.frame, rtscts, hupcl: false, autoOpen: false };
    const port = new SerialPort(options);
    await done((then) => port.open(then));
    if (this.isClosed) return await done((then) => port.close(then));
    this.port = port;
    port.on('data', (bytes: Buffer) => this.events.onBytes(Uint8Array.from(bytes)));
    port.on('drain', () => this.unread.wait(0));
    port.on('error', (error: Error) => this.lost(port, error));
    port.on('close', (error: Error | null) => this.lost(port, error ?? new Error('closed')));
    if (this.isPaused) port.pause();
    this.setLines(port);
    const { waiting } = this;
    this.waiting = new Uint8Array(0);
    if (waiting.length > 0) this.write(waiting);
    else this.unread.wait(0);
  }

  write(bytes: Uint8Array): void {
    const { port } = this;
    const unread = port?.writableLength ?? this.waiting.length;
    const taken = bytes.subarray(0, Math.max(0, UNREAD_BYTES_MAX - unread));
    if (taken.length === 0) return;
    if (port === undefined) {
      this.waiting = Buffer.concat([this.waiting, taken]);
      return;
    }
    port.write(Buffer.from(taken), (error) => {
      if (error) this.lost(port, error);
    });
    if (port.writableLength > 0) this.unread.wait(port.writableLength);
  }

  pause(): void {
    this.isPaused = true;
    this.port?.pause();
  }

  resume(): void {
    this.isPaused = false;
    this.port?.resume();
  }

  set({ baud, dataBits, parity, stopBits, sendBreak, dtr, rts }: LineSettings): void {
    const frame = { baudRate: baud, dataBits, parity, stopBits } as Frame;
    this.settling = this.settling.then(() => this.settle(frame, { dtr, rts, brk: sendBreak }));
  }

  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.timer);
    await this.settling;
    const { port } = this;
    this.port = undefined;
    if (port?.isOpen) await done((then) => port.close(then)).catch(() => {});
  }

  private async settle(frame: Frame, lines: PortLine['lines']): Promise<void> {
    const before = this.frame;
    this.frame = frame;
    this.lines = lines;
    const { port } = this;
    if (port === undefined || this.isClosed) return;
    const { baudRate } = frame;
    const isSameFrame =
      frame.dataBits === before.dataBits &&
      frame.parity === before.parity &&
      frame.stopBits === before.stopBits;
    try {
      if (!isSameFrame) await this.openAnew(port);
      else if (baudRate !== before.baudRate) await done((then) => port.update({ baudRate }, then));
      if (this.port === port) this.setLines(port);
    } catch (error) {
      this.lost(port, error as Error);
    }
  }

  /** A frame can only be chosen when a port is opened. What was said before leaves as it was said. */
  private async openAnew(port: SerialPort): Promise<void> {
    await done((then) => port.drain(then));
    if (this.port !== port) return;
    this.port = undefined;
    await done((then) => port.close(then));
    try {
      await this.open();
    } catch (error) {
      this.away(error as Error);
    }
  }

  private setLines(port: SerialPort): void {
    const { dtr, rts, brk } = this.lines;
    const lines = this.isHalfDuplex ? { dtr, rts, brk } : { dtr, brk };
    // Some adapters, and all pseudo-terminals, have no such lines.
    port.set(lines, () => {});
  }

  private lost(port: SerialPort, error: Error): void {
    if (this.isClosed || this.port !== port) return;
    this.port = undefined;
    if (port.isOpen) port.close(() => {});
    this.away(error);
    this.events.onNotice?.(`is lost: ${this.trouble}`);
  }

  private away(error: Error): void {
    this.trouble = `serial port ${this.where}: ${systemWords(error)}`;
    this.unread.nobody();
    this.timer = setTimeout(() => void this.openAgain(), REOPEN_MS);
    this.timer.unref();
  }

  private async openAgain(): Promise<void> {
    try {
      await this.open();
    } catch (error) {
      return this.away(error as Error);
    }
    if (this.isClosed) return;
    this.trouble = null;
    this.events.onNotice?.(`is ${this.where}`);
  }
}

function done(work: (then: (error: Error | null | undefined) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    work((error) => (error ? reject(error) : resolve()));
  });
}
