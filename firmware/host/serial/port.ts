// A serial port of this board as a guest's line. Rate, frame, break and DTR are what the guest sets; RTS and CTS
// are the kernel's, which holds back what nobody reads and waits for who is not ready. One that is lost (an adapter
// pulled out) is opened anew under its name, with the same settings.
import { SerialPort } from 'serialport';
import { setSerialFrame } from '../../../native/index.ts';
import { HostError, systemWords } from '../errors.ts';
import type { LineSettings } from './guest-lines.ts';
import { type SerialLine, type SerialLineEvents, UNREAD_BYTES_MAX, Unread } from './line.ts';

const REOPEN_MS = 250;
const FRAME_KEYS = ['baud', 'dataBits', 'parity', 'stopBits'] as const;
type Frame = Pick<LineSettings, 'baud' | 'dataBits' | 'parity' | 'stopBits'>;
/** Until the guest says otherwise: what a 16550 is set to by most. */
const FRAME_DEFAULT: Frame = { baud: 9600, dataBits: 8, parity: 'none', stopBits: 1 };

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
  /** What the guest said and set, in its order: RTS that turns a transmitter off must not overtake the bytes. */
  private readonly queue: (Uint8Array | LineSettings)[] = [];
  private queuedBytes = 0;
  private isPumping = false;
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
    const options = { path: this.where, rtscts, hupcl: false, autoOpen: false };
    const port = new SerialPort({ ...options, baudRate: FRAME_DEFAULT.baud });
    await done((then) => port.open(then));
    if (this.isClosed) return await done((then) => port.close(then));
    this.port = port;
    port.on('data', (bytes: Buffer) => this.events.onBytes(Uint8Array.from(bytes)));
    port.on('drain', () => this.unread.wait(this.queuedBytes));
    port.on('error', (error: Error) => this.lost(port, error));
    port.on('close', (error: Error | null) => this.lost(port, error ?? new Error('closed')));
    if (this.isPaused) port.pause();
    this.setFrame(port);
    this.setLines(port);
    this.unread.wait(this.queuedBytes);
    void this.pump();
  }

  write(bytes: Uint8Array): void {
    const room = UNREAD_BYTES_MAX - this.queuedBytes - (this.port?.writableLength ?? 0);
    const taken = bytes.slice(0, Math.max(0, room));
    if (taken.length === 0) return;
    this.queue.push(taken);
    this.queuedBytes += taken.length;
    void this.pump();
    const unread = this.queuedBytes + (this.port?.writableLength ?? 0);
    if (unread > 0) this.unread.wait(unread);
  }

  pause(): void {
    this.isPaused = true;
    this.port?.pause();
  }

  resume(): void {
    this.isPaused = false;
    this.port?.resume();
  }

  set(settings: LineSettings): void {
    this.queue.push(settings);
    void this.pump();
  }

  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.timer);
    const { port } = this;
    this.port = undefined;
    if (port?.isOpen) await done((then) => port.close(then)).catch(() => {});
  }

  /** Stops where the port goes away, and goes on when it is back. */
  private async pump(): Promise<void> {
    if (this.isPumping) return;
    this.isPumping = true;
    for (let { port } = this; port !== undefined; port = this.port) {
      const next = this.queue.shift();
      if (next === undefined) break;
      if (next instanceof Uint8Array) this.hand(port, next);
      else await this.settle(port, next);
    }
    this.isPumping = false;
  }

  private hand(port: SerialPort, bytes: Uint8Array): void {
    this.queuedBytes -= bytes.length;
    port.write(Buffer.from(bytes), (error) => {
      if (error) this.lost(port, error);
    });
  }

  private async settle(port: SerialPort, settings: LineSettings): Promise<void> {
    const { baud, dataBits, parity, stopBits, sendBreak, dtr, rts } = settings;
    const before = this.frame;
    this.frame = { baud, dataBits, parity, stopBits };
    this.lines = { dtr, rts, brk: sendBreak };
    const isSame = FRAME_KEYS.every((key) => before[key] === this.frame[key]);
    try {
      // What was said before leaves as it was said.
      if (this.isHalfDuplex || !isSame) await done((then) => port.drain(then));
      if (this.port !== port) return;
      if (!isSame) this.setFrame(port);
      this.setLines(port);
    } catch (error) {
      this.lost(port, error as Error);
    }
  }

  private setFrame(port: SerialPort): void {
    const { baud, dataBits, parity, stopBits } = this.frame;
    const fd = port.port?.fd;
    if (typeof fd !== 'number') return;
    try {
      setSerialFrame(fd, baud, dataBits, parity, stopBits);
    } catch (error) {
      // A port that is gone is found by what reads it; one that cannot do this is still a port.
      this.events.onNotice?.(`cannot be set so: ${systemWords(error)}`);
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
