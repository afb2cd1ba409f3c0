// Turns what a board sees from tick to tick into events for people: paths that fall silent, the witness, the pair's
// state, redundancy lost and back, the peer's starts and death, frames that are rejected, disks that are well again.
// Only tells; the arbiter has long decided.
import { type PairState, pairState } from '../../watchdog/arbiter.ts';
import type { ArbiterState } from '../../watchdog/arbiter-types.ts';
import { PATHS, type Path } from '../../watchdog/limits.ts';
import type { EventLog } from './events.ts';
import type { PathCounters } from './paths.ts';
import type { ReplicationFacts } from './replication/types.ts';

/** A hand-over and a swap of sessions pass through other states for a moment. */
const LOST_AFTER_MS = 200;
/** Links come up one after the other. */
const QUIET_AFTER_START_MS = 2_000;
/** A disk with a bad sector serves between its failures. */
const DISK_WELL_MS = 3_000;
/** A plug that is moved damages a frame or two. */
const REJECTS_MIN = 5;
const REJECTS_EVERY_MS = 1_000;
/** Noise that lasts is told again, with how much it was. */
const NOISE_AGAIN_MS = 30_000;

/** What is looked at. */
export interface Seen {
  readonly state: ArbiterState;
  readonly disks: ReplicationFacts['disks'];
  readonly counters: () => Readonly<Record<Path, PathCounters>>;
}

export class Notices {
  private readonly events: EventLog;
  private readonly bornMs: number;
  private readonly isUsed: Readonly<Record<Path, boolean>>;
  private readonly heard: Record<Path, boolean | null> = { log: null, serial: null, front: null };
  private witness: boolean | null = null;
  private pair: PairState | null = null;
  private redundantMs: number | null = null;
  private wasRedundant = false;
  private pausedUntilMs = Number.NEGATIVE_INFINITY;
  private peerBoot = 0;
  private deadBoot = 0;
  /** By path of the disk: when it was last seen to be in trouble. */
  private readonly brokenMs = new Map<string, number>();
  private readonly rejected: Record<Path, number> = { log: 0, serial: 0, front: 0 };
  private readonly noise: Record<Path, Noise> = { log: quiet(), serial: quiet(), front: quiet() };
  private countedMs: number;

  constructor(events: EventLog, nowMs: number, isUsed: Readonly<Record<Path, boolean>>) {
    this.events = events;
    this.bornMs = nowMs;
    this.countedMs = nowMs;
    this.isUsed = isUsed;
  }

  look({ state, disks, counters }: Seen, nowMs: number): void {
    this.lookAtPair(state, nowMs);
    this.lookAtSync(state, nowMs);
    this.lookAtPeer(state);
    for (const path of PATHS) if (this.isUsed[path]) this.lookAtPath(state, path, nowMs);
    if (state.config.witness === 'gateway') this.lookAtWitness(state, nowMs);
    for (const disk of disks) this.lookAtDisk(disk, nowMs);
    if (nowMs - this.countedMs >= REJECTS_EVERY_MS) this.lookAtFrames(counters(), nowMs);
  }

  private lookAtPair(state: ArbiterState, nowMs: number): void {
    const pair = pairState(state);
    if (pair !== this.pair) {
      const from = this.pair;
      this.pair = pair;
      const { role, generation } = state;
      this.events.tell('PAIR-STATE', `${pair}: ${state.why}`, { from, to: pair, role, generation });
    }
    if (pair === 'RUN-Redundant') {
      this.redundantMs = nowMs;
      if (this.wasRedundant) return;
      this.wasRedundant = true;
      this.events.tell('REDUNDANCY-BACK', undefined, { role: state.role });
    } else if (this.wasRedundant && nowMs - (this.redundantMs ?? nowMs) > LOST_AFTER_MS) {
      this.wasRedundant = false;
      this.events.tell('REDUNDANCY-LOST', undefined, { role: state.role, why: state.why });
    }
  }

  /** The peer was brought into step again and again, and did not stay there. */
  private lookAtSync({ syncPausedUntilMs, syncFailures }: ArbiterState, nowMs: number): void {
    if (syncPausedUntilMs === this.pausedUntilMs) return;
    this.pausedUntilMs = syncPausedUntilMs;
    if (syncPausedUntilMs <= nowMs) return;
    const pauseMs = Math.round(syncPausedUntilMs - nowMs);
    const text = `the peer did not stay in step, ${syncFailures} times in a row: the next sync-up waits ${(pauseMs / 1000).toFixed(1)} s`;
    this.events.tell('SYNC-PAUSED', text, { pauseMs, failures: syncFailures });
  }

  private lookAtPeer({ peer }: ArbiterState): void {
    if (peer === null) return;
    const { boot, generation, standing } = peer;
    if (peer.role === 'dead') {
      if (this.deadBoot === boot) return;
      this.deadBoot = boot;
      this.events.tell('PEER-DEAD', undefined, { boot, generation, standing });
    } else if (this.peerBoot !== boot) {
      this.peerBoot = boot;
      this.events.tell('PEER-SEEN', undefined, { boot, generation, standing, role: peer.role });
    }
  }

  private lookAtPath(state: ArbiterState, path: Path, nowMs: number): void {
    const { heardMs, awakeMs, config } = state;
    const silentMs = config.limits.silentMs[path];
    const hears = nowMs - heardMs[path] <= silentMs;
    // Who slept cannot tell the other's silence from its own.
    const silent = nowMs - Math.max(heardMs[path], awakeMs) > silentMs;
    const before = this.heard[path];
    if (hears && before !== true) {
      this.heard[path] = true;
      this.events.tell('PATH-TALKS', `the peer is heard on the ${PATH_WORDS[path]}`, { path });
    } else if (silent && before !== false && this.isOfAge(before, nowMs)) {
      this.heard[path] = false;
      this.events.tell('PATH-SILENT', `nothing is heard on the ${PATH_WORDS[path]}`, { path });
    }
  }

  private lookAtWitness({ witnessMs, awakeMs, config }: ArbiterState, nowMs: number): void {
    const limitMs = config.limits.witnessSilentMs;
    if (nowMs - witnessMs <= limitMs) {
      if (this.witness !== true) this.events.tell('WITNESS-ANSWERS');
      this.witness = true;
    } else if (nowMs - Math.max(witnessMs, awakeMs) > limitMs) {
      if (this.witness === false || !this.isOfAge(this.witness, nowMs)) return;
      this.witness = false;
      this.events.tell('WITNESS-SILENT');
    }
  }

  private lookAtDisk({ path, trouble }: ReplicationFacts['disks'][number], nowMs: number): void {
    const brokenMs = this.brokenMs.get(path);
    if (trouble !== null) this.brokenMs.set(path, nowMs);
    else if (brokenMs !== undefined && nowMs - brokenMs > DISK_WELL_MS) {
      this.brokenMs.delete(path);
      this.events.tell('DISK-WELL', `${path}: its requests succeed again`, { path });
    }
  }

  private lookAtFrames(counters: Readonly<Record<Path, PathCounters>>, nowMs: number): void {
    this.countedMs = nowMs;
    for (const path of PATHS) {
      const { rejected } = counters[path];
      const more = rejected - this.rejected[path];
      this.rejected[path] = rejected;
      if (more < REJECTS_MIN) continue;
      const noise = this.noise[path];
      noise.frames += more;
      if (nowMs - noise.toldMs < NOISE_AGAIN_MS) continue;
      const { frames } = noise;
      this.noise[path] = { frames: 0, toldMs: nowMs };
      const text = `${frames} frames on the ${PATH_WORDS[path]} were damaged or not the peer’s`;
      this.events.tell('FRAMES-REJECTED', text, { path, frames });
    }
  }

  private isOfAge(before: boolean | null, nowMs: number): boolean {
    return before !== null || nowMs - this.bornMs > QUIET_AFTER_START_MS;
  }
}

interface Noise {
  /** Not told yet. */
  frames: number;
  readonly toldMs: number;
}

function quiet(): Noise {
  return { frames: 0, toldMs: Number.NEGATIVE_INFINITY };
}

export const PATH_WORDS: Readonly<Record<Path, string>> = {
  log: 'log link',
  serial: 'serial line',
  front: 'front LAN',
};
