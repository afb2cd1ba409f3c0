// The target's surveys of its disks and its memory as they come to the source, in order: they wait here until they are
// compared, and beyond a bound in the target's lane, which is left to fill up.
import type { BulkMessage } from './bulk-messages.ts';
import type { LogLink } from './log-link.ts';

export type Survey = Extract<BulkMessage, { type: 'hashes' | 'page-hashes' }>;

/** Beyond that the target's lane is left to fill up. */
const WAITING_MAX = 64;

export interface SurveysOptions {
  readonly sync: number;
  readonly link: LogLink;
  /** Throws Stopped when nobody wants them any more. */
  readonly check: () => void;
}

export class Surveys {
  private readonly options: SurveysOptions;
  private readonly waiting: Survey[] = [];
  private waiter: (() => void) | undefined;

  constructor(options: SurveysOptions) {
    this.options = options;
  }

  take(message: Survey): void {
    if (message.sync !== this.options.sync) return;
    this.waiting.push(message);
    if (this.waiting.length >= WAITING_MAX) this.options.link.wantBulk(false);
    this.wake();
  }

  async next(): Promise<Survey> {
    const { check, link } = this.options;
    for (;;) {
      check();
      const message = this.waiting.shift();
      if (this.waiting.length < WAITING_MAX / 2) link.wantBulk(true);
      if (message !== undefined) return message;
      await new Promise<void>((resolve) => {
        this.waiter = resolve;
      });
      this.waiter = undefined;
    }
  }

  /** Whoever waits looks again. */
  wake(): void {
    this.waiter?.();
  }

  /** Nobody compares any more. */
  end(): void {
    this.options.link.wantBulk(true);
  }
}
