// Looks after the configuration file while the board runs: is it still what the board started with, is it
// on trial, has it returned. Nothing here waits for the disk: a slow one must not stop the tick.
import { stat } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { watchdog as native } from '../../native/index.ts';
import type { ConfigVersion } from './config/load.ts';
import { TRIAL_NAME } from './config/versions.ts';
import type { EventLog } from './events.ts';
import { mayRestart } from './service-rules.ts';
import type { ConfigStatus, Status, TrialFacts } from './status.ts';

export interface ConfigLook {
  readonly file: ConfigVersion | null;
  readonly trial: TrialFacts | null;
  /** Hash of the one that was replaced last, if it went by itself. */
  readonly gone: string | null;
  /** By this look, with the reason. */
  readonly returned: string | null;
  readonly trouble: string | null;
}

/** `look` does what is due; `check` only reads, and the files of the guest as well, which may hang. */
export interface ConfigOrder {
  readonly file: string;
  readonly order: 'look' | 'check';
}

const EVERY_MS = 1_000;
const CHECK_WITHIN_MS = 4_000;

export class ConfigWatch {
  private readonly path: string;
  private readonly running: ConfigVersion;
  private readonly events: EventLog;
  private timer: NodeJS.Timeout | null = null;
  private file: ConfigVersion | null;
  private trial: TrialFacts | null = null;
  private trialSeenMs = 0;
  private trouble: string | null = null;
  /** What the board runs with was on trial, and is in force no more. */
  private hasReturned = false;
  /** What the last look was at. */
  private seen: string;
  private looking: Promise<void> | null = null;

  constructor(file: string, running: ConfigVersion, events: EventLog) {
    this.path = file;
    this.running = running;
    this.file = running;
    this.events = events;
    this.seen = `${running.changedMs} none`;
  }

  start(): void {
    this.timer = setInterval(() => {
      this.looking ??= this.look().finally(() => {
        this.looking = null;
      });
    }, EVERY_MS);
  }

  get status(): ConfigStatus {
    const { running, file, trial } = this;
    const leftMs = Math.max(0, this.trialLeftMs());
    return { running, file, trial: trial === null ? null : { ...trial, leftMs } };
  }

  /** The board runs with a configuration that nobody confirmed, and may start anew now. */
  isRestartDue(status: Status): boolean {
    return this.hasReturned && mayRestart(status);
  }

  /** What would keep this board from starting again, as the file is now; empty: nothing. */
  async check(): Promise<readonly string[]> {
    const late = [`it could not be read in ${CHECK_WITHIN_MS / 1_000} s`];
    try {
      return await Promise.race([
        inThread<readonly string[]>({ file: this.path, order: 'check' }),
        new Promise<string[]>((resolve) => setTimeout(resolve, CHECK_WITHIN_MS, late).unref()),
      ]);
    } catch (error) {
      return [(error as Error).message];
    }
  }

  async close(): Promise<void> {
    if (this.timer !== null) clearInterval(this.timer);
    await this.looking;
  }

  private trialLeftMs(): number {
    return (this.trial?.leftMs ?? 0) - (native.bootClockMs() - this.trialSeenMs);
  }

  /** A thread costs 19 MiB, so there is one only when there is something to read or to do. */
  private async look(): Promise<void> {
    const [file, trial] = await Promise.all([changed(this.path), changed(this.path + TRIAL_NAME)]);
    const seen = `${file} ${trial}`;
    const isDue = this.trial !== null && this.trialLeftMs() <= 0;
    if (seen === this.seen && !isDue) return;
    try {
      this.take(await inThread<ConfigLook>({ file: this.path, order: 'look' }));
      this.seen = seen;
    } catch (error) {
      this.tellTrouble((error as Error).message);
    }
  }

  private tellTrouble(trouble: string | null): void {
    if (trouble !== null && trouble !== this.trouble) this.events.tell('CONFIG-TROUBLE', trouble);
    this.trouble = trouble;
  }

  private take({ file, trial, gone, returned, trouble }: ConfigLook): void {
    const { events, running, trial: wasOnTrial } = this;
    if (trial !== null && wasOnTrial === null) {
      const text = `${trial.by} put a configuration on trial for ${trial.minutes} min`;
      events.tell('CONFIG-TRIAL', text, { by: trial.by, minutes: trial.minutes });
    }
    if (file?.hash !== this.file?.hash) {
      const isBack = gone !== null && wasOnTrial?.hash === gone;
      if (isBack) events.tell('CONFIG-RETURNED', `it returned: ${returned ?? 'taken back'}`);
      else events.tell('CONFIG-CHANGED', undefined, { hash: file?.hash ?? null });
    }
    this.hasReturned = gone === running.hash && file !== null && file.hash !== running.hash;
    this.tellTrouble(trouble);
    this.file = file;
    this.trial = trial;
    this.trialSeenMs = native.bootClockMs();
  }
}

async function changed(path: string): Promise<string> {
  try {
    return String((await stat(path)).mtimeMs);
  } catch {
    return 'none';
  }
}

function inThread<Answer>(workerData: ConfigOrder): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./config-worker.js', import.meta.url), { workerData });
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', () => reject(new Error('the look at the configuration ended early')));
  });
}
