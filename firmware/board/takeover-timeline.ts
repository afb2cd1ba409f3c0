// The timeline of one change of primary, put together from what loop and replication saw. All
// times are milliseconds since the decision; the silence before it is told apart.
import type { Takeover } from './replication/types.ts';

export interface Timeline {
  /** From the last word of the peer to the decision. Null: the peer handed over or was proven dead. */
  readonly silenceMs: number | null;
  /** The record of the new reign is on disk and the gate follows it. */
  readonly gateMs: number | null;
  readonly drainedMs: number | null;
  readonly liveMs: number | null;
  readonly firstOutputMs: number | null;
}

export interface TakeoverStatus {
  readonly cause: string;
  readonly kind: 'takeover' | 'hand-over';
  readonly generation: number;
  readonly wallMs: number;
  readonly timeline: Timeline;
  /**
   * From the last word of the old primary until output could leave here: an upper bound of what a
   * client sees, without the network. Null: not known yet.
   */
  readonly blackoutMs: number | null;
}

/** An idle guest says nothing: do not wait for its first output for ever. */
const FIRST_OUTPUT_WAIT_MS = 1_000;

export interface Decision {
  readonly cause: string;
  readonly kind: TakeoverStatus['kind'];
  readonly generation: number;
  readonly wallMs: number;
  readonly decidedMs: number;
  readonly silenceMs: number | null;
}

export class TakeoverTimeline {
  private decision: Decision | null = null;
  private gateMs: number | null = null;
  private replication: Takeover | null = null;
  private told = true;

  decided(decision: Decision): void {
    this.decision = decision;
    this.gateMs = null;
    this.replication = null;
    this.told = false;
  }

  gateOpened(nowMs: number): void {
    if (this.decision !== null) this.gateMs ??= nowMs - this.decision.decidedMs;
  }

  replicationSays(takeover: Takeover | null): void {
    if (takeover?.generation === this.decision?.generation) this.replication = takeover;
  }

  /** True once, when there is no more to wait for. */
  isComplete(nowMs: number): boolean {
    const { decision, gateMs, replication } = this;
    if (this.told || decision === null || gateMs === null) return false;
    // A backup that has much to replay first is not done before that: nobody is served meanwhile.
    if (replication === null || replication.liveMs === null) return false;
    const waitedMs = nowMs - decision.decidedMs - Math.max(gateMs, replication.liveMs);
    if (replication.firstOutputMs === null && waitedMs < FIRST_OUTPUT_WAIT_MS) return false;
    this.told = true;
    return true;
  }

  get status(): TakeoverStatus | null {
    const { decision, gateMs, replication } = this;
    if (decision === null) return null;
    const { cause, kind, generation, wallMs, silenceMs } = decision;
    const timeline: Timeline = {
      silenceMs,
      gateMs,
      drainedMs: replication?.drainedMs ?? null,
      liveMs: replication?.liveMs ?? null,
      firstOutputMs: replication?.firstOutputMs ?? null,
    };
    return { cause, kind, generation, wallMs, timeline, blackoutMs: blackoutOf(timeline) };
  }
}

/** An idle guest may say its first word much later: that is no blackout. */
function blackoutOf({ silenceMs, gateMs, liveMs }: Timeline): number | null {
  if (gateMs === null || liveMs === null) return null;
  return (silenceMs ?? 0) + Math.max(gateMs, liveMs);
}
