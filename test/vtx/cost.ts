// What runs inside the emulated machine for `npm run test:vtx -- --boards cost`: what the hardware engine costs its
// guest. One query of the time; then the shell benchmark of an unmodified Linux plain, recorded and replayed,
// and which exits it made. In emulated time all of it repeats.
//
//     cost.js ENGINE KERNEL INITRD
import { spawn } from 'node:child_process';
import { readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { ENGINE_CHOICES } from '../../firmware/host/engine-kinds.ts';
import { linuxNeeds } from '../../firmware/host/exact-linux.ts';
import { probeKvm, VtxEngine } from '../../native/index.ts';
import { repoPath } from '../harness/index.ts';
import { TestMachine } from '../softcpu/machine.ts';
import * as raw from '../softcpu/raw.ts';
import type { MakeEngine } from '../softcpu/under-test.ts';
import { ASKS, timePerSecond } from './told.ts';

const TWINSTEP = repoPath('dist/firmware/cli/twinstep.js');
const COMMAND_LINE =
  'console=ttyS0 quiet acpi=off noapic nolapic reboot=k noxsave twinstep.run=bench';
const [LOG, DISK, DISK_BYTES] = ['/tmp/log', '/tmp/disk', 4 << 20];
const ASKED = 20_000;
const EVENTS = '/sys/kernel/tracing/events/kvm';
/** SVM's own numbers (arch/x86/include/uapi/asm/svm.h). */
const SVM_EXITS: Readonly<Record<string, string>> = {
  ...{ '0x4e': 'page fault', '0x60': 'interrupt of the host', '0x64': 'interrupt window' },
  ...{
    '0x6e': 'RDTSC',
    '0x72': 'CPUID',
    '0x78': 'HLT',
    '0x7b': 'port',
    '0x7c': 'MSR',
    '0x87': 'RDTSCP',
  },
  ...{
    '0x79': 'INVLPG',
    '0x400': 'nested page fault',
    '0x10': 'CR0 written',
    '0x13': 'CR3 written',
    '0x3': 'CR3 read',
  },
};

const [wanted, kernel = '', initrd = ''] = process.argv.slice(2);
const engine = ENGINE_CHOICES.find((choice) => choice === wanted) ?? 'vtx-exits';
const say = (line: string) => process.stdout.write(`${line}\n`);
let steps = 0;
const ok = (name: string, found: string) => say(`ok ${++steps} - ${name} # ${found}`);
const vtx: MakeEngine = (memory) => new VtxEngine(memory, 'exits', 0, 1);
const us = (perSecond: number) => `${(1e6 / perSecond).toFixed(2)} us each`;

function queries(): void {
  const { tellsTsc } = probeKvm();
  for (const ask of tellsTsc ? (['RDTSC', 'RDTSCP', 'RDMSR'] as const) : (['RDMSR'] as const))
    ok(`${ask}, ${ASKS[ask].length} bytes, told in place`, us(timePerSecond(vtx, ask, ASKED)));
  const machine = new TestMachine(raw.rawGuest(raw.forever([0xe6, 0x80])), undefined, vtx);
  const begunMs = performance.now();
  machine.run(BigInt(ASKED));
  ok('a port write, to JavaScript and back', us(ASKED / ((performance.now() - begunMs) / 1000)));
  machine.close();
}

interface Run {
  /** From the start of the process to the shell, and of the benchmark. */
  readonly bootS: number;
  readonly benchS: number;
  /** What the benchmark printed: the same in every run. */
  readonly said: string;
}

function twinstep(verb: 'guest' | 'record' | 'replay'): Promise<Run> {
  writeFileSync(DISK, '');
  truncateSync(DISK, DISK_BYTES);
  const files = ['--kernel', kernel, '--initrd', initrd, '--disk', DISK];
  const boot = ['--engine', engine, '--memory', '96', '--append', COMMAND_LINE, ...files];
  const more = {
    guest: ['--no-reboot', ...boot],
    record: ['--log', LOG, ...boot],
    replay: [LOG, ...files],
  };
  if (verb === 'record') rmSync(LOG, { force: true });
  const begunMs = performance.now();
  const child = spawn(process.execPath, [TWINSTEP, verb, ...more[verb]], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [text, words] = ['', ''];
  const at: Record<string, number> = {};
  child.stderr.on('data', (bytes: Buffer) => {
    words += bytes;
  });
  child.stdout.on('data', (bytes: Buffer) => {
    text += bytes.toString('latin1');
    for (const mark of ['@bench start', '@bench end'])
      if (text.includes(mark)) at[mark] ??= performance.now();
  });
  return new Promise((resolve, reject) => {
    child.once('close', (code) => {
      const [start, end] = [at['@bench start'], at['@bench end']];
      if (code !== 0 || start === undefined || end === undefined)
        return reject(
          new Error(`${verb} ended with ${code}: ${words.slice(-500)}${text.slice(-500)}`),
        );
      const said = text.slice(text.indexOf('@bench start'), text.indexOf('@bench end'));
      resolve({ bootS: (start - begunMs) / 1000, benchS: (end - start) / 1000, said });
    });
  });
}

/** Counted by the kernel, by kind; empty where it does not trace. */
function countExits(isOn: boolean): void {
  try {
    writeFileSync(`${EVENTS}/kvm_exit/trigger`, `${isOn ? '' : '!'}hist:keys=exit_reason.hex`);
  } catch (error) {
    say(`# exits are not counted: ${(error as Error).message}`);
  }
}

function exitsSince(seconds: number): string {
  try {
    const text = readFileSync(`${EVENTS}/kvm_exit/hist`, 'latin1');
    const found = [...text.matchAll(/exit_reason: +(?:0x)?([0-9a-f]+) *\} hitcount: +(\d+)/g)]
      .map(([, reason = '', count]) => ({ reason: `0x${reason}`, count: Number(count) }))
      .sort((a, b) => b.count - a.count);
    const all = found.reduce((sum, { count }) => sum + count, 0);
    const each = found
      .slice(0, 10)
      .map(({ reason, count }) => `${SVM_EXITS[reason] ?? reason} ${count}`);
    return `${all} exits, ${(all / seconds).toFixed(0)}/s: ${each.join(', ')}`;
  } catch (error) {
    return (error as Error).message;
  }
}

const words = ({ bootS, benchS }: Run) =>
  `boot ${bootS.toFixed(2)} s, benchmark ${benchS.toFixed(2)} s`;

async function linux(): Promise<void> {
  const plain = await twinstep('guest');
  ok('the benchmark, plain', words(plain));
  const recorded = await twinstep('record');
  ok('recorded', `${words(recorded)}, log ${(statSync(LOG).size / 1e6).toFixed(2)} MB`);
  if (recorded.said !== plain.said) throw new Error(`it said otherwise:\n${recorded.said}`);
  const replayed = await twinstep('replay');
  ok('replayed', words(replayed));
  countExits(true);
  const counted = await twinstep('guest');
  ok('plain, exits counted', `${words(counted)}; ${exitsSince(counted.bootS + counted.benchS)}`);
  countExits(false);
}

const probe = probeKvm();
for (const line of probe.words) say(`# ${line}`);
for (const { area, isMet, found } of linuxNeeds(probe))
  say(`# ${area}: ${isMet ? 'exact' : 'not exact'}, ${found}`);
let failed = 0;
try {
  queries();
  await linux();
} catch (error) {
  failed = 1;
  for (const [n, line] of (error as Error).message.split('\n').entries())
    say(n === 0 ? `not ok ${++steps} - ${line}` : `  ${line}`);
}
say(`1..${steps}`);
say(`${steps - failed} passed, ${failed} failed`);
process.exit(failed);
