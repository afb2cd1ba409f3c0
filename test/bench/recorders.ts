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
/** As the guest's scripts `idle` and `transfer` have it. */
export const IDLE_SECONDS = 20;
export const TRANSFER_BYTES = 8 << 20;

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

  /** Bits of log in each of the 20 seconds in which a guest sleeps. */
  async idleKbits(recorder: Recorder): Promise<number> {
    const log = this.freshLog();
    const [command, ...args] = this.recording(recorder, log, 'idle');
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    const [asleep, awake] = await sizesAt(child, log, [/@idle/, /@done/]);
    return (((awake?.bytes ?? 0) - (asleep?.bytes ?? 0)) * 8) / 1000 / IDLE_SECONDS;
  }

  /** TRANSFER_BYTES to the guest and from it, over TCP through a TAP in a network of their own. */
  async transfer(recorder: Recorder): Promise<Transfer> {
    const net = await newNamespace();
    const log = this.freshLog();
    try {
      const server = await this.tapAndServer(net);
      const [command, ...args] = this.recording(recorder, log, 'transfer', true);
      const child = net.spawn(command, ...args);
      const marks = [/@transfer/, /@received/, /@sent/];
      const [start, middle, end] = (await sizesAt(child, log, marks)) as [Mark, Mark, Mark];
      server.kill('SIGKILL');
      return {
        receiveLogBytes: middle.bytes - start.bytes,
        receiveSeconds: middle.seconds - start.seconds,
        sendLogBytes: end.bytes - middle.bytes,
        sendSeconds: end.seconds - middle.seconds,
      };
    } finally {
      await net.close();
    }
  }

  private async tapAndServer(net: Namespace): Promise<ChildProcess> {
    net.run('ip', 'tuntap', 'add', 'dev', TAP, 'mode', 'tap');
    net.run('ip', 'address', 'add', `${HOST_IP}/24`, 'dev', TAP);
    net.run('ip', 'link', 'set', TAP, 'up');
    const program = repoPath('dist/test/bench/tcp-load.js');
    const server = net.spawn(process.execPath, program, String(TRANSFER_BYTES));
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

interface Mark {
  readonly bytes: number;
  readonly seconds: number;
}

/** How long the log is when the guest says each of these; then it is killed. */
async function sizesAt(
  child: ChildProcess,
  log: string,
  marks: readonly RegExp[],
): Promise<Mark[]> {
  const console = new Transcript();
  const closed = new Promise<void>((resolve) =>
    child.once('close', (code, signal) => {
      console.end(`it ended with ${code ?? signal}`);
      resolve();
    }),
  );
  child.stdout?.on('data', (chunk) => console.add(String(chunk)));
  try {
    const sizes: Mark[] = [];
    for (const mark of marks) {
      await console.waitFor(mark, STEP_MS);
      sizes.push({ bytes: statSync(log).size, seconds: performance.now() / 1000 });
    }
    return sizes;
  } finally {
    child.kill('SIGKILL');
    await closed;
  }
}

/** The second line of `times` is the children's: user and system, as 0m1.230s. */
function childrenSeconds(text: string): number {
  const parts = [...(text.trim().split('\n').at(-1) ?? '').matchAll(/(\d+)m([\d.]+)s/g)];
  if (parts.length !== 2) throw new Error(`times said ${text}`);
  return parts.reduce((sum, [, minutes, rest]) => sum + Number(minutes) * 60 + Number(rest), 0);
}
