// The configuration file with its old versions and the one on trial, on a disk that may lose power at any
// time. One writer at a time (a lock that ends with its process), however many processes look: supervisor,
// board, consoles. Synchronous: a step that has returned is on the disk.

import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { lockFile, watchdog as native } from '../../../native/index.ts';
import { textOf } from '../../host/brought-file.ts';
import {
  type Clock,
  type Commit,
  commitSteps,
  decodeTrial,
  endTrialSteps,
  forgetSteps,
  type Held,
  OLD_FOLDER,
  type OldVersion,
  readOldName,
  returnSteps,
  type Step,
  TRIAL_NAME,
  type TrialVerdict,
  trialVerdict,
} from './versions.ts';

/** What looking after a trial has changed. */
export interface Settled {
  readonly verdict: TrialVerdict;
  /** In words, when the version before is in force again, or could not be had. */
  readonly returned: string | null;
  readonly trouble: string | null;
}

const FILE_BYTES_MAX = 1 << 20;
const BOOT_ID = '/proc/sys/kernel/random/boot_id';
const MODE = 0o640;

/** Another process is changing it just now. */
export class ConfigBusyError extends Error {
  readonly code = 'E_CONFIG_BUSY';
}

export class ConfigStore {
  readonly file: string;
  private readonly onStep: (step: Step) => void;

  /** `onStep` is called before each step: a test ends the process there. */
  constructor(file: string, onStep: (step: Step) => void = () => {}) {
    this.file = realOf(file);
    this.onStep = onStep;
  }

  held(): Held {
    const text = (name: string) => readOrNull(this.path(name));
    const trial = text(TRIAL_NAME);
    return {
      current: text(''),
      old: this.oldVersions(),
      trial: trial === null ? null : decodeTrial(trial),
    };
  }

  /** `base`: what the editor began with. Throws in words. */
  commit(commit: Commit, base: string | null, clock = now()): void {
    this.locked(() => {
      const held = this.held();
      if (held.current !== base)
        throw new Error('the file was changed meanwhile, not from here: "discard", and look');
      if (trialVerdict(held, clock).is === 'waits')
        throw new Error('a configuration is on trial: "confirm" or "confirm no" first');
      this.carryOut(commitSteps(held, commit, clock));
    });
  }

  /** True: there was one to confirm. */
  confirm(clock = now()): boolean {
    return this.locked(() => {
      if (trialVerdict(this.held(), clock).is !== 'waits') return false;
      this.carryOut(endTrialSteps());
      return true;
    });
  }

  /** Ends a trial whose time is over, or `atOnce`; throws no error: who calls must go on. */
  settle(atOnce = false, clock = now()): Settled {
    try {
      const verdict = trialVerdict(this.held(), clock);
      if (verdict.is === 'none' || (verdict.is === 'waits' && !atOnce))
        return { verdict, returned: null, trouble: null };
      return this.locked(() => this.endTrial(atOnce, clock));
    } catch (error) {
      const isBusy = error instanceof ConfigBusyError;
      const trouble = isBusy ? null : `the trial cannot be ended: ${(error as Error).message}`;
      return { verdict: { is: 'none' }, returned: null, trouble };
    }
  }

  /** The file, its old versions, its trial. */
  forget(): void {
    this.locked(() => this.carryOut(forgetSteps(this.held())));
  }

  private endTrial(atOnce: boolean, clock: Clock): Settled {
    // Another process may have been first.
    const held = this.held();
    const verdict = trialVerdict(held, clock);
    const isOver = verdict.is === 'over' || (verdict.is === 'waits' && atOnce);
    if (!isOver) {
      if (verdict.is === 'void') this.carryOut(endTrialSteps());
      return { verdict, returned: null, trouble: null };
    }
    const steps = returnSteps(held, clock);
    if (steps === null) {
      this.carryOut(endTrialSteps());
      const trouble = 'the version before the trial is gone, so this one stays';
      return { verdict: { is: 'none' }, returned: null, trouble };
    }
    this.carryOut(steps);
    const why = verdict.is === 'over' ? verdict.why : 'it was taken back';
    return { verdict: { is: 'none' }, returned: why, trouble: null };
  }

  private oldVersions(): OldVersion[] {
    let names: string[];
    try {
      names = readdirSync(this.path(OLD_FOLDER));
    } catch {
      return [];
    }
    return names
      .flatMap((name) => {
        const head = readOldName(name);
        const text = head === null ? null : readOrNull(this.path(`${OLD_FOLDER}/${name}`));
        return head === null || text === null ? [] : [{ ...head, text }];
      })
      .sort((one, other) => other.serial - one.serial);
  }

  private locked<T>(work: () => T): T {
    makeFolder(this.path(OLD_FOLDER));
    const lock = openLock(this.path('.lock'));
    try {
      if (!lockFile(lock, true))
        throw new ConfigBusyError('another process is changing it just now: try again');
      return work();
    } finally {
      closeSync(lock);
    }
  }

  private carryOut(steps: readonly Step[]): void {
    for (const step of steps) {
      this.onStep(step);
      switch (step.do) {
        case 'write':
          writeSynced(
            `${this.path(step.name)}.new`,
            step.text,
            modeOf(this.file),
            groupOf(this.path(step.name)),
          );
          break;
        case 'rename':
          renameSync(`${this.path(step.name)}.new`, this.path(step.name));
          break;
        case 'remove':
          rmSync(this.path(step.name), { force: true });
          break;
        case 'sync':
          syncFolder(step.folder === 'own' ? dirname(this.file) : this.path(OLD_FOLDER));
      }
    }
  }

  private path(name: string): string {
    return `${this.file}${name}`;
  }
}

export function now(): Clock {
  return { wallMs: Date.now(), bootId: bootId(), bootMs: native.bootClockMs() };
}

function bootId(): string {
  try {
    return readFileSync(BOOT_ID, 'latin1').trim();
  } catch {
    return 'unknown';
  }
}

/** A link to the file stays a link. */
function realOf(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file;
  }
}

function modeOf(file: string): number {
  try {
    return statSync(file).mode & 0o777;
  } catch {
    return MODE;
  }
}

/** Of the file that will be replaced; null: there is none, the folder decides. */
function groupOf(file: string): number | null {
  try {
    return statSync(file).gid;
  } catch {
    return null;
  }
}

/** Who is not in that group leaves the file to the group it has: a configuration that cannot be changed helps nobody. */
function keepGroup(file: number, group: number): void {
  try {
    fchownSync(file, -1, group);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error;
  }
}

/** In a folder that hands its group on, the group writes here too: a trial of one user is taken back by another. */
function makeFolder(path: string): void {
  if (existsSync(path)) return;
  mkdirSync(path, { recursive: true, mode: 0o750 });
  if (isShared(path)) chmodSync(path, 0o2770);
}

function openLock(path: string): number {
  const isNew = !existsSync(path);
  const lock = openSync(path, 'a', 0o640);
  if (isNew && isShared(path)) fchmodSync(lock, 0o660);
  return lock;
}

function isShared(path: string): boolean {
  return (statSync(dirname(path)).mode & 0o2020) === 0o2020;
}

/** Null: there is none. */
function readOrNull(path: string): string | null {
  try {
    if (statSync(path).size > FILE_BYTES_MAX) throw new Error(`${path} is too long`);
    return textOf(readFileSync(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** Whole or not at all is the caller's: this is a temporary file. */
export function writeSynced(
  path: string,
  text: string | Uint8Array,
  mode = MODE,
  group: number | null = null,
): void {
  const { O_WRONLY, O_CREAT, O_EXCL } = constants;
  // What a cut has left may be another user's, and keeps its owner, group and mode.
  rmSync(path, { force: true });
  const file = openSync(path, O_WRONLY | O_CREAT | O_EXCL, mode & 0o700);
  try {
    const bytes = typeof text === 'string' ? Buffer.from(text) : text;
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    if (group !== null && group !== fstatSync(file).gid) keepGroup(file, group);
    // Whatever the umask; opened when it belongs to the right group.
    fchmodSync(file, mode);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

export function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** Beside the configuration: what a pairing or the wizard writes. */
export function putFile(path: string, bytes: Uint8Array, mode: number): void {
  writeSynced(`${path}.new`, bytes, mode);
  renameSync(`${path}.new`, path);
  syncFolder(dirname(path));
}
