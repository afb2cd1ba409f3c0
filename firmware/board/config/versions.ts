// What becomes of a board's configuration file: the one in force, the ones before it, and one on trial that
// goes by itself unless somebody confirms it. Each change is a list of small steps on the disk, in an order
// in which a cut after any of them leaves the old file or the new one, whole, and nothing to be mended by
// hand. Pure; store.ts carries the steps out.
import { createHash } from 'node:crypto';

export const OLD_KEPT = 10;
export const TRIAL_MINUTES = { min: 1, max: 1_440 } as const;
/** Beside the file, with the file's name before it. */
export const TRIAL_NAME = '.trial';
export const OLD_FOLDER = '.old';
/** Who replaced a version that went by itself: no name of a user. */
export const RETURNED = '0-returned';

export type Step =
  /** To `NAME.new`, and synced: nobody reads it under that name. */
  | { readonly do: 'write'; readonly name: string; readonly text: string }
  /** `NAME.new` becomes NAME. */
  | { readonly do: 'rename'; readonly name: string }
  | { readonly do: 'remove'; readonly name: string }
  /** What was renamed and removed in this folder counts from here on. */
  | { readonly do: 'sync'; readonly folder: 'own' | 'old' };

/** A version that is not in force any more. */
export interface OldVersion {
  readonly serial: number;
  /** When it was replaced, and by whom. */
  readonly replacedMs: number;
  readonly by: string;
  readonly text: string;
}

export interface Held {
  /** Null: there is no file yet. */
  readonly current: string | null;
  /** The newest first. */
  readonly old: readonly OldVersion[];
  readonly trial: Trial | null;
}

export interface Trial {
  /** Serial of the version that comes back. */
  readonly serial: number;
  readonly toHash: string;
  readonly by: string;
  readonly minutes: number;
  readonly begunMs: number;
  readonly untilMs: number;
  /** The clock that nobody sets counts, as long as the machine has not been started anew. */
  readonly bootId: string;
  readonly untilBootMs: number;
}

export interface Clock {
  readonly wallMs: number;
  readonly bootId: string;
  /** CLOCK_BOOTTIME. */
  readonly bootMs: number;
}

export interface Commit {
  readonly text: string;
  readonly by: string;
  /** Null: for good. */
  readonly minutes: number | null;
}

export type TrialVerdict =
  | { readonly is: 'none' }
  /** Another file is in force: the commit was cut, or somebody wrote the file by hand. */
  | { readonly is: 'void' }
  | { readonly is: 'waits'; readonly leftMs: number }
  | { readonly is: 'over'; readonly why: string };

export function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** A clock set back by more than this tells nothing about the deadline any more. */
const CLOCK_SLACK_MS = 60_000;

export function trialVerdict({ current, trial }: Held, clock: Clock): TrialVerdict {
  if (trial === null) return { is: 'none' };
  if (current === null || hashOf(current) !== trial.toHash) return { is: 'void' };
  const isSameBoot = clock.bootId === trial.bootId;
  const leftMs = isSameBoot ? trial.untilBootMs - clock.bootMs : trial.untilMs - clock.wallMs;
  if (leftMs <= 0) return { is: 'over', why: `nobody confirmed it within ${trial.minutes} min` };
  if (!isSameBoot && clock.wallMs < trial.begunMs - CLOCK_SLACK_MS)
    return { is: 'over', why: 'the clock was set back, so its time cannot be told' };
  return { is: 'waits', leftMs: Math.min(leftMs, trial.minutes * 60_000) };
}

/** What `rollback N` counts: a commit that was cut has kept what is still in force. */
export function rollbacks({ current, old }: Held): readonly OldVersion[] {
  return old[0] !== undefined && old[0].text === current ? old.slice(1) : old;
}

export function commitSteps(held: Held, { text, by, minutes }: Commit, clock: Clock): Step[] {
  const { serial, steps } = keepCurrent(held, by, clock);
  const onTrial = minutes === null || serial === null ? null : { minutes, serial };
  const trial =
    onTrial === null
      ? held.trial === null
        ? []
        : [...removal(TRIAL_NAME)]
      : put(TRIAL_NAME, encodeTrial(trialOf(onTrial, text, by, clock)));
  return [...steps, ...trial, ...put('', text), ...prune(held)];
}

/** The version before the trial comes back. Null: it is not there any more. */
export function returnSteps(held: Held, clock: Clock): Step[] | null {
  const { trial } = held;
  const back = held.old.find(({ serial }) => serial === trial?.serial);
  if (trial === null || back === undefined) return null;
  const { steps } = keepCurrent(held, RETURNED, clock);
  return [...steps, ...put('', back.text), ...removal(TRIAL_NAME), ...prune(held)];
}

export function endTrialSteps(): Step[] {
  return removal(TRIAL_NAME);
}

/** The file first: without it the board is bare, whatever else is still there. */
export function forgetSteps({ old }: Held): Step[] {
  const names = old.map(oldName);
  return [
    ...removal(''),
    ...removal(TRIAL_NAME),
    ...names.map((name): Step => ({ do: 'remove', name })),
    { do: 'sync', folder: 'old' },
  ];
}

function keepCurrent(
  { current, old }: Held,
  by: string,
  { wallMs }: Clock,
): { serial: number | null; steps: Step[] } {
  if (current === null) return { serial: null, steps: [] };
  const [newest] = old;
  // An earlier commit was cut behind this step.
  if (newest?.text === current) return { serial: newest.serial, steps: [] };
  const serial = (newest?.serial ?? 0) + 1;
  const name = oldName({ serial, by, replacedMs: wallMs });
  return { serial, steps: put(name, current) };
}

function put(name: string, text: string): Step[] {
  const folder = name.startsWith(OLD_FOLDER) ? 'old' : 'own';
  return [
    { do: 'write', name, text },
    { do: 'rename', name },
    { do: 'sync', folder },
  ];
}

function removal(name: string): Step[] {
  return [
    { do: 'remove', name },
    { do: 'sync', folder: 'own' },
  ];
}

function prune({ old }: Held): Step[] {
  return old.slice(OLD_KEPT - 1).map((version): Step => ({ do: 'remove', name: oldName(version) }));
}

function trialOf(
  { minutes, serial }: { minutes: number; serial: number },
  text: string,
  by: string,
  clock: Clock,
): Trial {
  const ms = minutes * 60_000;
  return {
    ...{ serial, toHash: hashOf(text), by, minutes },
    begunMs: clock.wallMs,
    untilMs: clock.wallMs + ms,
    bootId: clock.bootId,
    untilBootMs: clock.bootMs + ms,
  };
}

// --- names and forms on the disk -----------------------------------------------------------------

const OLD_NAME = /^(\d{1,9})-(\d{1,15})-(0-returned|[a-z][a-z0-9_-]{0,30})$/;
const USER = /^[a-z][a-z0-9_-]{0,30}$/;

export function oldName({ serial, replacedMs, by }: Omit<OldVersion, 'text'>): string {
  const who = USER.test(by) || by === RETURNED ? by : 'unknown';
  return `${OLD_FOLDER}/${serial}-${Math.max(0, Math.floor(replacedMs))}-${who}`;
}

/** Of a file in the folder of old versions; null: not ours. */
export function readOldName(name: string): Omit<OldVersion, 'text'> | null {
  const [, serial, replacedMs, by = ''] = OLD_NAME.exec(name) ?? [];
  if (serial === undefined) return null;
  return { serial: Number(serial), replacedMs: Number(replacedMs), by };
}

export function encodeTrial(trial: Trial): string {
  const body = JSON.stringify(trial);
  return `${body}\n${hashOf(body)}\n`;
}

/** Null: not whole, or not ours. */
export function decodeTrial(text: string): Trial | null {
  const [body = '', sum] = text.split('\n');
  if (sum !== hashOf(body)) return null;
  let trial: Trial;
  try {
    trial = JSON.parse(body) as Trial;
  } catch {
    return null;
  }
  if (typeof trial !== 'object' || trial === null) return null;
  const numbers = [trial.serial, trial.minutes, trial.begunMs, trial.untilMs, trial.untilBootMs];
  const isOurs =
    numbers.every((number) => Number.isFinite(number)) &&
    [trial.toHash, trial.by, trial.bootId].every((word) => typeof word === 'string');
  return isOurs ? trial : null;
}
