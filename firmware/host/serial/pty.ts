// A pseudo-terminal as a guest's serial line: any terminal program opens its path. We keep the other
// end open too, so that programs can come and go; what nobody reads waits a little and is then dropped.
import { closeSync, writeSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { openPty } from '../../../native/index.ts';
import { HostError, systemWords } from '../errors.ts';
import { type SerialLine, type SerialLineEvents, UNREAD_BYTES_MAX, Unread } from './line.ts';

/** Old text is of little use to who opens the terminal hours later; a guest with flow control waits soon. */
const UNREAD_BYTES_HIGH = 16 << 10;
/** A reader that is slow is asked again soon, one that is absent seldom. */
const RETRY_MS = { min: 4, max: 256 } as const;

export function ptyLine({ onBytes, onTaken }: SerialLineEvents): SerialLine {
  const { master, slave, path } = open();
  const reader = new ReadStream(master);
  const unread = new Unread(onTaken, UNREAD_BYTES_HIGH);
  const writer = new PtyWriter((bytes) => writeSome(master, bytes), {
    unreadBytesMax: UNREAD_BYTES_MAX,
    onPending: (bytes) => unread.wait(bytes),
  });
  reader.on('data', (bytes: Buffer) => onBytes(Uint8Array.from(bytes)));
  reader.on('error', () => {});
  let isClosed = false;
  return {
    where: path,
    write: (bytes) => writer.write(bytes),
    pause: () => void reader.pause(),
    resume: () => void reader.resume(),
    close: async () => {
      if (isClosed) return;
      isClosed = true;
      writer.close();
      reader.destroy();
      closeSync(slave);
    },
  };
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
