// The parent of the board process. It does nothing but wait: when the board dies it sees it at once,
// reads from the disk what the board's record says, and tells the peer on every path. The peer then
// need not wait for silence. Afterwards it starts the board again, slower each time; after too many
// quick deaths it stops, and the hardware watchdog, no longer petted, resets the machine.
import { type ChildProcess, spawn } from 'node:child_process';
import type { GenerationStore } from './generation-store.ts';
import { type PathKeys, sealStatement } from './path-frame.ts';
import { lastGaspOf } from './statement-wire.ts';

export interface SupervisorOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly store: GenerationStore;
  readonly keys: PathKeys;
  /** One a path: puts one frame on it. Must not wait, and may throw. */
  readonly ways: readonly ((frame: Buffer) => void)[];
  readonly onDeath?: (facts: Death) => void;
  /** After the last try: nothing pets any more. */
  readonly onGivenUp?: (why: string) => void;
  readonly plan?: RestartPlan;
}

export interface Death {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** From the 'exit' event to the last path written. */
  readonly toldMs: number;
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

  constructor(options: SupervisorOptions) {
    this.options = options;
    this.plan = options.plan ?? DEFAULT_RESTARTS;
  }

  /** The board's pid, which is also its process group. */
  get pid(): number | undefined {
    return this.child?.pid;
  }

  start(): void {
    const { command, args, env } = this.options;
    this.starts += 1;
    this.bornMs = performance.now();
    const child = spawn(command, args, {
      stdio: 'inherit',
      detached: true,
      env: env ?? process.env,
    });
    this.child = child;
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
    const begunMs = performance.now();
    const frame = this.lastWord();
    if (frame !== null) this.tell(frame, REPEATS);
    this.options.onDeath?.({ code, signal, toldMs: performance.now() - begunMs });
    this.again(begunMs);
  }

  /** Null when the disk does not say: then silence must do. */
  private lastWord(): Buffer | null {
    const { boot, record } = this.options.store.peek();
    if (boot === 0 || record.standing === 'unknown') return null;
    return sealStatement(this.options.keys, lastGaspOf(boot, record), { position: 0n, health: 0 });
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
