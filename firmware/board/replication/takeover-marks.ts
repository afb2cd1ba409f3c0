// How a takeover went, for people: each milestone in milliseconds since the decision.
import type { Takeover } from './types.ts';

export class TakeoverMarks {
  private readonly cause: string;
  private readonly generation: number;
  private readonly startMs: number;
  private drainedMs: number | null = null;
  private liveMs: number | null = null;
  private firstOutputMs: number | null = null;

  constructor(cause: string, generation: number, nowMs: number) {
    this.cause = cause;
    this.generation = generation;
    this.startMs = nowMs;
  }

  isLive(nowMs: number, drainTookMs: number): void {
    this.liveMs = nowMs - this.startMs;
    this.drainedMs = Math.min(drainTookMs, this.liveMs);
  }

  said(nowMs: number): void {
    this.firstOutputMs ??= nowMs - this.startMs;
  }

  get words(): string {
    return `${this.liveMs?.toFixed(1) ?? '?'} ms after the decision`;
  }

  facts(): Takeover {
    const { cause, generation, drainedMs, liveMs, firstOutputMs } = this;
    return { cause, generation, drainedMs, liveMs, firstOutputMs };
  }
}
