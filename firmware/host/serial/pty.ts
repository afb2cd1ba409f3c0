// A pseudo-terminal as a guest's serial line: any terminal program opens its path. We keep the other
// end open too, so that programs can come and go; what nobody reads waits a little and is then dropped. A getty or
// whoever hangs up the line hangs up our hold of it as well: it is taken again, under the same path if that can be.
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { isatty, ReadStream } from 'node:tty';
import { makeRawTerminal, openPty } from '../../../native/index.ts';
import { HostError, systemWords } from '../errors.ts';
import { type SerialLine, type SerialLineEvents, UNREAD_BYTES_MAX, Unread } from './line.ts';

/** How soon a line that was hung up is noticed, and one that is lost is opened anew. */
const LOOK_MS = 250;
/** Old text is of little use to who opens the terminal hours later; a guest with flow control waits soon. */
const UNREAD_BYTES_HIGH = 16 << 10;
/** A reader that is slow is asked again soon, one that is absent seldom. */
const RETRY_MS = { min: 4, max: 256 } as const;

/** Throws a HostError: one clear line. */
export function ptyLine(events: SerialLineEvents): SerialLine {
  const line = new PtyLine(events);
  line.begin();
  return line;
}

/** One pseudo-terminal, until it is hung up. */
interface End {
  readonly path: string;
  readonly reader: ReadStream;
  readonly writer: PtyWriter;
  slave: number;
}

class PtyLine implements SerialLine {
  trouble: string | null = null;
  private readonly events: SerialLineEvents;
  private readonly unread: Unread;
  private end: End | undefined;
  private isPaused = false;
  private isClosed = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(events: SerialLineEvents) {
    this.events = events;
    this.unread = new Unread(events.onTaken, UNREAD_BYTES_HIGH);
  }

  /** Throws where it cannot be had. */
  begin(): void {
    this.end = this.open();
    this.lookLater();
  }

  get where(): string | undefined {
    return this.end?.path;
  }

  write(bytes: Uint8Array): void {
    this.end?.writer.write(bytes);
  }

  pause(): void {
    this.isPaused = true;
    this.end?.reader.pause();
  }

  resume(): void {
    this.isPaused = false;
    this.end?.reader.resume();
  }

  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.timer);
    this.drop();
  }

  private open(): End {
    const { master, slave, path } = open();
    const reader = new ReadStream(master);
    const tryWrite = (bytes: Uint8Array): number => {
      try {
        return writeSome(master, bytes);
      } catch (error) {
        this.lost(reader, error);
        return bytes.length;
      }
    };
    const onPending = (bytes: number) => {
      // The last word of one that was just lost says nothing of a reader.
      if (this.end?.writer === writer) this.unread.wait(bytes);
    };
    const writer: PtyWriter = new PtyWriter(tryWrite, {
      unreadBytesMax: UNREAD_BYTES_MAX,
      onPending,
    });
    reader.on('data', (bytes: Buffer) => this.events.onBytes(Uint8Array.from(bytes)));
    reader.on('error', (error) => this.lost(reader, error));
    reader.on('close', () => this.lost(reader, new Error('closed')));
    if (this.isPaused) reader.pause();
    return { path, reader, writer, slave };
  }

  private drop(): void {
    const { end } = this;
    this.end = undefined;
    if (end === undefined) return;
    end.writer.close();
    end.reader.destroy();
    closeSync(end.slave);
  }

  /** Somebody hung it up: programs that had it open must open the next one. */
  private lost(reader: ReadStream, error: unknown): void {
    if (this.isClosed || this.end?.reader !== reader) return;
    this.trouble = `pseudo-terminal ${this.where}: ${systemWords(error)}`;
    this.events.onNotice?.(`is lost: ${this.trouble}`);
    this.drop();
    this.unread.nobody();
  }

  private lookLater(): void {
    this.timer = setTimeout(() => {
      this.look();
      this.lookLater();
    }, LOOK_MS);
    this.timer.unref();
  }

  private look(): void {
    const { end } = this;
    try {
      if (end === undefined) {
        this.end = this.open();
        this.trouble = null;
        this.unread.wait(0);
      } else if (!isatty(end.slave)) {
        takeAgain(end);
      } else return;
      this.events.onNotice?.(`is ${this.where}`);
    } catch (error) {
      if (end !== undefined) this.lost(end.reader, error);
    }
  }
}

/** Hung up, it is as it was when it was new: not raw. */
function takeAgain(end: End): void {
  const slave = openSync(end.path, constants.O_RDWR | constants.O_NOCTTY);
  closeSync(end.slave);
  end.slave = slave;
  makeRawTerminal(slave);
}

interface PtyWriterOptions {
  /** Beside what the terminal itself buffers; beyond it bytes are dropped. @default PENDING_BYTES_MAX */
  readonly unreadBytesMax?: number;
  /** How much waits, after each write and each try. */
  readonly onPending?: (bytes: number) => void;
}

const PENDING_BYTES_MAX = 64 << 10;

/** Node can only write to a terminal and wait; this one writes what fits and tries again. */
export class PtyWriter {
  dropped = 0;
  private readonly tryWrite: (bytes: Uint8Array) => number;
  private readonly options: PtyWriterOptions;
  private pending: Uint8Array = new Uint8Array(0);
  private timer: NodeJS.Timeout | undefined;
  private retryMs: number = RETRY_MS.min;

  /** `tryWrite` answers how many bytes fitted. */
  constructor(tryWrite: (bytes: Uint8Array) => number, options: PtyWriterOptions = {}) {
    this.tryWrite = tryWrite;
    this.options = options;
  }

  write(bytes: Uint8Array): void {
    const room = (this.options.unreadBytesMax ?? PENDING_BYTES_MAX) - this.pending.length;
    this.dropped += Math.max(0, bytes.length - room);
    if (room > 0) this.pending = Buffer.concat([this.pending, bytes.subarray(0, room)]);
    if (this.timer === undefined) this.flush();
    else this.options.onPending?.(this.pending.length);
  }

  close(): void {
    clearTimeout(this.timer);
    this.pending = new Uint8Array(0);
  }

  private flush(): void {
    this.timer = undefined;
    const written = this.tryWrite(this.pending);
    this.pending = this.pending.subarray(written);
    this.retryMs = written > 0 ? RETRY_MS.min : Math.min(RETRY_MS.max, this.retryMs * 2);
    this.options.onPending?.(this.pending.length);
    if (this.pending.length > 0) this.timer = setTimeout(() => this.flush(), this.retryMs);
  }
}

function writeSome(fd: number, bytes: Uint8Array): number {
  try {
    return writeSync(fd, bytes);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0;
    throw error;
  }
}

function open(): ReturnType<typeof openPty> {
  try {
    return openPty(true);
  } catch (error) {
    throw new HostError('E_PTY', `no pseudo-terminal: ${systemWords(error)}`);
  }
}
