// What people hear of a backup that cannot quite follow. The governor slows the guest and lets go again within
// seconds, for hours where two boards are busy: one piece of news that lasts until it has been calm for a while, longer
// each time it comes back. Pure.
import type { LagLimits } from '../../lockstep/lag.ts';

export interface LagTelling {
  readonly code: 'LAG-SLOWED' | 'LAG-WELL';
  readonly text: string;
  readonly data: { readonly times: number };
}

/** Behind for less than this altogether is no news, nor for less than part of the patience there is. */
const NEWS_MS = 250;
const NEWS_OF_PATIENCE = 1 / 3;
const CALM_MS = { first: 60_000, max: 600_000 };
/** Calm for so long after the end, the next time is the first. */
const FORGET_MS = 1_800_000;
/** That it still lasts. */
const AGAIN_MS = [600_000, 3_600_000];
/** Between two looks; a board that slept has not slowed anybody. */
const LOOK_MAX_MS = 1_000;

/** From the first slowing until it has been calm. */
interface Spell {
  readonly sinceMs: number;
  times: number;
  behindMs: number;
  lastSlowedMs: number;
  told: number;
  toldMs: number;
}

export class LagNews {
  private readonly softMs: number;
  private readonly newsMs: number;
  private spell: Spell | null = null;
  private wasSlowed = false;
  private lookedMs = Number.NEGATIVE_INFINITY;
  private endedMs = Number.NEGATIVE_INFINITY;
  private calmMs = CALM_MS.first;

  constructor({ softMs, patienceMs }: Pick<LagLimits, 'softMs' | 'patienceMs'>) {
    this.softMs = softMs;
    this.newsMs = Math.min(NEWS_MS, patienceMs * NEWS_OF_PATIENCE);
  }

  look(isSlowed: boolean, lagMs: number, nowMs: number): LagTelling | null {
    if (isSlowed) this.slowed(lagMs > this.softMs, nowMs);
    this.wasSlowed = isSlowed;
    this.lookedMs = nowMs;
    const { spell } = this;
    if (spell === null) return null;
    if (nowMs - spell.lastSlowedMs >= this.calmMs) return this.end(spell, nowMs);
    if (!isSlowed || spell.behindMs < this.newsMs) return null;
    const againMs = AGAIN_MS[Math.min(spell.told, AGAIN_MS.length) - 1];
    if (againMs !== undefined && nowMs - spell.toldMs < againMs) return null;
    spell.told += 1;
    spell.toldMs = nowMs;
    return slowedWords(spell, lagMs, nowMs);
  }

  /** Another backup, or none: nobody is told that it is well. */
  reset(): void {
    this.spell = null;
    this.wasSlowed = false;
  }

  private slowed(isBehind: boolean, nowMs: number): void {
    if (this.spell === null) {
      const isBack = nowMs - this.endedMs < FORGET_MS;
      this.calmMs = isBack ? Math.min(CALM_MS.max, this.calmMs * 2) : CALM_MS.first;
      const none = { times: 0, behindMs: 0, told: 0, toldMs: nowMs };
      this.spell = { sinceMs: nowMs, lastSlowedMs: nowMs, ...none };
    }
    if (!this.wasSlowed) this.spell.times += 1;
    else if (isBehind) this.spell.behindMs += Math.min(LOOK_MAX_MS, nowMs - this.lookedMs);
    this.spell.lastSlowedMs = nowMs;
  }

  private end({ told, times, sinceMs, lastSlowedMs }: Spell, nowMs: number): LagTelling | null {
    this.spell = null;
    if (told === 0) return null;
    this.endedMs = nowMs;
    const span = spanWords(lastSlowedMs - sinceMs);
    const often = times === 1 ? `was slowed for ${span}` : `was slowed ${times} times in ${span}`;
    return { code: 'LAG-WELL', text: `the backup keeps up; the guest ${often}`, data: { times } };
  }
}

function slowedWords({ told, times, sinceMs }: Spell, lagMs: number, nowMs: number): LagTelling {
  const behind = `the backup is ${Math.round(lagMs)} ms behind`;
  const often = `, and the guest was slowed ${times} times in ${spanWords(nowMs - sinceMs)}`;
  return { code: 'LAG-SLOWED', text: told === 1 ? behind : `${behind}${often}`, data: { times } };
}

function spanWords(ms: number): string {
  return ms < 120_000 ? `${Math.ceil(ms / 1_000)} s` : `${Math.round(ms / 60_000)} min`;
}
