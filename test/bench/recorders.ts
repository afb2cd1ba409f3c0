// The guests the lockstep bench runs: `twinstep` plain, recording and replaying, and QEMU's recorder, on
// the same kernel, initrd and disk. Every run gives what it took and what it left.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Transcript } from '../guest/console.ts';
import type { LinuxGuest } from '../guests/linux/assemble.ts';
import { repoPath } from '../harness/index.ts';
import { type Namespace, newNamespace } from '../harness/netns.ts';

const COMMAND_LINE = 'console=ttyS0 quiet acpi=off noapic nolapic reboot=k';
const TWINSTEP = repoPath('dist/firmware/cli/twinstep.js');
const DISK_BYTES = 4 << 20;
const TAP = 'bench0';
const HOST_IP = '10.79.0.1';
const STEP_MS = 600_000;

export type Recorder = 'twinstep' | 'qemu';

export interface Run {
  readonly seconds: number;
  /** User and system time of all its threads. */
  readonly cpuSeconds: number;
  readonly logBytes: number;
  /** On the guest's own clock when it restarted itself. */
  readonly guestSeconds: number;
}

export interface Transfer {
  readonly receiveLogBytes: number;
  readonly sendLogBytes: number;
  readonly receiveSeconds: number;
  readonly sendSeconds: number;
}

type Command = readonly [command: string, ...args: string[]];

export class Recorders {
  private readonly guest: LinuxGuest;
  private readonly folder: string;

  constructor(guest: LinuxGuest, folder: string) {
    this.guest = guest;
    this.folder = folder;
  }

  plain(script: string): Run {
    const disk = this.freshDisk('disk');
    return this.timed(this.twinstep('guest', '--no-reboot', ...this.files(disk, script)));
  }

  record(script: string, recorder: Recorder = 'twinstep'): Run {
    const log = this.freshLog();
    return this.timed(this.recording(recorder, log, script), log);
  }

  /** Of the last recording by `twinstep`; nothing but digests and outputs is compared. */
  replay(): Run {
    const { kernel, initrd } = this.guest;
    const disk = this.freshDisk('disk.before');
    const files = ['--kernel', kernel, '--initrd', initrd, '--disk', disk];
    return this.timed(this.twinstep('replay', this.log, ...files, '--quiet'));
  }

  /** Bits of log in each second of a guest that sleeps. */
  async idleKbits(recorder: Recorder, seconds: number): Promise<number> {
    const log = this.freshLog();
    const [command, ...args] = this.recording(recorder, log, 'shell');
    const running = new Talking(spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'] }));
    try {
      await running.say('sleep 2');
      const before = statSync(log).size;
      await running.say(`sleep ${seconds}`);
      return ((statSync(log).size - before) * 8) / 1000 / seconds;
    } finally {
      await running.kill();
    }
  }

  /** `bytes` to the guest and `bytes` from it, over TCP through a TAP in a network of their own. */
  async transfer(recorder: Recorder, bytes: number): Promise<Transfer> {
    const net = await newNamespace();
    const log = this.freshLog();
    let running: Talking | undefined;
    try {
      const server = await this.tapAndServer(net, bytes);
      const [command, ...args] = this.recording(recorder, log, 'shell', true);
      running = new Talking(net.spawn(command, ...args));
      await running.say('true');
      const receive = await cost(log, () => running?.say(`nc ${HOST_IP} 5000 </dev/null | md5sum`));
      const head = `head -c ${bytes} /dev/zero`;
      const send = await cost(log, () => running?.say(`${head} | nc ${HOST_IP} 5001`));
      server.kill('SIGKILL');
      return {
        receiveLogBytes: receive.bytes,
        receiveSeconds: receive.seconds,
        sendLogBytes: send.bytes,
        sendSeconds: send.seconds,
      };
    } finally {
      await running?.kill();
      await net.close();
    }
  }

  private async tapAndServer(net: Namespace, bytes: number): Promise<ChildProcess> {
    net.run('ip', 'tuntap', 'add', 'dev', TAP, 'mode', 'tap');
    net.run('ip', 'address', 'add', `${HOST_IP}/24`, 'dev', TAP);
    net.run('ip', 'link', 'set', TAP, 'up');
    const program = repoPath('dist/test/bench/tcp-load.js');
    const server = net.spawn(process.execPath, program, String(bytes));
    // Its stderr is ours; a connection that comes before it listens is tried again by nobody.
    await new Promise((resolve) => setTimeout(resolve, 2000));
    return server;
  }

  private get log(): string {
    return join(this.folder, 'log');
  }

  private recording(recorder: Recorder, log: string, script: string, hasNet = false): Command {
    const disk = this.freshDisk('disk');
    const append = `${script}${hasNet ? ' twinstep.ip=10.79.0.2/24' : ''}`;
    if (recorder === 'twinstep') {
      const net = hasNet ? ['--net', `tap=${TAP}`] : [];
      return this.twinstep('record', '--log', log, ...net, ...this.files(disk, append));
    }
    const { kernel, initrd } = this.guest;
    const net = [
      ...['-netdev', `tap,id=n0,ifname=${TAP},script=no,downscript=no`],
      ...['-object', 'filter-replay,id=f0,netdev=n0', '-device', 'virtio-net-pci,netdev=n0'],
    ];
    return [
      'qemu-system-x86_64',
      ...['-accel', 'tcg', '-icount', `shift=3,rr=record,rrfile=${log}`],
      ...['-m', '256', '-nodefaults', '-display', 'none', '-no-reboot', '-serial', 'stdio'],
      ...(hasNet ? net : ['-net', 'none']),
      ...['-drive', `file=${disk},format=raw,if=none,id=d0,snapshot=on`],
      ...['-drive', 'driver=blkreplay,if=none,image=d0,id=r0'],
      ...['-device', 'virtio-blk-pci,drive=r0', '-kernel', kernel, '-initrd', initrd],
      ...['-append', `${COMMAND_LINE} twinstep.run=${append}`],
    ];
  }

  private twinstep(...args: string[]): Command {
    return [process.execPath, TWINSTEP, ...args];
  }

  private files(disk: string, script: string): string[] {
    const { kernel, initrd } = this.guest;
    const append = `${COMMAND_LINE} twinstep.run=${script}`;
    return ['--kernel', kernel, '--initrd', initrd, '--disk', disk, '--append', append];
  }

  private freshDisk(name: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, '');
    truncateSync(path, DISK_BYTES);
    return path;
  }

  private freshLog(): string {
    rmSync(this.log, { force: true });
    return this.log;
  }

  /** The shell counts what its child used; its own words go to a pipe of their own. */
  private timed([command, ...args]: Command, log?: string): Run {
    const started = performance.now();
    const { status, stdout, stderr, output } = spawnSync(
      'sh',
      ['-c', '"$@" 3>&-; status=$?; times >&3; exit $status', 'sh', command, ...args],
      { encoding: 'utf8', input: '', maxBuffer: 1 << 26, stdio: ['pipe', 'pipe', 'pipe', 'pipe'] },
    );
    const seconds = (performance.now() - started) / 1000;
    if (status !== 0) throw new Error(`${command} ended with ${status}: ${stderr.slice(-500)}`);
    const restart = /\[ *(\d+\.\d+)\] reboot: Restarting/.exec(stdout)?.[1];
    return {
      seconds,
      cpuSeconds: childrenSeconds(String(output[3])),
      logBytes: log === undefined ? 0 : statSync(log).size,
      guestSeconds: Number(restart ?? '0'),
    };
  }
}

/** A guest at its shell, on pipes. */
class Talking {
  private readonly console = new Transcript();
  private readonly child: ChildProcess;
  private isReady = false;

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdin?.on('error', () => {});
    child.stdout?.on('data', (chunk) => this.console.add(String(chunk)));
    child.once('close', (code, signal) => this.console.end(`it ended with ${code ?? signal}`));
  }

  async say(command: string): Promise<void> {
    if (!this.isReady) await this.console.waitFor(/# /, STEP_MS);
    this.isReady = true;
    this.child.stdin?.write(`${command}; echo "@""status $?"\n`);
    const found = await this.console.waitFor(/@status (\d+)/, STEP_MS);
    if (found[1] !== '0') throw new Error(`${command}: ${found.input.slice(-300)}`);
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    if (this.child.exitCode === null && this.child.signalCode === null)
      await new Promise((resolve) => this.child.once('close', resolve));
  }
}

async function cost(log: string, action: () => Promise<void> | undefined) {
  const [before, started] = [statSync(log).size, performance.now()];
  await action();
  return { bytes: statSync(log).size - before, seconds: (performance.now() - started) / 1000 };
}

/** The second line of `times` is the children's: user and system, as 0m1.230s. */
function childrenSeconds(text: string): number {
  const parts = [...(text.trim().split('\n').at(-1) ?? '').matchAll(/(\d+)m([\d.]+)s/g)];
  if (parts.length !== 2) throw new Error(`times said ${text}`);
  return parts.reduce((sum, [, minutes, rest]) => sum + Number(minutes) * 60 + Number(rest), 0);
}
