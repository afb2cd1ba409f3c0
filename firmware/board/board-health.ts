// How well this board is, as its tick sees it: whether it stood still, whether it is fit to lead and alive, whether it
// limps. What changes is told to people and to the arbiter.
import type { ArbiterEvent } from '../../watchdog/arbiter-types.ts';
import { Health, type HealthLimits, healthLimitsFor, type Verdict } from '../../watchdog/health.ts';
import type { Limits } from '../../watchdog/limits.ts';
import { Limp } from '../../watchdog/limp.ts';
import type { EventLog } from './events.ts';
import type { ReplicationFacts } from './replication/types.ts';

export interface BoardHealthParts {
  readonly limits: Limits;
  readonly healthLimits: HealthLimits | undefined;
  readonly events: EventLog;
  readonly fire: (event: ArbiterEvent) => void;
}

/** The record of the role: since when a write has been under way, and why the newest one failed. */
export interface RecordHealth {
  readonly busySinceMs: number | null;
  readonly trouble: string | null;
}

export class BoardHealth {
  private readonly parts: BoardHealthParts;
  private readonly health: Health;
  private readonly limp: Limp;
  private tickedMs: number;
  private current: Verdict;
  /** As the arbiter was told last. */
  private told = { isFit: true, isAlive: true };

  constructor(parts: BoardHealthParts, nowMs: number) {
    const { limits, healthLimits } = parts;
    this.parts = parts;
    this.health = new Health(healthLimits ?? healthLimitsFor(limits.stallMs), nowMs);
    this.limp = new Limp(limits);
    this.tickedMs = nowMs;
    this.current = this.health.verdict(nowMs);
  }

  get verdict(): Verdict {
    return this.current;
  }

  /** The start took its time; that was no sleep. */
  begin(nowMs: number): void {
    this.tickedMs = nowMs;
    this.health.loop(nowMs, 0);
  }

  ticked(nowMs: number): void {
    const { events, limits } = this.parts;
    const gapMs = nowMs - this.tickedMs;
    this.tickedMs = nowMs;
    if (gapMs <= limits.stallMs) return;
    const text = `the board stood still for ${gapMs.toFixed(0)} ms`;
    events.tell('BOARD-STALLED', text, { gapMs: Math.round(gapMs) });
  }

  look(facts: ReplicationFacts, record: RecordHealth, nowMs: number): void {
    const { health } = this;
    health.loop(nowMs, this.parts.limits.tickMs);
    health.vcpu(facts.position, facts.runs, nowMs);
    const busyMs = earliest(facts.diskBusySinceMs, record.busySinceMs);
    const broken = facts.disks.find(({ trouble }) => trouble !== null);
    const trouble = record.trouble ?? broken?.trouble ?? null;
    if (busyMs === null || trouble !== null) health.diskEnds(trouble);
    else health.diskBegins(busyMs);
    health.resource(facts.missing);
    this.tellPeople(health.verdict(nowMs));
    // What is just being opened is no fault, but nothing to lead with either.
    const isFit = this.current.ok && facts.isReady;
    const isAlive = health.isAlive(nowMs);
    if (isFit === this.told.isFit && isAlive === this.told.isAlive) return;
    this.told = { isFit, isAlive };
    this.parts.fire({ type: 'health', ok: isFit, isAlive });
  }

  private tellPeople(verdict: Verdict): void {
    const { events } = this.parts;
    const wasOk = this.current.ok;
    this.current = verdict;
    if (verdict.ok === wasOk) return;
    if (verdict.ok) events.tell('HEALTH-WELL');
    else events.tell('HEALTH-BAD', verdict.words.join('; '), { bits: verdict.bits });
  }

  /**
   * A guest that would stand for as long as the backup is behind is better off with a board that limps.
   * `wasLimping`: as the arbiter has it.
   */
  lookAtLimp({ gate, isFarBehind }: ReplicationFacts, wasLimping: boolean, nowMs: number): void {
    const { limp } = this;
    limp.tick(nowMs, gate.mode === 'acked' ? gate.oldestMs : 0);
    const why = isFarBehind ? null : limp.why;
    if ((why !== null) === wasLimping) return;
    const { events, fire } = this.parts;
    if (why === null) events.tell('LIMP-OVER');
    else events.tell('LIMP-BEGUN', why, { ...limp.figures });
    fire({ type: 'limp', why });
  }
}

function earliest(one: number | null, other: number | null): number | null {
  if (one === null || other === null) return one ?? other;
  return Math.min(one, other);
}
