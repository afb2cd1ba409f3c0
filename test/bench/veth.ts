// One veth pair between two namespaces, and programs run at either end of it. The
// namespaces are held by two sleeping processes and go with them.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { needs, repoPath } from '../harness/index.ts';

export type End = 'near' | 'far';
export const ADDRESS: Record<End, string> = { near: '10.54.0.1', far: '10.54.0.2' };
export const INTERFACE: Record<End, string> = { near: 'bench0', far: 'bench1' };

/** Why the log channel cannot be measured here, or undefined. */
export function unmeasurable(): string | undefined {
  return [needs.networkNamespaces(), needs.command('gcc')].find(({ met }) => !met)?.why;
}

/** A peer of test/bench/peers/, compiled; the path of the program. */
export function compilePeer(name: string): string {
  mkdirSync(repoPath('.bench'), { recursive: true });
  const program = repoPath(`.bench/${name}`);
  const source = repoPath(`test/bench/peers/${name}.c`);
  execFileSync('gcc', ['-O2', '-std=gnu11', '-Wall', '-Wextra', '-o', program, source]);
  return program;
}

export class Veth {
  private readonly holders: Record<End, ChildProcess>;

  private constructor(holders: Record<End, ChildProcess>) {
    this.holders = holders;
  }

  static async make(mtu: number): Promise<Veth> {
    const hold = async () => {
      const child = spawn(
        'setpriv',
        ['--pdeathsig', 'KILL', 'unshare', '--net', 'sh', '-c', 'echo in; exec sleep 3600'],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      );
      const { stdout } = child;
      await once(stdout as Readable, 'data');
      // A holder must not keep a bench alive that has said all it had to say.
      stdout?.destroy();
      child.unref();
      return child;
    };
    const veth = new Veth({ near: await hold(), far: await hold() });
    const { near, far } = INTERFACE;
    veth.ip('near', 'link', 'add', near, 'type', 'veth', 'peer', 'name', far);
    veth.ip('near', 'link', 'set', far, 'netns', String(veth.holders.far.pid));
    for (const end of ['near', 'far'] as const) {
      const name = INTERFACE[end];
      veth.ip(end, 'link', 'set', name, 'addrgenmode', 'none', 'mtu', String(mtu), 'up');
      veth.ip(end, 'address', 'add', `${ADDRESS[end]}/24`, 'dev', name);
    }
    return veth;
  }

  private ip(end: End, ...args: string[]): void {
    execFileSync('nsenter', ['-t', String(this.holders[end].pid), '-n', 'ip', ...args]);
  }

  run(end: End, command: string, ...args: string[]): Program {
    const at = ['-t', String(this.holders[end].pid), '-n', 'setpriv', '--pdeathsig', 'KILL'];
    return new Program(
      spawn('nsenter', [...at, command, ...args], { stdio: ['pipe', 'pipe', 'pipe'] }),
    );
  }

  /** A compiled script of ours. */
  runNode(end: End, script: string, ...args: string[]): Program {
    return this.run(end, process.execPath, repoPath(`dist/test/bench/${script}.js`), ...args);
  }

  close(): void {
    for (const holder of Object.values(this.holders)) holder.kill('SIGKILL');
  }
}

/** A running program that prints one line of JSON and says "ready" on stderr before if asked. */
export class Program {
  private readonly child: ChildProcess;
  private readonly lines: string[] = [];
  private readonly errors: string[] = [];
  private readonly done: Promise<unknown>;

  constructor(child: ChildProcess) {
    this.child = child;
    this.done = once(child, 'close');
    createInterface({ input: child.stdout as Readable }).on('line', (line) =>
      this.lines.push(line),
    );
    child.stderr?.on('data', (chunk) => this.errors.push(String(chunk)));
  }

  async ready(): Promise<void> {
    while (!this.errors.join('').includes('ready')) {
      if (this.child.exitCode !== null)
        throw new Error(`a bench program ended: ${this.errors.join('')}`);
      await once(this.child.stderr as Readable, 'data');
    }
  }

  /** Waits for a line of what it prints. */
  async said(line: RegExp): Promise<void> {
    while (!this.lines.some((each) => line.test(each))) {
      if (this.child.exitCode !== null) throw new Error(`it ended: ${this.errors.join('')}`);
      await Promise.race([once(this.child.stdout as Readable, 'data'), this.done]);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** What it printed last, once it has ended. */
  async result<T>(): Promise<T> {
    await this.done;
    const line = this.lines.at(-1);
    if (line === undefined)
      throw new Error(`a bench program said nothing: ${this.errors.join('')}`);
    return JSON.parse(line) as T;
  }

  /** Everything it printed, once it has ended. */
  async output(): Promise<{ status: number | null; out: string; err: string }> {
    await this.done;
    const { lines, errors, child } = this;
    return { status: child.exitCode, out: lines.join('\n'), err: errors.join('') };
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.done;
  }
}
