// Events as lines into a file or to standard output, without ever waiting for it: a pipe nobody reads
// must not stop a board. What does not fit in the queue is dropped and counted, and the next line that
// gets through says how many. A file that is full becomes `FILE.1`, and what was that is gone.
import { close, closeSync, fstatSync, open, openSync, rename, write } from 'node:fs';

const QUEUE_BYTES_MAX = 1 << 20;
const FILE_BYTES_MAX = 8 << 20;
const MODE = 0o640;

/** A file that is begun anew where it would grow beyond this. */
interface Rotation {
  readonly path: string;
  readonly bytesMax: number;
}

export class EventSink {
  dropped = 0;
  /** The last refusal of the system; null: all is well. */
  trouble: string | null = null;
  private fd: number;
  private readonly rotation: Rotation | null;
  private fileBytes = 0;
  private queue: string[] = [];
  private bytes = 0;
  private isWriting = false;
  private droppedTold = 0;
  private onIdle: (() => void)[] = [];

  /** Appends; throws a system error when the file cannot be had. */
  static toFile(path: string, bytesMax = FILE_BYTES_MAX): EventSink {
    return new EventSink(openSync(path, 'a', MODE), { path, bytesMax });
  }

  static toDescriptor(fd: number): EventSink {
    return new EventSink(fd, null);
  }

  private constructor(fd: number, rotation: Rotation | null) {
    this.fd = fd;
    this.rotation = rotation;
    if (rotation !== null) this.fileBytes = fstatSync(fd).size;
  }

  put(line: string): void {
    if (this.bytes + line.length > QUEUE_BYTES_MAX) {
      this.dropped += 1;
      return;
    }
    if (this.dropped > this.droppedTold) {
      const lost = this.dropped - this.droppedTold;
      this.droppedTold = this.dropped;
      this.queue.push(`${JSON.stringify({ notice: `${lost} events could not be written` })}\n`);
    }
    this.queue.push(line);
    this.bytes += line.length;
    if (!this.isWriting) this.writeNext();
  }

  /** Waits for what is queued, but not for ever. */
  async close(withinMs: number): Promise<void> {
    if (this.isWriting) {
      await new Promise<void>((resolve) => {
        this.onIdle.push(resolve);
        setTimeout(resolve, withinMs).unref();
      });
    }
    if (this.rotation !== null && !this.isWriting) closeSync(this.fd);
  }

  private writeNext(rest?: Buffer): void {
    this.isWriting = true;
    const lines = this.linesThatFit();
    if (rest !== undefined) this.write(rest);
    else if (this.queue.length === 0) this.rest();
    else if (lines === 0 && this.rotation !== null)
      this.beginAnew(this.rotation, () => this.writeNext());
    else {
      const text = this.queue.splice(0, lines).join('');
      this.bytes = Math.max(0, this.bytes - text.length);
      this.write(Buffer.from(text));
    }
  }

  private rest(): void {
    this.isWriting = false;
    for (const idle of this.onIdle.splice(0)) idle();
  }

  /** A line that no file has room for has one of its own. */
  private linesThatFit(): number {
    const { queue, rotation } = this;
    if (rotation === null) return queue.length;
    let bytes = this.fileBytes;
    const first = queue.findIndex((line) => {
      bytes += Buffer.byteLength(line);
      return bytes > rotation.bytesMax;
    });
    if (first === 0 && this.fileBytes === 0) return 1;
    return first < 0 ? queue.length : first;
  }

  private write(bytes: Buffer): void {
    write(this.fd, bytes, (error, count) => {
      // EAGAIN: a pipe that is full and does not block; later.
      if (error?.code === 'EAGAIN') {
        setTimeout(() => this.write(bytes), 20).unref();
        return;
      }
      this.trouble = error?.message ?? null;
      if (error !== null) this.dropped += 1;
      else this.fileBytes += count;
      this.writeNext(error === null && count < bytes.length ? bytes.subarray(count) : undefined);
    });
  }

  /** Where that cannot be done the file grows on, and it is tried again when as much has come again. */
  private beginAnew({ path }: Rotation, then: () => void): void {
    this.fileBytes = 0;
    rename(path, `${path}.1`, () =>
      open(path, 'a', MODE, (error, fd) => {
        if (error !== null) return then();
        close(this.fd, () => {});
        this.fd = fd;
        then();
      }),
    );
  }
}
