// What the status and the events of a board mean as alarms. A state must hold a while before it counts
// and be gone a while before it ends, so that a loose plug makes one alarm and not a thousand. Pure.
import { DEFAULT_LIMITS, type Limits } from '../../../watchdog/limits.ts';
import type { EventCode } from '../event-codes.ts';
import type { Occurrence } from '../events.ts';
import { logPathTrouble } from '../log-paths.ts';
import type { NetFacts } from '../replication/types.ts';
import type { Status } from '../status.ts';
import { ALARM_CODES, type AlarmCode } from './codes.ts';

/** Raise and clear orders for the book. */
export interface AlarmSink {
  raise(code: AlarmCode, text: string): void;
  clear(code: AlarmCode): void;
}

/** A hand-over and a sync-up pass through other states for a moment. */
const HOLD_MS = 1_000;
const GONE_MS = 3_000;
/** Links come up one after the other; the first sync-up begins by itself: 15 s at the usual limits. */
export const quietAfterStartMs = ({ seekMs }: Pick<Limits, 'seekMs'>): number => seekMs * 1.5;
/** What is told by events that nothing takes back is over after this long without another one. */
const FADE_MS = 60_000;
const OUTPUT_HELD_MS = 1_000;
/** A broker that starts anew is no alarm. */
const SCADA_UNREACHED_MS = 60_000;
/** A daemon needs minutes after a start, and the appliance's speaks every eleven. */
const CLOCK_UNSET_MS = 15 * 60_000;
/** These tell of the start itself, or must not wait. */
const AT_ONCE: ReadonlySet<AlarmCode> = new Set<AlarmCode>([
  'GUEST-DOWN',
  'ISOLATED',
  'RECORD-FAILED',
  'UNFIT',
  'DISK-FAILED',
  'MAINTENANCE',
]);
/** Normal for a board that has just started. */
const NOT_AT_START: ReadonlySet<AlarmCode> = new Set<AlarmCode>([
  'NOT-REDUNDANT',
  'PATH-LOG',
  'PATH-SERIAL',
  'PATH-FRONT',
  'PATH-ONE-WAY',
  'WITNESS',
  'NOBODY-LEADS',
]);

/** Something happened: raised once, there until acknowledged. */
export const HAPPENED: Partial<Record<EventCode, AlarmCode>> = {
  'TAKEOVER-BEGUN': 'TAKEN-OVER',
  'LAG-DROPPED': 'BACKUP-DROPPED',
  DIVERGED: 'DIVERGED',
  'DISK-DIFFERS': 'DISKS-DIFFERED',
  'LOG-TROUBLE': 'LOG-DAMAGED',
  'RECORD-TROUBLE': 'RECORD-DOUBTED',
  'WATCHDOG-BIT': 'WATCHDOG-BIT',
  'WATCHDOG-MUTE': 'WATCHDOG-MUTE',
};
/** A state that begins with one event and ends with others, or fades. */
export const BEGINS: Partial<Record<EventCode, AlarmCode>> = {
  'LINK-REFUSED': 'LINK-REFUSED',
  'LAG-SLOWED': 'BACKUP-SLOW',
  'RECORD-FAILED': 'RECORD-FAILED',
  'RECORD-SLOW': 'RECORD-SLOW',
  'SUPERVISOR-GONE': 'SUPERVISOR-GONE',
  'BOARD-NOT-FIRST': 'NOT-FIRST',
  'SLOT-LEFT': 'SLOT-LEFT',
  'BOARD-STALLED': 'STALLS',
  'LIMP-BEGUN': 'LIMPING',
  'SYNC-PAUSED': 'SYNC-PAUSED',
  'FRAMES-REJECTED': 'NOISE',
  'CONTROL-CLOSED': 'CONTROL-CLOSED',
};
/** One that is neither here nor fades ends with the next start of the board. */
export const ENDS: Partial<Record<EventCode, readonly AlarmCode[]>> = {
  'LINK-UP': ['LINK-REFUSED'],
  'LAG-WELL': ['BACKUP-SLOW'],
  'RECORD-WRITTEN': ['RECORD-FAILED', 'RECORD-SLOW'],
  'RECORD-SLOW': ['RECORD-FAILED'],
  'RECORD-LOADED': ['RECORD-FAILED'],
  'LIMP-OVER': ['LIMPING'],
  'ROLE-PROTECTED': ['SYNC-PAUSED'],
  'CONTROL-OPENED': ['CONTROL-CLOSED'],
  'ROLE-SOLO': ['BACKUP-SLOW'],
  'ROLE-BACKUP': ['BACKUP-SLOW', 'SYNC-PAUSED'],
};
export const FADES: ReadonlySet<AlarmCode> = new Set<AlarmCode>(['STALLS', 'NOISE']);

interface Track {
  text: string;
  /** Since when it has been so without a break; null: it is not so. */
  heldSinceMs: number | null;
  goneSinceMs: number;
  isRaised: boolean;
}

export class AlarmWatch {
  private readonly sink: AlarmSink;
  private readonly quietMs: number;
  private readonly tracks = new Map<AlarmCode, Track>();
  /** By events, with the time of the last one. */
  private readonly begun = new Map<AlarmCode, { readonly text: string; readonly atMs: number }>();

  /** `raised`: what an earlier run left; it ends unless it is so again. */
  constructor(
    sink: AlarmSink,
    raised: readonly AlarmCode[] = [],
    quietMs = quietAfterStartMs(DEFAULT_LIMITS),
  ) {
    this.sink = sink;
    this.quietMs = quietMs;
    for (const code of raised) {
      if (ALARM_CODES[code].kind === 'event') continue;
      const before = { text: '', heldSinceMs: null, goneSinceMs: 0, isRaised: true };
      this.tracks.set(code, { ...before, goneSinceMs: Number.NaN });
    }
  }

  take({ code, text, monoMs, data }: Occurrence): void {
    const happened = HAPPENED[code];
    // A hand-over is what somebody asked for.
    const isAsked = code === 'TAKEOVER-BEGUN' && data.kind === 'hand-over';
    if (happened !== undefined && !isAsked) this.sink.raise(happened, text);
    for (const ended of ENDS[code] ?? []) this.begun.delete(ended);
    const begins = BEGINS[code];
    if (begins !== undefined) this.begun.set(begins, { text, atMs: monoMs });
  }

  look(status: Status, nowMs: number): void {
    const found = conditions(status);
    for (const [code, { text, atMs }] of this.begun) {
      if (FADES.has(code) && nowMs - atMs > FADE_MS) this.begun.delete(code);
      else found.set(code, text);
    }
    if (status.board.upMs < this.quietMs)
      for (const code of NOT_AT_START) if (!this.isRaised(code)) found.delete(code);
    for (const code of new Set([...found.keys(), ...this.tracks.keys()]))
      this.track(code, found.get(code), nowMs);
  }

  private isRaised(code: AlarmCode): boolean {
    return this.tracks.get(code)?.isRaised ?? false;
  }

  private track(code: AlarmCode, text: string | undefined, nowMs: number): void {
    const track = this.tracks.get(code) ?? {
      text: '',
      heldSinceMs: null,
      goneSinceMs: nowMs,
      isRaised: false,
    };
    this.tracks.set(code, track);
    if (text !== undefined) {
      track.heldSinceMs ??= nowMs;
      track.text = text;
      if (track.isRaised) return;
      if (nowMs - track.heldSinceMs < (AT_ONCE.has(code) ? 0 : HOLD_MS)) return;
      track.isRaised = true;
      this.sink.raise(code, text);
      return;
    }
    if (track.heldSinceMs !== null || Number.isNaN(track.goneSinceMs)) track.goneSinceMs = nowMs;
    track.heldSinceMs = null;
    if (track.isRaised && nowMs - track.goneSinceMs >= GONE_MS) {
      track.isRaised = false;
      this.sink.clear(code);
    }
    if (!track.isRaised) this.tracks.delete(code);
  }
}

/** What is so now, with words. */
function conditions(status: Status): Map<AlarmCode, string> {
  const found = new Map<AlarmCode, string>();
  const note = (code: AlarmCode, isSo: boolean, text: string = ALARM_CODES[code].words) => {
    if (isSo) found.set(code, text);
  };
  const { role, pairState, why, guest, sync, health, watchdog, witness, gate } = status;
  note('GUEST-DOWN', guest.state === 'failed' || guest.state === 'ended', guestWords(status));
  note('ISOLATED', role === 'isolated', why);
  note('NOBODY-LEADS', pairState === 'STARTUP' && !status.safeToRemove.ok, why);
  note('NOT-REDUNDANT', pairState === 'RUN-Solo' || pairState === 'SYNCUP', why);
  note('MAINTENANCE', role === 'maintenance');
  notePaths(status, note);
  note(
    'WITNESS',
    witness.kind === 'gateway' && !witness.answers,
    `the gateway ${witness.address} does not answer`,
  );
  note('SYNC-REFUSED', sync.phase === 'refused', sync.refusals.join('; '));
  note('SYNC-FORBIDDEN', !sync.isAllowed);
  note('OUTPUT-HELD', gate.mode === 'acked' && gate.oldestMs > OUTPUT_HELD_MS);
  note('UNFIT', !health.ok, health.words.join('; '));
  const broken = status.disks.find(({ trouble }) => trouble !== null);
  note('DISK-FAILED', broken !== undefined, `${broken?.path}: ${broken?.trouble}`);
  const noDog = watchdog.kind === 'none' ? 'the configuration names none' : watchdog.why;
  const flooded = status.nets.find(({ isStorm }) => isStorm);
  note('PLANT-STORM', flooded !== undefined, stormWords(flooded));
  noteConfig(status, note);
  noteScada(status, note);
  noteClock(status, note);
  note('WATCHDOG-OFF', !watchdog.armed && role !== 'stopped', `no watchdog: ${noDog}`);
  return found;
}

function stormWords(net: NetFacts | undefined): string {
  if (net === undefined) return '';
  const { tap, droppedPerS, source } = net;
  return `${tap} is flooded: ${droppedPerS} frames a second are dropped before the guest, most come from ${source}`;
}

function noteConfig(
  { config }: Status,
  note: (code: AlarmCode, isSo: boolean, text?: string) => void,
): void {
  if (config === null) return;
  const { running, file, trial } = config;
  const left = trial === null ? 0 : Math.ceil(trial.leftMs / 60_000);
  const goes = `the configuration of ${trial?.by} goes in ${left} min unless it is confirmed`;
  note('CONFIG-TRIAL', trial !== null, goes);
  note('CONFIG-UNUSED', file?.hash !== running.hash);
}

function noteScada(
  { scada }: Status,
  note: (code: AlarmCode, isSo: boolean, text?: string) => void,
): void {
  if (scada === null) return;
  const { unreachedMs, why, tellers } = scada;
  note('SCADA-UNREACHED', unreachedMs > SCADA_UNREACHED_MS, `SCADA is not reached: ${why}`);
  const unsaved = tellers.flatMap((teller) => teller.unsaved ?? [])[0];
  note('SCADA-UNSAVED', unsaved !== undefined, `births to SCADA are not kept: ${unsaved}`);
}

function noteClock(
  { clock }: Status,
  note: (code: AlarmCode, isSo: boolean, text?: string) => void,
): void {
  if (clock === null) return;
  const { isExpected, unsetMs, service } = clock;
  const who = [service?.by ?? 'what did it before', ...(service?.servers ?? [])].join(' ');
  note(
    'CLOCK-UNSET',
    isExpected && unsetMs > CLOCK_UNSET_MS,
    `no time server sets the clock: ${who}`,
  );
}

function notePaths(
  { paths, link }: Status,
  note: (code: AlarmCode, isSo: boolean, text?: string) => void,
): void {
  const trouble = logPathTrouble(link.paths);
  if (trouble !== null) note('PATH-LOG', true, trouble);
  note('PATH-LOG', paths.log.state === 'silent');
  note('PATH-SERIAL', paths.serial.state === 'silent');
  note('PATH-FRONT', paths.front.state === 'silent');
  const deaf = (['log', 'serial', 'front'] as const).filter(
    (path) => paths[path].state === 'talks' && paths[path].peerHears === false,
  );
  note('PATH-ONE-WAY', deaf.length > 0, `the other board does not hear this one: ${deaf.join()}`);
}

function guestWords({ guest }: Status): string {
  return guest.state === 'ended' ? 'the guest has switched itself off' : 'the guest cannot go on';
}
