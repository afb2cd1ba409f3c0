// A disk that was lost or failed is taken again, by a board whose guest does not live on it just now.
import type { GuestRunner } from './guest-runner.ts';
import type { TaskQueue } from './task-queue.ts';

export interface DiskCareParts {
  readonly runner: GuestRunner;
  readonly tasks: TaskQueue;
  readonly nowMs: () => number;
  /** In step: its guest uses the disks. */
  readonly follows: () => boolean;
  /** All that was lost has been taken. */
  readonly opened: () => void;
}

/** Between two tries. */
const AGAIN_MS = 500;

export class DiskCare {
  private readonly parts: DiskCareParts;
  private isBusy = false;
  private triedMs = Number.NEGATIVE_INFINITY;

  constructor(parts: DiskCareParts) {
    this.parts = parts;
  }

  /** Often. */
  look(): void {
    const { runner, follows, nowMs } = this.parts;
    if (this.isBusy || nowMs() - this.triedMs < AGAIN_MS) return;
    if (runner.hasLostDisk) {
      if (!runner.leads && !follows()) this.add('take a disk back', () => this.takeBack());
    } else if (runner.vcpu === undefined && runner.disks.some(({ trouble }) => trouble !== null)) {
      this.add('try a disk again', () => this.tryAgain());
    }
  }

  private add(what: string, work: () => Promise<void>): void {
    this.isBusy = true;
    this.parts.tasks.add(what, async () => {
      // One that hangs is not joined by others.
      await work().finally(() => {
        this.isBusy = false;
        this.triedMs = this.parts.nowMs();
      });
    });
  }

  /** Where a disk was another file may lie: of use to a board that does not lead, and then all of it is new. */
  private async takeBack(): Promise<void> {
    const { runner, opened } = this.parts;
    if (runner.leads || !runner.hasLostDisk) return;
    await runner.reopenDisks();
    if (!runner.hasLostDisk) opened();
  }

  /** A board that is not fit is not brought into step, so nothing else would show that its disk is well again. */
  private async tryAgain(): Promise<void> {
    const { runner } = this.parts;
    if (runner.vcpu !== undefined) return;
    await Promise.all(runner.disks.map((disk) => disk.tryAgain()));
  }
}
