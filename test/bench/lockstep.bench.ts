// What recording costs, how fast a replay runs, and how many bits a log takes, on an unmodified Linux;
// beside it QEMU's recorder on the same kernel and initrd, in the same run. For an idle guest VMware FT
// published 0.5 to 1.5 Mbit/s (Scales et al., SIGOPS OSR 44(4), 2010, section 5.1).
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LinuxGuest, linuxGuest } from '../guests/linux/assemble.ts';
import { needs, repoPath } from '../harness/index.ts';
import type { Comparison } from './frame.ts';

const COMMAND_LINE = 'console=ttyS0 quiet acpi=off noapic nolapic reboot=k';

interface Run {
  seconds: number;
  /** Seconds on the guest's own clock when it restarted itself. */
  guestSeconds: number;
}

export async function comparisons(): Promise<Comparison[] | { skipped: string }> {
  let guest: LinuxGuest;
  try {
    guest = linuxGuest();
  } catch (error) {
    return { skipped: (error as Error).message };
  }
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-bench-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const bench = new Bench(guest, folder);
  const own: Comparison[] = [
    {
      name: 'recording: boot and shell benchmark, recorded against plain',
      unit: 's',
      better: 'lower',
      rounds: 3,
      ours: { name: 'twinstep record', run: () => bench.record('bench').seconds },
      peer: { name: 'twinstep guest', run: () => bench.plain('bench').seconds },
    },
    {
      name: 'replay: the same log, replayed against recorded',
      unit: 's',
      better: 'lower',
      rounds: 3,
      ours: { name: 'twinstep replay', run: () => bench.replay() },
      peer: { name: 'twinstep record', run: () => bench.record('bench').seconds },
    },
  ];
  if (!needs.command('qemu-system-x86_64').met) return own;
  const engine: Comparison = {
    name: 'engine: Debian boot and shell benchmark, against another recorder',
    unit: 's',
    better: 'lower',
    rounds: 3,
    ours: { name: 'twinstep record', run: () => bench.record('bench').seconds },
    peer: { name: "QEMU's recorder", run: () => bench.qemu('bench').seconds },
  };
  const rates = (['idle', 'bench', 'disk'] as const).map(
    (script): Comparison => ({
      name: `log of a Linux guest, script ${script}, boot included`,
      unit: 'kbit/s',
      better: 'lower',
      rounds: 1,
      ours: { name: 'twinstep record', run: () => bench.logRate(script) },
      peer: { name: "QEMU's recorder", run: () => bench.qemuLogRate(script) },
    }),
  );
  return [engine, ...own, ...rates];
}

class Bench {
  private readonly guest: LinuxGuest;
  private readonly log: string;
  private readonly disk: string;
  private readonly diskBefore: string;

  constructor(guest: LinuxGuest, folder: string) {
    this.guest = guest;
    this.log = join(folder, 'log');
    this.disk = join(folder, 'disk');
    this.diskBefore = join(folder, 'disk.before');
  }

  plain(script: string): Run {
    return this.run(['guest', '--no-reboot', ...this.files(script, this.freshDisk())]);
  }

  record(script: string): Run {
    rmSync(this.log, { force: true });
    return this.run(['record', '--log', this.log, ...this.files(script, this.freshDisk())]);
  }

  replay(): number {
    truncate(this.diskBefore);
    const { kernel, initrd } = this.guest;
    const files = ['--kernel', kernel, '--initrd', initrd, '--disk', this.diskBefore];
    return this.run(['replay', this.log, ...files, '--quiet']).seconds;
  }

  logRate(script: string): number {
    const { guestSeconds } = this.record(script);
    return kbits(statSync(this.log).size, guestSeconds);
  }

  qemuLogRate(script: string): number {
    const { guestSeconds } = this.qemu(script);
    return kbits(statSync(`${this.log}.qemu`).size, guestSeconds);
  }

  qemu(script: string): Run {
    const { kernel, initrd } = this.guest;
    truncate(this.disk);
    return timed('qemu-system-x86_64', [
      ...['-accel', 'tcg', '-icount', `shift=3,rr=record,rrfile=${this.log}.qemu`],
      ...['-m', '256', '-nodefaults', '-display', 'none', '-no-reboot', '-serial', 'stdio'],
      ...['-net', 'none', '-drive', `file=${this.disk},format=raw,if=none,id=d0,snapshot=on`],
      ...['-drive', 'driver=blkreplay,if=none,image=d0,id=r0'],
      ...['-device', 'virtio-blk-pci,drive=r0'],
      ...['-kernel', kernel, '-initrd', initrd],
      ...['-append', `${COMMAND_LINE} twinstep.run=${script}`],
    ]);
  }

  private files(script: string, disk: string): string[] {
    const { kernel, initrd } = this.guest;
    const append = `${COMMAND_LINE} twinstep.run=${script}`;
    return ['--kernel', kernel, '--initrd', initrd, '--disk', disk, '--append', append];
  }

  private freshDisk(): string {
    truncate(this.disk);
    return this.disk;
  }

  private run(args: string[]): Run {
    return timed(process.execPath, [repoPath('dist/firmware/cli/twinstep.js'), ...args]);
  }
}

function timed(command: string, args: string[]): Run {
  const started = performance.now();
  const { status, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    input: '',
    maxBuffer: 1 << 26,
  });
  if (status !== 0) throw new Error(`${command} ended with ${status}: ${stderr.slice(-500)}`);
  const restart = /\[ *(\d+\.\d+)\] reboot: Restarting/.exec(stdout)?.[1];
  return { seconds: (performance.now() - started) / 1000, guestSeconds: Number(restart ?? '0') };
}

const kbits = (bytes: number, seconds: number): number => (bytes * 8) / 1000 / seconds;

function truncate(path: string): void {
  spawnSync('sh', ['-c', 'rm -f "$1" && truncate -s 4M "$1"', 'sh', path]);
}
