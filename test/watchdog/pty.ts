// The far end of a pseudo-terminal in tests: reads and writes the master without blocking.
import { closeSync, readSync, writeSync } from 'node:fs';
import { openPty } from '../../native/index.ts';
import type { SerialLine } from '../../watchdog/line.ts';

const POLL_MS = 1;

/** Also a SerialLine, so that a second SerialPath can sit at the far end. */
export class PtyEnd implements SerialLine {
  onData: (bytes: Uint8Array) => void = () => {};
  onUp: () => void = () => {};
  onDown: (why: string) => void = () => {};
  readonly slavePath: string;
  /** What passes here on its way out; tests bend it. */
  bend: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes;
  private fd: number | null;
  private readonly timer: NodeJS.Timeout;

  constructor() {
    const { master, slave, path } = openPty(true);
    // Only the line under test holds the other side: a hang-up must be one.
    closeSync(slave);
    this.fd = master;
    this.slavePath = path;
    this.timer = setInterval(() => this.poll(), POLL_MS);
  }

  write(bytes: Uint8Array): boolean {
    if (this.fd === null) return false;
    const out = this.bend(bytes);
    try {
      if (out.length > 0) writeSync(this.fd, out);
      return true;
    } catch {
      // EAGAIN: the reader is behind.
      return false;
    }
  }

  modemLines(): Promise<null> {
    return Promise.resolve(null);
  }

  stop(): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  /** Hangs up: the port at the other end is gone. */
  close(): void {
    clearInterval(this.timer);
    if (this.fd !== null) closeSync(this.fd);
    this.fd = null;
  }

  private poll(): void {
    const buffer = Buffer.alloc(4096);
    while (this.fd !== null) {
      let count = 0;
      try {
        count = readSync(this.fd, buffer);
      } catch {
        // EAGAIN: nothing there; EIO: nobody has the other side open.
        return;
      }
      if (count === 0) return;
      this.onData(Uint8Array.from(buffer.subarray(0, count)));
    }
  }
}

export async function until(
  what: string,
  condition: () => boolean,
  withinMs = 5000,
): Promise<number> {
  const begunMs = performance.now();
  while (!condition()) {
    if (performance.now() - begunMs > withinMs)
      throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return performance.now() - begunMs;
}
