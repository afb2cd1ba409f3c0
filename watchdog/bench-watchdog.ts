// A stand-in for a hardware watchdog on benches and in tests: a process of its own that kills the
// board's process group (SIGKILL, nothing softer) when it is not petted. Run directly it is that
// process: `bench-watchdog GROUP TIMEOUT_MS STATUS_FILE`; a byte on stdin pets, `V` and then the end
// of input disarms, an end of input without `V` leaves it running, as the hardware would.

import type { ChildProcessByStdio } from 'node:child_process';
import { spawn } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Armed, Watchdog } from './wdt-device.ts';

export interface BenchWatchdogOptions {
  /** Process group of the board. Never ours, never everybody's. */
  readonly group: number;
  readonly timeoutMs: number;
  /** Written before the kill, so that the next start knows: the boot status of the stand-in. */
  readonly statusFile: string;
}

export class BenchWatchdog implements Watchdog {
  private readonly options: BenchWatchdogOptions;
  private child: ChildProcessByStdio<Writable, Readable, null> | null = null;

  constructor(options: BenchWatchdogOptions) {
    if (!isOtherGroup(options.group)) throw new Error(`not a group to kill: ${options.group}`);
    this.options = options;
  }

  async arm(): Promise<Armed> {
    const { group, timeoutMs, statusFile } = this.options;
    const causedLastReset = takeStatus(statusFile);
    const script = fileURLToPath(import.meta.url);
    const args = [script, String(group), String(timeoutMs), statusFile];
    // Its own group: it must outlive the kill it deals.
    const child = spawn(process.execPath, args, {
      detached: true,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    this.child = child;
    child.stdin.on('error', () => {});
    await new Promise<void>((resolve, reject) => {
      child.stdout.once('data', () => resolve());
      child.once('exit', () => reject(new Error('the stand-in watchdog did not start')));
    });
    const identity = 'bench stand-in (a process, not hardware)';
    return { ok: true, facts: { identity, timeoutMs, causedLastReset, magicClose: true } };
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  pet(): void {
    this.child?.stdin.write('\0');
  }

  async close(): Promise<void> {
    const { child } = this;
    this.child = null;
    if (child === null || child.exitCode !== null) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.stdin.end('V');
    await gone;
  }
}

function isOtherGroup(group: number): boolean {
  return Number.isInteger(group) && group > 1;
}

function takeStatus(file: string): boolean {
  try {
    const caused = readFileSync(file, 'latin1').startsWith('reset');
    rmSync(file);
    return caused;
  } catch {
    return false;
  }
}

function main([groupText = '', timeoutText = '', statusFile = '']: string[]): void {
  const group = Number(groupText);
  const timeoutMs = Number(timeoutText);
  if (!isOtherGroup(group) || group === process.pid || !(timeoutMs > 0)) process.exit(2);
  const bite = () => {
    try {
      writeFileSync(statusFile, `reset: not petted for ${timeoutMs} ms\n`);
    } catch {
      // A full disk: the next start will not know, but there will be one.
    }
    try {
      process.kill(-group, 'SIGKILL');
    } catch {
      // The group has ended by itself: nothing left to reset.
    }
    process.exit(0);
  };
  let timer = setTimeout(bite, timeoutMs);
  let last = 0;
  process.stdin.on('data', (bytes: Buffer) => {
    last = bytes[bytes.length - 1] ?? 0;
    clearTimeout(timer);
    timer = setTimeout(bite, timeoutMs);
  });
  process.stdin.on('end', () => {
    if (last === 'V'.charCodeAt(0)) process.exit(0);
  });
  process.on('SIGTERM', () => {});
  process.stdout.write('armed\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main(process.argv.slice(2));
