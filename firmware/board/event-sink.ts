// Events as lines into a file or to standard output, without ever waiting for it: a pipe nobody reads
// must not stop a board. What does not fit in the queue is dropped and counted, and the next line that
// gets through says how many.
import { closeSync, openSync, write } from 'node:fs';

const QUEUE_BYTES_MAX = 1 << 20;

export class EventSink {
  dropped = 0;
  /** The last refusal of the system; null: all is well. */
  trouble: string | null = null;
  private readonly fd: number;
  private readonly ownsFd: boolean;
  private queue: string[] = [];
  private bytes = 0;
  private isWriting = false;
  private droppedTold = 0;
  private onIdle: (() => void)[] = [];

  /** Appends; throws a system error when the file cannot be had. */
  static toFile(path: string): EventSink {
    return new EventSink(openSync(path, 'a', 0o640), true);
  }

  static toDescriptor(fd: number): EventSink {
    return new EventSink(fd, false);
  }

  private constructor(fd: number, ownsFd: boolean) {
    this.fd = fd;
    this.ownsFd = ownsFd;
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
    if (this.ownsFd && !this.isWriting) closeSync(this.fd);
  }

  private writeNext(rest?: Buffer): void {
    const bytes = rest ?? Buffer.from(this.queue.join(''));
    if (rest === undefined) {
      this.queue = [];
      this.bytes = 0;
    }
    if (bytes.length === 0) {
      this.isWriting = false;
      for (const idle of this.onIdle.splice(0)) idle();
      return;
    }
    this.isWriting = true;
    write(this.fd, bytes, (error, count) => {
      // EAGAIN: a pipe that is full and does not block; later.
      if (error?.code === 'EAGAIN') {
        setTimeout(() => this.writeNext(bytes), 20).unref();
        return;
      }
      this.trouble = error?.message ?? null;
      if (error !== null) this.dropped += 1;
      this.writeNext(error === null && count < bytes.length ? bytes.subarray(count) : undefined);
    });
  }
}
