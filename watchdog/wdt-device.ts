// /dev/watchdog: opening arms it, only an ordered close disarms it. Nothing here pets by itself.
// A device that cannot do what a primary needs is refused in words, and closed in order.
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { watchdog } from '../native/index.ts';

/** WDIOF_* of linux/watchdog.h. */
const OPTION = { cardReset: 0x20, setTimeout: 0x80, magicClose: 0x100, alarmOnly: 0x400 } as const;

export interface WatchdogFacts {
  readonly identity: string;
  readonly timeoutMs: number;
  /** The last start of the machine was this watchdog's doing. Null: the driver does not say. */
  readonly causedLastReset: boolean | null;
  readonly magicClose: boolean;
}

export type Armed =
  | { readonly ok: true; readonly facts: WatchdogFacts }
  | { readonly ok: false; readonly why: string };

/** What the arbiter's shell holds: the real device, or the stand-in of a bench. */
export interface Watchdog {
  arm(): Promise<Armed>;
  pet(): void;
  /** The ordered stop: disarms. */
  close(): Promise<void>;
}

export interface WdtCalls {
  open(path: string): number;
  write(fd: number, text: string): void;
  close(fd: number): void;
  support(fd: number): { options: number; identity: string };
  bootStatus(fd: number): number;
  timeoutSeconds(fd: number): number;
  setTimeoutSeconds(fd: number, seconds: number): number;
  keepAlive(fd: number): number;
}

const REAL: WdtCalls = {
  ...watchdog,
  // Never create: a board without a driver must not find a plain file there next time.
  open: (path) => openSync(path, constants.O_WRONLY),
  write: (fd, text) => void writeSync(fd, text),
  close: (fd) => closeSync(fd),
};

export interface WdtOptions {
  readonly path: string;
  readonly timeoutMs: number;
  readonly petMs: number;
  readonly calls?: WdtCalls;
}

export class WdtDevice implements Watchdog {
  private readonly options: WdtOptions;
  private readonly calls: WdtCalls;
  private fd: number | null = null;

  constructor(options: WdtOptions) {
    this.options = options;
    this.calls = options.calls ?? REAL;
  }

  arm(): Promise<Armed> {
    const { path } = this.options;
    try {
      this.fd = this.calls.open(path);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT')
        return refusal(`${path} does not exist: no driver for a watchdog here`);
      if (code === 'EBUSY') return refusal(`${path} is held by another process`);
      return refusal(`${path} cannot be opened: ${message}`);
    }
    try {
      const judged = this.judge(this.fd);
      if (!judged.ok) this.disarm();
      return Promise.resolve(judged);
    } catch (error) {
      this.disarm();
      return refusal(`${path} is no watchdog: ${(error as Error).message}`);
    }
  }

  /** Throws where it is no watchdog any more; may then be armed again. */
  pet(): void {
    if (this.fd === null) return;
    try {
      this.calls.keepAlive(this.fd);
    } catch (error) {
      this.disarm();
      throw error;
    }
  }

  close(): Promise<void> {
    this.disarm();
    return Promise.resolve();
  }

  /** `V` before the close is the magic: without it the driver resets the machine. */
  private disarm(): void {
    const { fd } = this;
    this.fd = null;
    if (fd === null) return;
    try {
      this.calls.write(fd, 'V');
    } catch {
      // Nobody is there any more who could take it.
    } finally {
      this.calls.close(fd);
    }
  }

  private judge(fd: number): Armed {
    const { options, identity } = this.calls.support(fd);
    if ((options & OPTION.alarmOnly) !== 0) return no(`${identity} only alarms, it does not reset`);
    const wanted = this.options.timeoutMs / 1000;
    if ((options & OPTION.setTimeout) !== 0) this.calls.setTimeoutSeconds(fd, wanted);
    // Read back: drivers round, some to minutes.
    const timeoutMs = this.calls.timeoutSeconds(fd) * 1000;
    if (timeoutMs < this.options.petMs * 2) {
      return no(
        `${identity} insists on ${timeoutMs} ms, too short to pet every ${this.options.petMs} ms`,
      );
    }
    if (timeoutMs > this.options.timeoutMs * 2) {
      return no(`${identity} insists on ${timeoutMs} ms; asked for ${this.options.timeoutMs} ms`);
    }
    const facts = {
      identity,
      timeoutMs,
      causedLastReset: this.lastReset(fd, options),
      magicClose: (options & OPTION.magicClose) !== 0,
    };
    return { ok: true, facts };
  }

  private lastReset(fd: number, options: number): boolean | null {
    try {
      // Some drivers say it without announcing that they can (i6300esb): a yes is a yes, a no is none.
      if ((this.calls.bootStatus(fd) & OPTION.cardReset) !== 0) return true;
      return (options & OPTION.cardReset) === 0 ? null : false;
    } catch {
      return null;
    }
  }
}

function no(why: string): Armed {
  return { ok: false, why };
}

function refusal(why: string): Promise<Armed> {
  return Promise.resolve(no(why));
}
