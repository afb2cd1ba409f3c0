// The command `twinstep` in a child process, as a person or a script would start it.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, writeSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { openPty } from '../../native/index.ts';
import { repoPath } from '../harness/index.ts';
import { Transcript } from './console.ts';

const COMMAND = repoPath('dist/firmware/cli/twinstep.js');
/** A guest whose test has died must not run on. */
const MORTAL = ['--pdeathsig', 'KILL', process.execPath, COMMAND];

export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs to its end, without input. */
export function twinstep(...args: string[]): Outcome {
  const { status, stdout, stderr } = spawnSync(process.execPath, [COMMAND, ...args], {
    encoding: 'utf8',
    input: '',
    timeout: 600_000,
  });
  return { code: status, stdout, stderr };
}

/** A running command with its console. */
export class Running {
  readonly console = new Transcript();
  readonly stderr = new Transcript();
  readonly pid: number;
  private readonly child: ChildProcess;
  private readonly exit: Promise<number | string>;
  private readonly send: (text: string) => void;

  constructor(child: ChildProcess, send: (text: string) => void) {
    this.child = child;
    this.pid = child.pid ?? 0;
    this.send = send;
    child.stdout?.on('data', (chunk) => this.console.add(String(chunk)));
    child.stderr?.on('data', (chunk) => this.stderr.add(String(chunk)));
    this.exit = once(child, 'close').then(([code, signal]) => {
      const result = code ?? signal;
      this.console.end(`it ended with ${result}; ${this.stderr.text}`);
      this.stderr.end(`it ended with ${result}`);
      return result;
    });
  }

  type(text: string): void {
    this.send(text);
  }

  /** One command in the guest's shell; what it printed. Throws if it fails there. */
  async shell(command: string, timeoutMs?: number): Promise<string> {
    this.type(`${command}; echo "@""status $?"\n`);
    const { input: text, 1: status } = await this.console.waitFor(/@status (\d+)/, timeoutMs);
    if (status !== '0') throw new Error(`${command}: status ${status}\n${text}`);
    return text.replaceAll('\r', '');
  }

  /** Exit code, or the name of the signal. */
  ended(): Promise<number | string> {
    return this.exit;
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal);
    await this.exit;
  }
}

/** On pipes; a script's way. */
export function startPiped(...args: string[]): Running {
  const child = spawn('setpriv', [...MORTAL, ...args], { stdio: 'pipe' });
  // A guest that ends before it read everything is no error here.
  child.stdin.on('error', () => {});
  return new Running(child, (text) => void child.stdin.write(text));
}

export interface Terminal {
  readonly running: Running;
  /** What `stty` says about it now. */
  settings(): string;
  close(): void;
}

/** On a terminal; a person's way. */
export function startOnTerminal(...args: string[]): Terminal {
  const { master, slave } = openPty(false);
  const settings = () => spawnSync('stty', ['-a'], { stdio: [slave, 'pipe', 'pipe'] }).stdout;
  const child = spawn('setpriv', [...MORTAL, ...args], { stdio: [slave, slave, 'pipe'] });
  const reader = new ReadStream(master);
  const running = new Running(child, (text) => writeSync(master, text));
  reader.on('data', (chunk: Buffer) => running.console.add(String(chunk)));
  reader.on('error', () => {});
  return {
    running,
    settings: () => String(settings()),
    close: () => {
      reader.destroy();
      closeSync(slave);
    },
  };
}
