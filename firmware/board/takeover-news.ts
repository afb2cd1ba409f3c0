// Tells of each change of primary that ends with this board leading: when it decides, and how it went once all of it
// is known (takeover-timeline.ts).
import type { ArbiterState } from '../../watchdog/arbiter-types.ts';
import { PATHS } from '../../watchdog/limits.ts';
import type { EventLog } from './events.ts';
import type { Takeover } from './replication/types.ts';
import { type TakeoverStatus, TakeoverTimeline } from './takeover-timeline.ts';

export class TakeoverNews {
  private readonly events: EventLog;
  private readonly wallMs: () => number;
  private readonly timeline = new TakeoverTimeline();

  constructor(events: EventLog, wallMs: () => number) {
    this.events = events;
    this.wallMs = wallMs;
  }

  /** The decision to lead, with how long the peer had been silent. */
  decided(state: ArbiterState, decidedMs: number): void {
    const lastMs = Math.max(...PATHS.map((path) => state.heardMs[path]));
    const isOffered = state.plan === 'swap' || state.plan === 'take';
    const bySilence = !isOffered && Number.isFinite(lastMs);
    const silenceMs = bySilence ? decidedMs - lastMs : null;
    const { why: cause, generation } = state;
    const kind = isOffered ? 'hand-over' : 'takeover';
    const wallMs = this.wallMs();
    this.timeline.decided({ cause, kind, generation, wallMs, decidedMs, silenceMs });
    const data = { cause, generation, kind, silenceMs };
    this.events.tell('TAKEOVER-BEGUN', `takes over: ${cause}`, data);
  }

  gateOpened(nowMs: number): void {
    this.timeline.gateOpened(nowMs);
  }

  replicationSays(takeover: Takeover | null): void {
    this.timeline.replicationSays(takeover);
  }

  /** Often. */
  look(nowMs: number): void {
    if (!this.timeline.isComplete(nowMs)) return;
    const { kind, blackoutMs, cause, generation, timeline } = this.timeline.status!;
    const took = blackoutMs === null ? '' : ` after ${blackoutMs.toFixed(0)} ms`;
    this.events.tell(
      kind === 'takeover' ? 'TAKEOVER-DONE' : 'HANDOVER-DONE',
      `the guest goes on here${took}: ${cause}`,
      { generation, cause, blackoutMs, ...timeline },
    );
  }

  get status(): TakeoverStatus | null {
    return this.timeline.status;
  }
}
