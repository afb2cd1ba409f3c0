// Integer loops on the software engine, in instructions a second: against another emulator's recorder
// running the same guest where it is installed, else against the bar we set ourselves.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { needs } from '../harness/index.ts';
import { buildGuest, loadGuest } from '../softcpu/guest.ts';
import { TestMachine } from '../softcpu/machine.ts';
import type { Comparison, Contestant } from './frame.ts';
import { quantile } from './frame.ts';

const LOOPS = {
  nested: 'nested counters',
  memory: 'memory walk',
  calls: 'calls and returns',
  mixed: 'shifts, branches, tables',
} as const;
type Loop = keyof typeof LOOPS;

const ROUNDS = 3;
/** Instructions a second of a 2.4 GHz core, for integer loops. */
const BAR = 150e6;
const QEMU = 'qemu-system-x86_64';
const ALWAYS = 1n << 60n;

/** Instructions and seconds of a whole run. */
function ourRun(loop: Loop, slice = ALWAYS): { instructions: number; seconds: number } {
  const machine = new TestMachine(loadGuest('loops', `LOOP=${loop}`));
  const started = performance.now();
  while (machine.run(machine.icount + slice) === 'limit');
  const seconds = (performance.now() - started) / 1000;
  const instructions = Number(machine.icount);
  if (machine.devices.exitCode !== 0) throw new Error(machine.devices.text);
  machine.close();
  return { instructions, seconds };
}

const ours = (name: string, loop: Loop, slice = ALWAYS): Contestant => ({
  name,
  run: () => {
    const { instructions, seconds } = ourRun(loop, slice);
    return instructions / seconds;
  },
});

/** Seconds from start to end of the emulator with this guest, recording. */
function qemuSeconds(loop: Loop | 'empty'): number {
  const kernel = buildGuest('loops', `LOOP=${loop}`);
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-bench-'));
  const args = [
    ...['-accel', 'tcg', '-icount', `shift=3,rr=record,rrfile=${join(folder, 'log')}`],
    ...['-cpu', 'max', '-m', '64', '-nodefaults', '-display', 'none', '-no-reboot'],
    ...['-device', 'isa-debug-exit,iobase=0xf4,iosize=4', '-kernel', kernel],
  ];
  const started = performance.now();
  const run = spawnSync(QEMU, args, { encoding: 'utf8', timeout: 120_000 });
  const seconds = (performance.now() - started) / 1000;
  rmSync(folder, { recursive: true, force: true });
  // The debug exit leaves with twice the guest's code plus one.
  if (run.status !== 1) throw new Error(`${QEMU}: exit ${run.status}\n${run.stderr}`);
  return seconds;
}

function recorder(loop: Loop): Contestant {
  const instructions = ourRun(loop).instructions;
  const start = quantile(
    [1, 2, 3].map(() => qemuSeconds('empty')),
    0.5,
  );
  return {
    name: 'QEMU, recording',
    run: () => instructions / (qemuSeconds(loop) - start),
  };
}

const bar: Contestant = { name: 'the bar', run: () => BAR };

export async function comparisons(): Promise<Comparison[] | { skipped: string }> {
  const gcc = needs.command('gcc');
  if (!gcc.met) return { skipped: gcc.why };
  const qemu = needs.command(QEMU, 'qemu-system-x86').met;
  const common = { unit: 'instr/s', better: 'higher', rounds: ROUNDS } as const;
  const loops = (Object.keys(LOOPS) as Loop[]).map(
    (loop): Comparison => ({
      ...common,
      name: `software engine: ${LOOPS[loop]}`,
      ours: ours('software engine', loop),
      peer: qemu ? recorder(loop) : bar,
    }),
  );
  return [
    ...loops,
    {
      ...common,
      name: 'software engine: slices of 10,000 instructions',
      ours: ours('in slices', 'mixed', 10_000n),
      peer: ours('whole', 'mixed'),
    },
  ];
}
