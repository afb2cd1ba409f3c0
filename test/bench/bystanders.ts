// Does a board stand still, or the machine under it? Beside what is measured a process on each processor only wakes, every
// millisecond and before everything else: what keeps it from that is no doing of the boards, which it goes before.
import { type ChildProcess, spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import { repoPath } from '../harness/index.ts';

interface Gap {
  readonly fromMs: number;
  readonly toMs: number;
}

/** CLOCK_MONOTONIC, as all processes here see it. */
export const monotonicMs = () => Number(process.hrtime.bigint()) / 1e6;

/** What is told of a stall comes a little later than its end. */
const NEWS_MS = 30;

export class Bystanders {
  private readonly gaps: Gap[] = [];
  private readonly processes: readonly ChildProcess[];

  constructor() {
    const loop = repoPath('dist/test/bench/bystander-loop.js');
    this.processes = Array.from({ length: availableParallelism() }, (_, cpu) => {
      const process_ = spawn('taskset', ['-c', String(cpu), process.execPath, loop], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      createInterface({ input: process_.stdout }).on('line', (line) => {
        const [toMs = 0, gapMs = 0] = line.split(' ').map(Number);
        this.gaps.push({ fromMs: toMs - gapMs, toMs });
      });
      return process_;
    });
  }

  /** The longest that a processor stood still, for everybody. */
  longestMs(fromMs: number, toMs: number): number {
    const met = this.gaps.filter((gap) => gap.toMs > fromMs && gap.fromMs < toMs);
    return Math.max(0, ...met.map((gap) => gap.toMs - gap.fromMs));
  }

  /** Whether a stall of `gapMs`, told of at `atMs`, was the machine's: half of it at least. */
  saw(atMs: number, gapMs: number): boolean {
    return this.longestMs(atMs - gapMs - NEWS_MS, atMs) >= gapMs / 2;
  }

  close(): void {
    for (const process_ of this.processes) process_.kill();
  }
}
