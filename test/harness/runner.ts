// Runs test files, each in a process of its own, and believes only what they report: a file that
// reports no test, ends early, exits non-zero without naming a failure or does not end is a failure.
import { type ChildProcess, spawn } from 'node:child_process';
import { getPriority, setPriority } from 'node:os';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { EVENTS_ENV, EVENTS_FD, type TestEvent } from './events.ts';

/** A blocked event loop cannot time itself out; the runner waits this much longer, then kills. */
const BLOCKED_GRACE_MS = 2_000;
/** From start to the first test, and from the last test to the end of the process. */
const LOAD_TIMEOUT_MS = 60_000;
const END_TIMEOUT_MS = 5_000;

export interface FileResult {
  file: string;
  passed: number;
  failures: { test: string; why: string }[];
  skips: { test: string; why: string }[];
  ms: number;
  /** stdout and stderr of the file, worth reading when it failed. */
  output: string;
}

/** `niceness`: 0 to 19, of the file and all it starts; where others wait for the moment this takes none from them. */
export async function runFile(
  file: string,
  env: NodeJS.ProcessEnv,
  niceness = 0,
): Promise<FileResult> {
  const started = performance.now();
  const result: FileResult = { file, passed: 0, failures: [], skips: [], ms: 0, output: '' };
  const child = spawn(process.execPath, ['--enable-source-maps', file], {
    env: { ...env, [EVENTS_ENV]: '1', FORCE_COLOR: '0', NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  // Never more than this process has: that is not everybody's right.
  if (child.pid !== undefined && niceness > getPriority()) setPriority(child.pid, niceness);
  const output: string[] = [];
  child.stdout?.on('data', (chunk) => output.push(String(chunk)));
  child.stderr?.on('data', (chunk) => output.push(String(chunk)));

  const watch = new Watch(child, result);
  const events = createInterface({ input: child.stdio[EVENTS_FD] as Readable });
  events.on('line', (line) => watch.event(JSON.parse(line) as TestEvent));
  const eventsEnd = new Promise<void>((resolve) => events.once('close', resolve));
  const { code, signal } = await new Promise<{ code: number | null; signal: string | null }>(
    (resolve) => child.once('close', (exitCode, by) => resolve({ code: exitCode, signal: by })),
  );
  await eventsEnd;
  watch.closed(code, signal);
  result.ms = performance.now() - started;
  result.output = output.join('');
  return result;
}

/** Follows one file's events, with a deadline at every moment. */
class Watch {
  private readonly child: ChildProcess;
  private readonly result: FileResult;
  private timer: NodeJS.Timeout | undefined;
  private running: string | undefined;
  /** The running test still owes a verdict; a hook owes one only when it fails. */
  private owed = false;
  private ended = false;
  private killed = false;

  constructor(child: ChildProcess, result: FileResult) {
    this.child = child;
    this.result = result;
    this.deadline(LOAD_TIMEOUT_MS, '(file)', 'hung before its first test');
  }

  event(event: TestEvent): void {
    if (event.type === 'end' || event.type === 'start') this.collectVerdict();
    if (event.type === 'end') {
      this.ended = true;
      this.running = undefined;
      this.deadline(
        END_TIMEOUT_MS,
        '(file)',
        'its tests are over but it does not end: open handles',
      );
      return;
    }
    const test = `${event.suite}: ${event.test}`;
    if (event.type === 'start') {
      this.running = test;
      this.owed = event.hook !== true;
      this.deadline(event.timeoutMs + BLOCKED_GRACE_MS, test, 'hung with a blocked event loop');
      return;
    }
    this.running = undefined;
    this.owed = false;
    this.deadline(LOAD_TIMEOUT_MS, '(file)', 'hung between tests');
    if (event.type === 'pass') this.result.passed++;
    else if (event.type === 'fail') this.result.failures.push({ test, why: event.why });
    else this.result.skips.push({ test, why: event.why });
  }

  private collectVerdict(): void {
    if (!this.owed) return;
    this.owed = false;
    this.result.failures.push({ test: this.running ?? '(file)', why: 'ended without a verdict' });
  }

  closed(code: number | null, signal: string | null): void {
    clearTimeout(this.timer);
    const { result } = this;
    const reported = result.passed + result.failures.length + result.skips.length;
    const add = (why: string) => result.failures.push({ test: this.running ?? '(file)', why });
    if (this.killed) return;
    if (code !== 0 && result.failures.length === 0) {
      add(signal === null ? `the file exited with ${code}` : `the file was ended by ${signal}`);
    } else if (reported === 0) {
      add('no test ran');
    } else if (!this.ended && result.failures.length === 0) {
      add('the file ended before its tests did');
    }
  }

  private deadline(ms: number, test: string, why: string): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.killed = true;
      this.result.failures.push({ test, why: `${why} (waited ${ms} ms)` });
      this.child.kill('SIGKILL');
    }, ms);
  }
}
