// Network namespaces for tests. The test file runs itself again in one that is made for it and gone
// with it; peers run as child processes in others. Nothing is left behind, whatever happens: no
// names, no files, and a process whose parent dies is killed.
import { type ChildProcess, execFileSync, fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { needs, repoPath } from '../harness/index.ts';

const INSIDE = 'TWINSTEP_IN_NAMESPACE';
const UNSHARE = ['--pdeathsig', 'KILL', 'unshare', '--net'];

/** Call first in the file. Comes back only inside a fresh namespace, or where there can be none. */
export function enterNamespace(): void {
  if (process.env[INSIDE] === '1' || !needs.networkNamespaces().met) return;
  const events: 'ignore' | number = process.env.TWINSTEP_TEST_EVENTS === '1' ? 3 : 'ignore';
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const run = spawnSync('setpriv', [...UNSHARE, ...again], {
    stdio: ['ignore', 'inherit', 'inherit', events],
    env: { ...process.env, [INSIDE]: '1' },
  });
  process.exit(run.status ?? 1);
}

export function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });
}

let names = 0;

/** Two connected interfaces here, up. */
export function makePair(mtu = 1500): [string, string] {
  const [a, b] = [`va${names}`, `vb${names++}`];
  ip('link', 'add', a, 'type', 'veth', 'peer', 'name', b);
  for (const name of [a, b]) {
    // Without IPv6 nothing but us speaks on it.
    ip('link', 'set', name, 'addrgenmode', 'none', 'mtu', String(mtu), 'up');
  }
  return [a, b];
}

interface Message {
  type: string;
}

/** One more interface of a peer's. */
export interface Far {
  name: string;
  address?: string;
}

/** A script of this folder as a child in a namespace of its own, with one end of a pair in it. */
export class Peer {
  readonly process: ChildProcess;
  private readonly unheard: Message[] = [];
  private notify: (() => void) | undefined;

  private constructor(child: ChildProcess) {
    this.process = child;
    child.on('message', (message) => {
      this.unheard.push(message as Message);
      this.notify?.();
    });
    child.on('exit', () => this.notify?.());
  }

  static async start(
    script: string,
    interfaceName: string,
    options: { address?: string; mtu?: number; args?: object; more?: readonly Far[] } = {},
  ): Promise<Peer> {
    const file = repoPath(`dist/test/logchan/${script}.js`);
    const child = fork(file, [JSON.stringify(options.args ?? {})], {
      execPath: 'setpriv',
      execArgv: [...UNSHARE, process.execPath, '--enable-source-maps'],
      env: { ...process.env, TWINSTEP_TEST_EVENTS: '' },
    });
    const peer = new Peer(child);
    await peer.hears('waiting');
    ip('link', 'set', interfaceName, 'netns', String(child.pid));
    peer.ip('link', 'set', 'lo', 'up');
    const mtu = String(options.mtu ?? 1500);
    peer.ip('link', 'set', interfaceName, 'addrgenmode', 'none', 'mtu', mtu, 'up');
    if (options.address !== undefined) {
      peer.ip('address', 'add', options.address, 'dev', interfaceName);
    }
    for (const { name, address } of options.more ?? []) {
      ip('link', 'set', name, 'netns', String(child.pid));
      peer.ip('link', 'set', name, 'addrgenmode', 'none', 'up');
      if (address !== undefined) peer.ip('address', 'add', address, 'dev', name);
    }
    peer.tell({ go: interfaceName });
    await peer.hears('ready');
    return peer;
  }

  /** Runs `ip` in the peer's namespace. */
  ip(...args: string[]): void {
    execFileSync('nsenter', ['-t', String(this.process.pid), '-n', 'ip', ...args], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }

  /** The next message of this kind, in the order they came; others before it are dropped. */
  async hears<T extends Message>(type: string): Promise<T> {
    while (true) {
      for (let message = this.unheard.shift(); message; message = this.unheard.shift()) {
        if (message.type === type) return message as T;
      }
      if (!this.runs) throw new Error(`the peer ended while we waited for "${type}"`);
      await new Promise<void>((resolve) => {
        this.notify = resolve;
      });
    }
  }

  tell(message: object): void {
    this.process.send(message);
  }

  private get runs(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  /** Ends it and takes the pair away, now: its namespace would take it along, but only some day. */
  async end(near: string): Promise<void> {
    ip('link', 'delete', near);
    await this.kill();
  }

  async kill(): Promise<void> {
    if (!this.runs) return;
    const gone = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await gone;
  }
}

/** For the scripts: waits for the interface, then says ready. */
export async function becomePeer(): Promise<{ interfaceName: string; args: unknown }> {
  process.send?.({ type: 'waiting' });
  const [message] = (await once(process, 'message')) as [{ go: string }];
  return { interfaceName: message.go, args: JSON.parse(process.argv[2] ?? '{}', endless) };
}

/** JSON writes infinity as null. */
function endless(_: string, value: unknown): unknown {
  return value === null ? Number.POSITIVE_INFINITY : value;
}

export function say(message: Message & Record<string, unknown>): void {
  process.send?.(message);
}
