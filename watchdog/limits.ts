// Every time constant of role arbitration, with its reason, and the relations between them checked
// when they are loaded. Promotion by silence is safe only because of these relations: who changes
// one reads ARBITER.md, "Time", first.
import { strict as assert } from 'node:assert';

/** The three ways to the other board. */
export const PATHS = ['log', 'serial', 'front'] as const;
export type Path = (typeof PATHS)[number];

export interface Limits {
  /** How often the arbiter is ticked. Also the finest grain of every decision below. */
  readonly tickMs: number;
  /** How often a statement leaves on each path. Serial is slow: 64 bytes take 5.6 ms at 115200. */
  readonly heartbeatMs: Readonly<Record<Path, number>>;
  /** A path on which nothing came for longer than this is silent. */
  readonly silentMs: Readonly<Record<Path, number>>;
  /** Gateway probe: how often, and when it counts as not answering. */
  readonly witnessProbeMs: number;
  readonly witnessSilentMs: number;
  /** A longer gap between two ticks means: I slept, and others may have acted on my silence. */
  readonly stallMs: number;
  /**
   * What is said to a board that stands still for no longer waits in its buffers, and is read before the silence
   * of the peer is believed. A socket's default buffer holds five times as much, a card's ring of 256 frames this
   * beside a thousand frames a second of others.
   */
  readonly bufferedMs: number;
  /** Cold start: how long to look for the peer before a board whose record is `sole` leads alone. */
  readonly seekMs: number;
  /** A hand-over the peer does not take within this is called off. */
  readonly leaveMs: number;
  /**
   * A board may take this long to die, cable by cable: who asks to lead alone because the log link is dead has
   * lived on for longer.
   */
  readonly deathMs: number;
  /** An isolated board holds its outputs this long, then lets the watchdog reset it. */
  readonly isolatedMs: number;
  /** A board limps that stood still, or let an output wait longer than `limpOutputMs`, this share of the window. */
  readonly limpWindowMs: number;
  readonly limpShare: number;
  readonly limpOutputMs: number;
  /** Who has handed over or was handed over to does not hand over for its limp before this: no to and fro. */
  readonly limpRestMs: number;
  /** A sync-up outlives so long a silence: who is not in step has nothing to take over, and much to read again. */
  readonly syncSilenceMs: number;
  /** In step this long, a board can stay in step. */
  readonly syncLastsMs: number;
  /** Before the third sync-up in a row that did not last; doubled each time, up to the most. */
  readonly syncPauseMs: number;
  readonly syncPauseMaxMs: number;
  /** The hardware watchdog: whole seconds, as drivers count; petted this often. */
  readonly watchdogTimeoutMs: number;
  readonly petMs: number;
}

/** Clocks of two boards differ by less than this share; crystals are a hundred times better. */
const DRIFT_MAX = 0.01;

export const DEFAULT_LIMITS: Limits = checkLimits({
  tickMs: 5,
  heartbeatMs: { log: 5, serial: 20, front: 5 },
  silentMs: { log: 45, serial: 90, front: 45 },
  witnessProbeMs: 10,
  witnessSilentMs: 60,
  stallMs: 30,
  bufferedMs: 200,
  seekMs: 10_000,
  leaveMs: 500,
  deathMs: 500,
  isolatedMs: 5_000,
  limpWindowMs: 5_000,
  limpShare: 0.4,
  limpOutputMs: 100,
  limpRestMs: 300_000,
  syncSilenceMs: 2_000,
  syncLastsMs: 2_000,
  syncPauseMs: 1_000,
  syncPauseMaxMs: 30_000,
  watchdogTimeoutMs: 10_000,
  petMs: 1_000,
});

/** As often as the quickest thing that is due: between two of these a board would find nothing to do. */
export function tickMsOf(
  limits: Pick<Limits, 'heartbeatMs' | 'witnessProbeMs' | 'stallMs'>,
): number {
  const { heartbeatMs, witnessProbeMs, stallMs } = limits;
  return Math.min(...PATHS.map((path) => heartbeatMs[path]), witnessProbeMs, stallMs >> 1);
}

/** Throws when the constants contradict each other; returns them otherwise. */
export function checkLimits(limits: Limits): Limits {
  const { tickMs, heartbeatMs, silentMs, stallMs, seekMs, leaveMs } = limits;
  for (const path of PATHS) {
    assert.ok(tickMs <= heartbeatMs[path], 'a heartbeat is sent on a tick');
    assert.ok(heartbeatMs[path] * 3 <= silentMs[path], 'two lost heartbeats are not silence');
    // The peer may conclude silence `silentMs` after the last statement it got, and that one may be
    // two heartbeats older than the start of my stall. A shorter stall of mine it cannot have seen.
    const unseenMs = (silentMs[path] - 2 * heartbeatMs[path]) * (1 - DRIFT_MAX);
    assert.ok(stallMs <= unseenMs, `a stall the peer cannot have noticed (${path})`);
  }
  assert.ok(tickMs * 2 <= stallMs, 'one late tick is not a stall');
  assert.ok(limits.witnessProbeMs * 3 <= limits.witnessSilentMs, 'two lost probes are not silence');
  const slowestMs = Math.max(...PATHS.map((path) => silentMs[path]));
  assert.ok(
    limits.witnessSilentMs <= slowestMs,
    'when the slowest path is silent, an old answer of the gateway no longer counts',
  );
  assert.ok(limits.syncSilenceMs >= slowestMs, 'a sync-up outlives what is no silence');
  assert.ok(seekMs >= slowestMs * 10, 'links come up slowly at boot; alone is a strong word');
  assert.ok(leaveMs > slowestMs * 2, 'a hand-over outlives one lost round on the slowest path');
  assert.ok(limits.deathMs <= leaveMs, 'who waited for a hand-over in vain has lived on');
  assert.ok(limits.deathMs > slowestMs, 'a peer that is gone is noticed before it is asked');
  assert.ok(limits.isolatedMs > leaveMs, 'a short cut is no reason for a reset');
  assert.ok(
    limits.limpRestMs > limits.limpWindowMs,
    'what was seen before a hand-over is no reason after it',
  );
  assert.ok(limits.syncPauseMs <= limits.syncPauseMaxMs, 'pauses grow');
  assert.ok(limits.petMs * 2 <= limits.watchdogTimeoutMs, 'one late pet is not a reset');
  assert.ok(limits.watchdogTimeoutMs % 1000 === 0, 'drivers count whole seconds');
  return limits;
}

/** What the defaults promise. Other sets need not. */
const TAKEOVER_LOG_MS = 50;
const TAKEOVER_SERIAL_MS = 100;
assert.ok(DEFAULT_LIMITS.tickMs === tickMsOf(DEFAULT_LIMITS));
assert.ok(DEFAULT_LIMITS.silentMs.log + DEFAULT_LIMITS.tickMs <= TAKEOVER_LOG_MS);
assert.ok(DEFAULT_LIMITS.silentMs.front + DEFAULT_LIMITS.tickMs <= TAKEOVER_LOG_MS);
assert.ok(DEFAULT_LIMITS.silentMs.serial + DEFAULT_LIMITS.tickMs <= TAKEOVER_SERIAL_MS);
