// One thing after the other: what changes the guest is done in the order it was ordered, however long
// each takes. When nothing is under way an operation begins in the same turn.

export class TaskQueue {
  private readonly failed: (what: string, error: Error) => void;
  private waiting: { readonly what: string; readonly work: () => Promise<void> }[] = [];
  private isBusy = false;
  private idleWaiters: (() => void)[] = [];

  /** Nothing that fails ends the queue. */
  constructor(failed: (what: string, error: Error) => void) {
    this.failed = failed;
  }

  add(what: string, work: () => Promise<void>): void {
    this.waiting.push({ what, work });
    if (!this.isBusy) void this.run();
  }

  /** Resolves when nothing is under way or waits. */
  async idle(): Promise<void> {
    while (this.isBusy) await new Promise<void>((resolve) => this.idleWaiters.push(resolve));
  }

  private async run(): Promise<void> {
    this.isBusy = true;
    for (let next = this.waiting.shift(); next !== undefined; next = this.waiting.shift()) {
      try {
        await next.work();
      } catch (error) {
        this.failed(next.what, error as Error);
      }
    }
    this.isBusy = false;
    for (const resolve of this.idleWaiters.splice(0)) resolve();
  }
}
