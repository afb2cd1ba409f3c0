// Looks after the configuration file while the board runs: is it still what the board started with, is it
// on trial, has it returned. The disk is behind a thread: a slow one must not stop the tick.
import { Worker } from 'node:worker_threads';
import type { ConfigVersion } from './config/load.ts';
import type { EventLog } from './events.ts';
import { mayRestart, type Status } from './status.ts';

export interface ConfigStatus {
  /** What this board started with. */
  readonly running: ConfigVersion;
  /** What its next start takes; null: there is no file. */
  readonly file: ConfigVersion | null;
  readonly trial: TrialFacts | null;
}

export interface TrialFacts {
  readonly by: string;
  readonly minutes: number;
  readonly leftMs: number;
  /** Of the file on trial. */
  readonly hash: string;
}

export interface ConfigLook {
  readonly file: ConfigVersion | null;
  readonly trial: TrialFacts | null;
  /** Hash of the one that was replaced last, if it went by itself. */
  readonly gone: string | null;
  /** By this look, with the reason. */
  readonly returned: string | null;
  readonly trouble: string | null;
}

export class ConfigWatch {
  private readonly running: ConfigVersion;
  private readonly events: EventLog;
  private readonly worker: Worker;
  private readonly ended: Promise<void>;
  private file: ConfigVersion | null;
  private trial: TrialFacts | null = null;
  private trouble: string | null = null;
  /** What the board runs with was on trial, and is in force no more. */
  private hasReturned = false;

  constructor(file: string, running: ConfigVersion, events: EventLog) {
    this.running = running;
    this.file = running;
    this.events = events;
    this.worker = new Worker(new URL('./config-worker.js', import.meta.url), {
      workerData: { file },
    });
    this.worker.on('message', (look: ConfigLook) => this.take(look));
    this.worker.on('error', (error) => events.tell('CONFIG-TROUBLE', error.message));
    this.ended = new Promise((resolve) => this.worker.once('exit', () => resolve()));
  }

  get status(): ConfigStatus {
    return { running: this.running, file: this.file, trial: this.trial };
  }

  /** The board runs with a configuration that nobody confirmed, and may start anew now. */
  isRestartDue(status: Status): boolean {
    return this.hasReturned && mayRestart(status);
  }

  async close(): Promise<void> {
    this.worker.postMessage('end');
    await this.ended;
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
    if (trouble !== null && trouble !== this.trouble) events.tell('CONFIG-TROUBLE', trouble);
    this.file = file;
    this.trial = trial;
    this.trouble = trouble;
  }
}
