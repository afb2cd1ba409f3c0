// Errors of a disk that the guest is not told yet. Where another board can go on with the guest, its disk has done
// what this one could not: who tells the guest first makes it see a fault that redundancy was there to hide.

/** Between two looks whether an error is still to be held. */
const LOOK_MS = 20;
/** A hand-over is done long before; a guest whose request hangs for longer begins to complain. */
export const HOLD_ERRORS_MS = 3_000;

export class HeldErrors {
  private readonly nowMs: () => number;
  private readonly holds: () => boolean;
  private held: (() => void)[] = [];
  private sinceMs = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(nowMs: () => number, holds: () => boolean) {
    this.nowMs = nowMs;
    this.holds = holds;
  }

  get areHeld(): boolean {
    return this.held.length > 0;
  }

  /** `tell` is called once: now, or when it is held no more. */
  add(tell: () => void): void {
    if (!this.areHeld) this.sinceMs = this.nowMs();
    this.held.push(tell);
    this.look();
  }

  /** All of them, in their order. */
  tell(): void {
    clearTimeout(this.timer);
    for (const tell of this.held.splice(0)) tell();
  }

  private look(): void {
    clearTimeout(this.timer);
    if (!this.holds() || this.nowMs() - this.sinceMs >= HOLD_ERRORS_MS) this.tell();
    else this.timer = setTimeout(() => this.look(), LOOK_MS);
  }
}
