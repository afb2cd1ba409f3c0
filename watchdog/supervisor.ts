// The parent of the board process. It does nothing but wait: when the board dies it sees it at once,
// reads from the disk what the board's record says, and tells the peer on every path. The peer then
// need not wait for silence. It sees it at once by a pipe on descriptor 3 that the board gives to its
// sentinel thread (native/watchdog/sentinel.h); the 'exit' event comes only after the guest's memory
// is torn down, a second later for a gigabyte. Afterwards it starts the board again, slower each time; after too many
// quick deaths it stops, and the hardware watchdog, no longer petted, resets the machine.
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { sameRecord } from './arbiter-turn.ts';
import type { DiskRecord } from './arbiter-types.ts';
import type { GenerationStore } from './generation-store.ts';
import { type PathKeys, sealStatement } from './path-frame.ts';
import { lastGaspOf } from './statement-wire.ts';

export interface SupervisorOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** Where the board's output goes: ours, unless said otherwise. */
  readonly stdio?: 'inherit' | 'ignore';
  readonly store: GenerationStore;
  readonly keys: PathKeys;
  /** One a path: puts one frame on it. Must not wait, and may throw. */
  readonly ways: readonly ((frame: Buffer) => void)[];
  readonly onDeath?: (facts: Death) => void;
  /** This end was ordered: no last word, no start. */
  readonly isOrdered?: (code: number | null) => boolean;
  readonly onOrdered?: (code: number | null) => void;
  /** After the last try: nothing pets any more. */
  readonly onGivenUp?: (why: string) => void;
  readonly plan?: RestartPlan;
}

export interface Death {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The sentinel told of it before the exit did. */
  readonly bySentinel: boolean;
}

export interface RestartPlan {
  readonly firstMs: number;
  readonly mostMs: number;
  /** A life at least this long forgets the deaths before it. */
  readonly goodLifeMs: number;
  readonly quickDeathsMax: number;
}

export const DEFAULT_RESTARTS: RestartPlan = {
  firstMs: 100,
  mostMs: 10_000,
  goodLifeMs: 60_000,
  quickDeathsMax: 8,
};

/** How long to wait before the next start, or null to give up. */
export function restartDelayMs(plan: RestartPlan, quickDeaths: number): number | null {
  if (quickDeaths > plan.quickDeathsMax) return null;
  return Math.min(plan.mostMs, plan.firstMs * 2 ** Math.max(0, quickDeaths - 1));
}

/** The last word is said several times: datagrams get lost. */
const REPEATS = 4;
const REPEAT_MS = 5;

const STDIO = {
  inherit: ['inherit', 'inherit', 'inherit'],
  ignore: ['ignore', 'ignore', 'ignore'],
} as const;

export class Supervisor {
  starts = 0;
  /** Paths that failed to carry a last word. */
  untold = 0;
  private readonly options: SupervisorOptions;
  private readonly plan: RestartPlan;
  private child: ChildProcess | null = null;
  private timer: NodeJS.Timeout | null = null;
  private bornMs = 0;
  private quickDeaths = 0;
  private stopping = false;
  /** What was said of the present death; null: nothing yet. */
  private told: { record: DiskRecord; bySentinel: boolean } | null = null;

  constructor(options: SupervisorOptions) {
    this.options = options;
    this.plan = options.plan ?? DEFAULT_RESTARTS;
  }

  /** The board's pid, which is also its process group. */
  get pid(): number | undefined {
    return this.child?.pid;
  }

  start(): void {
    const { command, args, env, stdio } = this.options;
    this.starts += 1;
    this.bornMs = performance.now();
    const child = spawn(command, args, {
      stdio: [...STDIO[stdio ?? 'inherit'], 'pipe'] as StdioOptions,
      detached: true,
      env: env ?? process.env,
    });
    this.child = child;
    this.told = null;
    this.watchSentinel(child);
    child.once('exit', (code, signal) => this.died(code, signal));
    child.once('error', () => this.died(null, null));
  }

  /** Ends the board in order; its death is then no news. */
  async stop(): Promise<void> {
    this.stopping = true;
    if (this.timer !== null) clearTimeout(this.timer);
    const { child } = this;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    await gone;
  }

  private died(code: number | null, signal: NodeJS.Signals | null): void {
    if (this.child === null) return;
    this.child = null;
    if (this.stopping) return;
    if (signal === null && this.options.isOrdered?.(code) === true) {
      this.stopping = true;
      this.options.onOrdered?.(code);
      return;
    }
    this.lastWord(false);
    this.holdToIt();
    this.options.onDeath?.({ code, signal, bySentinel: this.told?.bySentinel ?? false });
    this.again(performance.now());
  }

  /** An end of the pipe means death only from a sentinel that has said it is in place. */
  private watchSentinel(child: ChildProcess): void {
    const pipe = child.stdio[3] as Readable | null | undefined;
    let inPlace = false;
    pipe?.on('data', () => {
      inPlace = true;
    });
    pipe?.on('error', () => {});
    pipe?.on('end', () => {
      if (inPlace && this.child === child && !this.stopping) this.lastWord(true);
    });
  }

  /** Nothing is said when the disk does not tell: then silence must do. */
  private lastWord(bySentinel: boolean): void {
    if (this.told !== null) return;
    const { boot, record } = this.options.store.peek();
    if (boot === 0 || record.standing === 'unknown') return;
    this.told = { record, bySentinel };
    const word = lastGaspOf(boot, record);
    this.tell(sealStatement(this.options.keys, word, { position: 0n, health: 0 }), REPEATS);
  }

  /**
   * A write the board was in the middle of may have reached the disk after the word was given. The
   * peer acts on the word, so the disk must not say more: the gate never opened on that write.
   */
  private holdToIt(): void {
    const { store } = this.options;
    if (this.told === null || sameRecord(store.peek().record, this.told.record)) return;
    store.restore(this.told.record);
  }

  private tell(frame: Buffer, times: number): void {
    for (const way of this.options.ways) {
      try {
        way(frame);
      } catch {
        this.untold += 1;
      }
    }
    if (times > 1) setTimeout(() => this.tell(frame, times - 1), REPEAT_MS);
  }

  private again(nowMs: number): void {
    const lived = nowMs - this.bornMs >= this.plan.goodLifeMs;
    this.quickDeaths = lived ? 1 : this.quickDeaths + 1;
    const delayMs = restartDelayMs(this.plan, this.quickDeaths);
    if (delayMs === null) {
      this.options.onGivenUp?.(`${this.quickDeaths} quick deaths: left to the hardware watchdog`);
      return;
    }
    this.timer = setTimeout(() => this.start(), delayMs);
  }
}
