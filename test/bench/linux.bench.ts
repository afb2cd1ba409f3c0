// The unmodified Debian kernel with a shell benchmark, from the start of the process to its end, and what
// an idle guest costs: beside QEMU's recorder with the same kernel and initrd, in the same run.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assembled } from '../guest/linux-guest.ts';
import type { LinuxGuest } from '../guests/linux/assemble.ts';
import { needs, repoPath } from '../harness/index.ts';
import type { Comparison } from './frame.ts';

const QEMU = 'qemu-system-x86_64';
const COMMAND_LINE = 'console=ttyS0 acpi=off noapic nolapic quiet reboot=k';
const IDLE_S = 10;
/** Where there is no recorder to compare with: what we promise ourselves. */
const BAR = { benchSeconds: 20, idlePercent: 5 } as const;

export async function comparisons(): Promise<Comparison[] | { skipped: string }> {
  const { guest, why } = assembled();
  if (guest === undefined) return { skipped: why };
  const bench = new LinuxBench(guest);
  const hasPeer = needs.command(QEMU, 'qemu-system-x86').met;
  const bar = (value: number) => ({ name: 'the bar', run: () => value });
  return [
    {
      name: 'Debian boot and shell benchmark, whole process (goal: ratio at most 4)',
      unit: 's',
      better: 'lower',
      rounds: 3,
      ours: { name: 'twinstep guest', run: () => bench.seconds(bench.ours('bench')) },
      peer: hasPeer
        ? { name: 'QEMU, recording', run: () => bench.seconds(bench.qemu('bench')) }
        : bar(BAR.benchSeconds),
    },
    {
      name: 'the same in CPU time of the process, which other load does not change',
      unit: 's',
      better: 'lower',
      rounds: 3,
      ours: { name: 'twinstep guest', run: () => bench.cpuSeconds(bench.ours('bench')) },
      peer: hasPeer
        ? { name: 'QEMU, recording', run: () => bench.cpuSeconds(bench.qemu('bench')) }
        : bar(BAR.benchSeconds),
    },
    {
      name: 'idle guest at its shell, CPU time of the process',
      unit: '% of a core',
      better: 'lower',
      rounds: 1,
      ours: { name: 'twinstep guest', run: () => bench.idlePercent(bench.ours('shell')) },
      peer: hasPeer
        ? { name: 'QEMU, recording', run: () => bench.idlePercent(bench.qemu('shell')) }
        : bar(BAR.idlePercent),
    },
  ];
}

type Command = readonly [command: string, ...args: string[]];

class LinuxBench {
  private readonly guest: LinuxGuest;
  private readonly log = join(tmpdir(), `twinstep-bench-${process.pid}.rr`);

  constructor(guest: LinuxGuest) {
    this.guest = guest;
    process.on('exit', () => rmSync(this.log, { force: true }));
  }

  ours(script: string): Command {
    const command = repoPath('dist/firmware/cli/twinstep.js');
    return [process.execPath, command, 'guest', '--no-reboot', ...this.files('--', script)];
  }

  qemu(script: string): Command {
    return [
      QEMU,
      ...['-accel', 'tcg', '-icount', `shift=3,rr=record,rrfile=${this.log}`, '-m', '256'],
      ...['-nodefaults', '-display', 'none', '-no-reboot', '-serial', 'stdio', '-net', 'none'],
      ...this.files('-', script),
    ];
  }

  seconds(command: Command): number {
    const started = performance.now();
    run(command);
    return (performance.now() - started) / 1000;
  }

  cpuSeconds([command, ...args]: Command): number {
    const timed = spawnSync('sh', ['-c', '"$@" >/dev/null; times', 'sh', command, ...args], {
      encoding: 'utf8',
      input: '',
    });
    // The second line of `times` is the children's: user and system, as 0m1.230s.
    const children = timed.stdout.trim().split('\n').at(-1) ?? '';
    const parts = [...children.matchAll(/(\d+)m([\d.]+)s/g)];
    if (timed.status !== 0 || parts.length !== 2) throw new Error(`${command}: ${timed.stderr}`);
    return parts.reduce((sum, [, minutes, rest]) => sum + Number(minutes) * 60 + Number(rest), 0);
  }

  async idlePercent([command, ...args]: Command): Promise<number> {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    try {
      await printed(child, '# ');
      await passed(2);
      const before = cpuSeconds(child.pid ?? 0);
      await passed(IDLE_S);
      return (100 * (cpuSeconds(child.pid ?? 0) - before)) / IDLE_S;
    } finally {
      child.kill('SIGKILL');
    }
  }

  private files(dash: string, script: string): string[] {
    const { kernel, initrd } = this.guest;
    const append = `${COMMAND_LINE} twinstep.run=${script}`;
    return [`${dash}kernel`, kernel, `${dash}initrd`, initrd, `${dash}append`, append];
  }
}

function run([command, ...args]: Command): void {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', input: '' });
  const isDone = stdout.includes('sum 667472') && stdout.includes('@done bench 0');
  if (status !== 0 || !isDone) throw new Error(`${command} ended with ${status}: ${stderr}`);
}

/** User and system time of a process with its threads. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function printed(child: ChildProcess, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let seen = '';
    child.stdout?.on('data', (bytes) => {
      seen += bytes;
      if (seen.includes(text)) resolve();
    });
    child.once('close', () => reject(new Error(`ended without "${text}":\n${seen}`)));
  });
}

const passed = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
