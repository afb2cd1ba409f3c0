// Network tests on a network of their own: nothing they do reaches the machine's, and two at a time
// cannot meet.
//
//     import { assert, needs, suite } from '../harness/index.ts';
//     import { enterNamespace, ip, newNamespace } from '../harness/netns.ts';
//
//     await enterNamespace();                      // first of all: what follows runs inside
//     const test = suite('net/something');
//     test.needs(needs.networkNamespaces());       // skipped in words where it cannot be
//
//     test('a peer', async () => {
//       const peer = await newNamespace();         // a second network, for the other end
//       ip('link', 'add', 'here', 'type', 'veth', 'peer', 'name', 'there', 'netns', `${peer.pid}`);
//       peer.run('ip', 'link', 'set', 'there', 'up');
//     });
//
// `enterNamespace()` starts the same file again under `unshare --net` and ends this process with
// the result of that one. Namespaces are anonymous: the kernel removes them, and every interface in
// them, when their last process is gone; and each process here is tied to the one that made it
// (PR_SET_PDEATHSIG, and a pipe that closes). So there is nothing to clean up, not even after SIGKILL.
//
// Inside: lo is up, there is nothing else. Processes and files are the machine's, /sys shows its
// interfaces, not yours: ask `ip`. Without root it tries a user namespace.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { EVENTS_ENV, EVENTS_FD } from './events.ts';
import { endTemp } from './temp.ts';

const INSIDE_ENV = 'TWINSTEP_NETNS';

/** Returns inside a fresh network namespace, or outside where this machine gives none. */
export async function enterNamespace(): Promise<void> {
  if (process.env[INSIDE_ENV] === '1') {
    delete process.env[INSIDE_ENV];
    ip('link', 'set', 'lo', 'up');
    return;
  }
  const unshare = ['unshare', ...(process.getuid?.() === 0 ? [] : ['--map-root-user']), '--net'];
  if (!works([...unshare, 'ip', 'link'])) return;
  const stdio: ('inherit' | 'ignore')[] = ['inherit', 'inherit', 'inherit'];
  if (process.env[EVENTS_ENV] === '1') stdio[EVENTS_FD] = 'inherit';
  const [command = '', ...args] = [...unshare, ...tied(), process.execPath, ...process.execArgv];
  const child = spawn(command, [...args, ...process.argv.slice(1)], {
    stdio,
    env: { ...process.env, [INSIDE_ENV]: '1' },
  });
  const [code, signal] = await once(child, 'exit');
  if (signal !== null) {
    endTemp();
    process.kill(process.pid, signal);
  }
  process.exit(code ?? 1);
}

export interface Namespace {
  /** A process inside: `ip link set X netns PID` moves an interface there. */
  readonly pid: number;
  /** Runs a command inside to its end; its output. Throws with its words if it fails. */
  run(command: string, ...args: string[]): string;
  /** Starts a command inside; it does not outlive this process. */
  spawn(command: string, ...args: string[]): ChildProcess;
  /** Ends it now; else it ends with this process. */
  close(): Promise<void>;
}

/**
 * One more network, with lo up, beside the one this process is in. `mounts`: with a mount table of
 * its own too; what is mounted there is seen from outside at `/proc/PID/root`.
 */
export async function newNamespace({ mounts = false } = {}): Promise<Namespace> {
  const own = ['--net', ...(mounts ? ['--mount'] : [])];
  const holder = spawn('unshare', [...own, ...tied(), 'sh', '-c', 'echo in; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const { pid } = holder;
  if (pid === undefined) throw new Error('unshare could not be started');
  await Promise.race([once(holder.stdout, 'data'), once(holder, 'exit')]);
  if (holder.exitCode !== null) throw new Error('no network namespace could be made');
  // The holder must not keep a test file alive that is done.
  holder.unref();
  for (const stream of [holder.stdin, holder.stdout]) (stream as Readable & Unref).unref?.();
  const inside = (command: string, args: string[]) => [
    ...[...own, '--target', String(pid), ...tied()],
    ...[command, ...args],
  ];
  const namespace: Namespace = {
    pid,
    run: (command, ...args) => run('nsenter', inside(command, args)),
    spawn: (command, ...args) =>
      spawn('nsenter', inside(command, args), { stdio: ['pipe', 'pipe', 'inherit'] }),
    close: async () => {
      if (holder.exitCode !== null || holder.signalCode !== null) return;
      holder.ref();
      const exit = once(holder, 'exit');
      holder.kill('SIGKILL');
      await exit;
    },
  };
  namespace.run('ip', 'link', 'set', 'lo', 'up');
  return namespace;
}

/** `ip` in this process's namespace: its output, or its complaint as an Error. */
export function ip(...args: string[]): string {
  return run('ip', args);
}

/** `tc`, the same. */
export function tc(...args: string[]): string {
  return run('tc', args);
}

interface Unref {
  unref?(): void;
}

/** Ends what follows when the process that starts it ends. */
function tied(): string[] {
  setpriv ??= works(['setpriv', '--pdeathsig', 'KILL', 'true']);
  return setpriv ? ['setpriv', '--pdeathsig', 'KILL'] : [];
}
let setpriv: boolean | undefined;

function works([command = '', ...args]: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

function run(command: string, args: string[]): string {
  const result = spawnSync(command, args, { encoding: 'utf8' });
  if (result.status === 0) return result.stdout;
  const words = result.error?.message ?? result.stderr.trim();
  throw new Error(`${command} ${args.join(' ')}: ${words}`);
}
