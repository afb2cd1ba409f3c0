// A person at a console: `twinstep console` as a process on a pseudo-terminal of its own. Types only what is
// asked for; everything that was ever shown is kept.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { repoPath } from '../harness/index.ts';
import { PtyEnd, until } from '../watchdog/pty.ts';
import { Screen } from './screen.ts';

export const SOON_MS = 40_000;
export const CLI = repoPath('dist/firmware/cli/twinstep.js');

export class Technician {
  readonly screen = new Screen();
  readonly pty = new PtyEnd();
  readonly child: ChildProcess;
  readonly settingsBefore: string;
  errors = '';
  private readonly who: { readonly user: string; readonly password: string };
  private raw = '';
  private seen = 0;

  /** `inside`: the command that goes to where the board is, before the console's own. */
  constructor(file: string, who: Technician['who'], inside: readonly string[] = []) {
    this.who = who;
    const fd = openSync(this.pty.slavePath, 'r+');
    spawnSync('stty', ['-F', this.pty.slavePath, 'sane']);
    this.settingsBefore = this.settings();
    this.pty.onData = (bytes) => {
      const text = Buffer.from(bytes).toString('latin1');
      this.raw += text;
      this.screen.put(text);
    };
    const [command = '', ...args] = [...inside, process.execPath, CLI, 'console', '--config', file];
    this.child = spawn(command, args, {
      stdio: [fd, fd, 'pipe'],
    });
    this.child.stderr?.on('data', (bytes) => {
      this.errors += bytes;
    });
    closeSync(fd);
  }

  settings(): string {
    return spawnSync('stty', ['-F', this.pty.slavePath, '-g'], { encoding: 'utf8' }).stdout;
  }

  /** Types only when it is asked for. */
  async at(prompt: string, keys: string): Promise<void> {
    await this.sees(prompt);
    this.types(keys);
  }

  types(keys: string): void {
    this.pty.write(Buffer.from(keys, 'latin1'));
  }

  async sees(what: string, withinMs = SOON_MS): Promise<void> {
    try {
      await until(what, () => this.raw.indexOf(what, this.seen) >= 0, withinMs);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.screen.all}\n${this.errors}`);
    }
    this.seen = this.raw.indexOf(what, this.seen) + what.length;
  }

  async login(): Promise<void> {
    await this.at('login: ', `${this.who.user}\r`);
    await this.at('Password: ', `${this.who.password}\r`);
  }

  async end(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const exit = once(this.child, 'exit');
      this.child.kill('SIGKILL');
      await exit;
    }
    this.pty.close();
  }
}
