// The parent of the board process. It does nothing but wait: when the board dies it sees it at once,
// and tells the peer on every path. The peer then need not wait for silence. It sees it at once by a
// pipe on descriptor 3 that the board gives to its sentinel thread (native/watchdog/sentinel.h); the
// 'exit' event comes only after the guest's memory is torn down, a second later for a gigabyte.
// Afterwards it starts the board again, slower each time; after too many quick deaths it stops, and the
// hardware watchdog, no longer petted, resets the machine.
//
// What it says of a dead board it was told by that board, on descriptor 4 (board-word.ts): which start it
// took, and which record was safe on its disk. Never from the disk, which may be that of another board
// that lives. Descriptor 5 is the lock of the state folder, which board and supervisor hold together.
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { sameRecord } from './arbiter-turn.ts';
import type { DiskRecord } from './arbiter-types.ts';
import { type BoardWord, BoardWordReader } from './board-word.ts';
import { type PathKeys, sealStatement } from './path-frame.ts';
import type { RoleRecordStore } from './role-record-store.ts';
import { lastGaspOf } from './statement-wire.ts';

/** Of the board process. */
export const SENTINEL_FD = 3;
export const WORD_FD = 4;
export const LOCK_FD = 5;

export interface SupervisorOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** Where the board's output goes: ours, unless said otherwise. */
  readonly stdio?: 'inherit' | 'ignore';
  /** Descriptor of the locked state folder; the board gets it, so that the lock lives as long as either. */
  readonly lock?: number;
  readonly store: Pick<RoleRecordStore, 'peek' | 'restore'>;
  readonly keys: PathKeys;
  /** One a path: puts one frame on it. Must not wait, and may throw. */
  readonly ways: readonly ((frame: Buffer) => void)[];
  readonly onDeath?: (facts: Death) => void;
  /** This end was ordered: no last word, no start. */
  readonly isOrdered?: (code: number | null) => boolean;
  readonly onOrdered?: (code: number | null) => void;
  /** After the last try: nothing pets any more. */
  readonly onGivenUp?: (why: string) => void;
  readonly plan?: Partial<RestartPlan>;
}

export interface Death {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The sentinel told of it before the exit did. */
  readonly bySentinel: boolean;
  /** Ended by this supervisor: it gave no sign of life in time. */
  readonly wasMute: boolean;
}

export interface RestartPlan {
  readonly firstMs: number;
  readonly mostMs: number;
  /** A life at least this long forgets the deaths before it. */
  readonly goodLifeMs: number;
  readonly quickDeathsMax: number;
  /** A board that has not said "up" within this is ended. */
  readonly upWithinMs: number;
}

export const DEFAULT_RESTARTS: RestartPlan = {
  firstMs: 100,
  mostMs: 10_000,
  goodLifeMs: 60_000,
  quickDeathsMax: 8,
  upWithinMs: 30_000,
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

/** One start of the board, from spawn to exit. */
interface Life {
  readonly child: ChildProcess;
  readonly bornMs: number;
  /** What it said last of its start and its disk. */
  known: Extract<BoardWord, { word: 'record' }> | null;
  /** What the peer was told of its death. */
  told: { readonly record: DiskRecord; readonly bySentinel: boolean } | null;
  mute: NodeJS.Timeout | null;
  wasMute: boolean;
  isOver: boolean;
}

export class Supervisor {
  starts = 0;
  /** Paths that failed to carry a last word. */
  untold = 0;
  private readonly options: SupervisorOptions;
  private readonly plan: RestartPlan;
  private life: Life | null = null;
  private timer: NodeJS.Timeout | null = null;
  private quickDeaths = 0;
  private stopping = false;

  constructor(options: SupervisorOptions) {
    this.options = options;
    this.plan = { ...DEFAULT_RESTARTS, ...options.plan };
  }

  /** The board's pid, which is also its process group. */
  get pid(): number | undefined {
    return this.life?.child.pid;
  }

  start(): void {
    const { command, args, env, stdio, lock } = this.options;
    this.starts += 1;
    const own = ['pipe', 'pipe', ...(lock === undefined ? [] : [lock])];
    const child = spawn(command, args, {
      stdio: [...STDIO[stdio ?? 'inherit'], ...own] as StdioOptions,
      detached: true,
      env: env ?? process.env,
    });
    const life: Life = {
      ...{ child, bornMs: performance.now(), known: null, told: null },
      ...{ mute: null, wasMute: false, isOver: false },
    };
    this.life = life;
    life.mute = setTimeout(() => this.endMute(life), this.plan.upWithinMs);
    this.watchSentinel(life);
    this.listen(life);
    child.once('exit', (code, signal) => this.soon(() => this.died(life, code, signal)));
    child.once('error', () => this.died(life, null, null));
  }

  /** Ends the board in order; its death is then no news. */
  async stop(): Promise<void> {
    this.stopping = true;
    if (this.timer !== null) clearTimeout(this.timer);
    const { life } = this;
    if (life === null) return;
    this.isUp(life);
    const { child } = life;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    await gone;
  }

  private died(life: Life, code: number | null, signal: NodeJS.Signals | null): void {
    if (life.isOver) return;
    life.isOver = true;
    this.isUp(life);
    if (this.life === life) this.life = null;
    if (this.stopping) return;
    if (signal === null && this.options.isOrdered?.(code) === true) {
      this.stopping = true;
      this.options.onOrdered?.(code);
      return;
    }
    this.lastWord(life, false);
    this.holdToIt(life);
    const bySentinel = life.told?.bySentinel ?? false;
    this.options.onDeath?.({ code, signal, bySentinel, wasMute: life.wasMute });
    this.again(life);
  }

  /**
   * The board's own words and its end come by different pipes: in the turn in which the end is seen
   * the words before it are read, too, and behind that turn nothing is left unread.
   */
  private soon(then: () => void): void {
    setImmediate(then);
  }

  /** An end of the pipe means death only from a sentinel that has said it is in place. */
  private watchSentinel(life: Life): void {
    const pipe = life.child.stdio[SENTINEL_FD] as Readable | null | undefined;
    let inPlace = false;
    pipe?.on('data', () => {
      inPlace = true;
    });
    pipe?.on('error', () => {});
    pipe?.on('end', () => {
      if (!inPlace) return;
      this.soon(() => {
        if (!life.isOver && !this.stopping) this.lastWord(life, true);
      });
    });
  }

  private listen(life: Life): void {
    const pipe = life.child.stdio[WORD_FD] as Readable | null | undefined;
    const reader = new BoardWordReader();
    pipe?.on('data', (bytes: Buffer) => {
      for (const word of reader.push(bytes.toString('latin1'))) {
        if (word.word === 'up') this.isUp(life);
        else if (!life.isOver) life.known = word;
      }
    });
    pipe?.on('error', () => {});
  }

  private isUp(life: Life): void {
    if (life.mute !== null) clearTimeout(life.mute);
    life.mute = null;
  }

  /** Whatever it hangs in: a new start may do better, and a last one is left to the watchdog. */
  private endMute(life: Life): void {
    life.wasMute = true;
    life.child.kill('SIGKILL');
  }

  /** Nothing is said of a start that told of no record to rely on: then silence must do. */
  private lastWord(life: Life, bySentinel: boolean): void {
    if (life.told !== null || life.known === null) return;
    const { boot, record } = life.known;
    if (record.standing === 'unknown') return;
    life.told = { record, bySentinel };
    const word = lastGaspOf(boot, record);
    this.tell(sealStatement(this.options.keys, word, { position: 0n, health: 0 }), REPEATS);
  }

  /**
   * A write the board was in the middle of may have reached the disk and not been told. The peer acts
   * on the word, so the disk must not say more: the gate never opened on that write. A record that
   * this start did not write is left alone.
   */
  private holdToIt({ told, known }: Life): void {
    const { store } = this.options;
    if (told === null || known === null) return;
    const disk = store.peek();
    if (disk.boot === known.boot && !sameRecord(disk.record, told.record))
      store.restore(told.record);
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

  private again({ bornMs }: Life): void {
    const lived = performance.now() - bornMs >= this.plan.goodLifeMs;
    this.quickDeaths = lived ? 1 : this.quickDeaths + 1;
    const delayMs = restartDelayMs(this.plan, this.quickDeaths);
    if (delayMs === null) {
      this.options.onGivenUp?.(`${this.quickDeaths} quick deaths: left to the hardware watchdog`);
      return;
    }
    this.timer = setTimeout(() => this.start(), delayMs);
  }
}
