// Is the wall clock set by a time server, and since when not. The pair never looks at it; logs, certificates
// and SCADA do. Looked at now and then, off the tick: files and one call of the kernel.
import { type ClockFacts, isSet, readClock } from '../host/clock.ts';

export interface ClockStatus extends ClockFacts {
  readonly isSet: boolean;
  /** Somebody is there to set it, or was. */
  readonly isExpected: boolean;
  /** How long nobody has set it; 0: it is set. */
  readonly unsetMs: number;
}

const LOOK_EVERY_MS = 5_000;

export class ClockWatch {
  private readonly read: () => Promise<ClockFacts>;
  private facts: ClockFacts = { kernel: null, service: null };
  private lookedMs = Number.NEGATIVE_INFINITY;
  private isLooking = false;
  private wasSet = false;
  private setMs: number;

  constructor(nowMs: number, read: () => Promise<ClockFacts> = readClock) {
    this.setMs = nowMs;
    this.read = read;
  }

  /** May be called as often as one likes. */
  look(nowMs: number): void {
    if (this.isLooking || nowMs - this.lookedMs < LOOK_EVERY_MS) return;
    this.lookedMs = nowMs;
    this.isLooking = true;
    void this.take(nowMs);
  }

  private async take(nowMs: number): Promise<void> {
    this.facts = await this.read();
    this.isLooking = false;
    if (!isSet(this.facts)) return;
    this.wasSet = true;
    this.setMs = nowMs;
  }

  status(nowMs: number): ClockStatus {
    const set = isSet(this.facts);
    return {
      ...this.facts,
      isSet: set,
      isExpected: this.facts.service !== null || this.wasSet,
      unsetMs: set ? 0 : nowMs - this.setMs,
    };
  }
}
