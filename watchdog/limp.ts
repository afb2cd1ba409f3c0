// A board that limps: it lives and answers, but stands still again and again (a host that throttles for heat, a
// dying disk, a neighbour that takes the processor), or what its guest sends waits too long, again and again.
// No silence tells of it, and the plant feels it. Judged by the share of a window of time that was lost.
// Pure: the owner brings what each tick saw.
import { type Limits, PATHS } from './limits.ts';

export interface LimpFigures {
  /** Of the window, 0 to 1: stood still, and with an output that waited too long. */
  readonly stoodShare: number;
  readonly waitedShare: number;
  readonly stalls: number;
  readonly worstMs: number;
  readonly windowMs: number;
}

interface Seen {
  readonly atMs: number;
  readonly stoodMs: number;
  readonly waitedMs: number;
}

/** Fewer are an accident: one long sleep is no limp. */
const STALLS_MIN = 5;
/** Well again is who loses this part of what makes a limp. */
const WELL_PART = 0.2;

export class Limp {
  private readonly limits: Limits;
  /** What waits for a backup that dies waits for no limp. */
  private readonly slowMs: number;
  private readonly seen: Seen[] = [];
  private tickedMs: number | null = null;
  private isLimping = false;

  constructor(limits: Limits) {
    this.limits = limits;
    const silentMs = PATHS.map((path) => limits.silentMs[path]);
    this.slowMs = Math.max(limits.limpOutputMs, ...silentMs);
  }

  /** Once a tick: how long the oldest output has waited for its acknowledgement; 0: none waits. */
  tick(nowMs: number, oldestMs: number): void {
    const { tickMs, stallMs, limpWindowMs } = this.limits;
    const gapMs = nowMs - (this.tickedMs ?? nowMs);
    this.tickedMs = nowMs;
    const stoodMs = gapMs > stallMs ? gapMs - tickMs : 0;
    const waitedMs = oldestMs > this.slowMs ? gapMs : 0;
    if (stoodMs > 0 || waitedMs > 0) this.seen.push({ atMs: nowMs, stoodMs, waitedMs });
    while (this.seen[0] !== undefined && nowMs - this.seen[0].atMs > limpWindowMs)
      this.seen.shift();
    this.judge();
  }

  private judge(): void {
    const { limpShare } = this.limits;
    const { stoodShare, waitedShare, stalls } = this.figures;
    const share = Math.max(stalls < STALLS_MIN ? 0 : stoodShare, waitedShare);
    if (share >= limpShare) this.isLimping = true;
    else if (share < limpShare * WELL_PART) this.isLimping = false;
  }

  get figures(): LimpFigures {
    const { limpWindowMs: windowMs } = this.limits;
    const sum = (of: (seen: Seen) => number) => this.seen.reduce((all, one) => all + of(one), 0);
    const stalls = this.seen.filter(({ stoodMs }) => stoodMs > 0);
    return {
      stoodShare: Math.min(1, sum(({ stoodMs }) => stoodMs) / windowMs),
      waitedShare: Math.min(1, sum(({ waitedMs }) => waitedMs) / windowMs),
      stalls: stalls.length,
      worstMs: Math.max(0, ...stalls.map(({ stoodMs }) => stoodMs)),
      windowMs,
    };
  }

  /** Why this board limps, with the figures; null: it does not. */
  get why(): string | null {
    return this.isLimping ? limpWords(this.figures) : null;
  }
}

export function limpWords(figures: LimpFigures): string {
  const { stoodShare, waitedShare, stalls, worstMs, windowMs } = figures;
  const percent = (share: number) => `${(share * 100).toFixed(0)} %`;
  const parts: string[] = [];
  if (stalls > 0)
    parts.push(
      `stood still ${percent(stoodShare)} (${stalls} times, at most ${worstMs.toFixed(0)} ms)`,
    );
  if (waitedShare > 0) parts.push(`let outputs wait ${percent(waitedShare)}`);
  const what = parts.length === 0 ? 'is hardly well again' : parts.join(' and ');
  return `this board limps: it ${what} of the last ${windowMs / 1000} s`;
}
