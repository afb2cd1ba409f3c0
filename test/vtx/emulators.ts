// The processors that `npm run test:vtx` emulates, and how each boots an image.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, copyFileSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repoPath } from '../harness/index.ts';
import type { ImageOptions, VtxImage } from './image.ts';

export interface Emulator {
  readonly name: string;
  readonly needs: readonly string[];
  readonly module: ImageOptions['module'];
  readonly minutesMax: number;
  readonly scale: number;
  start(image: VtxImage, folder: string): { child: ChildProcess; serial: string };
}

const COMMAND_LINE =
  'console=ttyS0,115200 quiet nokaslr mitigations=off no_timer_check cryptomgr.notests initcall_blacklist=crypto_kdf108_init,load_system_certificate_list';

/** Emulators get what others leave of the processor. */
function nice(command: string, args: readonly string[], cwd: string): ChildProcess {
  const log = openSync(join(cwd, 'emulator.log'), 'w');
  const child = spawn('nice', ['-n', '15', command, ...args], { cwd, stdio: ['ignore', log, log] });
  closeSync(log);
  return child;
}

export const QEMU: Emulator = {
  name: 'qemu-svm',
  needs: ['qemu-system-x86_64'],
  module: 'kvm-amd',
  minutesMax: 20,
  scale: 1,
  start: (image, folder) => startQemu('qemu-system-x86_64', image, folder),
};

function startQemu(
  command: string,
  { kernel, initrd }: VtxImage,
  folder: string,
  more: readonly string[] = ['-m', '1536'],
) {
  const serial = join(folder, 'serial.txt');
  const machine = ['-accel', 'tcg', '-cpu', 'EPYC,+svm', '-no-reboot', ...more];
  const plain = ['-nodefaults', '-no-user-config', '-display', 'none', '-serial', `file:${serial}`];
  const boot = ['-kernel', kernel, '-initrd', initrd, '-append', COMMAND_LINE];
  return { child: nice(command, [...machine, ...plain, ...boot], folder), serial };
}

export const BOCHS: Emulator = {
  name: 'bochs-vmx',
  needs: ['bochs', 'grub-mkrescue', 'xorriso'],
  module: 'kvm-intel',
  minutesMax: 45,
  scale: 1,
  start(image, folder) {
    writeFileSync(join(folder, 'go.rc'), 'c\n');
    // Debian's has the debugger in it, which waits for a word.
    return startBochs(
      'bochs',
      ['-rc', 'go.rc'],
      `${LEAN}, gameport=false, iodebug=false`,
      image,
      folder,
    );
  },
};

type Say = (line: string) => void;

/**
 * Bochs with a PMU, built from Debian's source and our patch (emulators/). Where the source cannot be had:
 * Debian's Bochs, whose processor counts nothing.
 */
export function bochsWithPmu(say: Say): Emulator {
  say('Bochs with a PMU: takes minutes where it is not built yet');
  const folder = made('build-bochs.sh', 'bochs', say);
  if (folder === undefined) {
    say("Debian's Bochs instead, without a PMU: branches are counted by single steps");
    return BOCHS;
  }
  const command = join(folder, 'bochs');
  const start: Emulator['start'] = (image, at) => startBochs(command, [], LEAN, image, at);
  return { ...BOCHS, name: 'bochs-pmu', minutesMax: 60, start };
}

/** QEMU 7.2 with six lines that remember the shadow of an STI (emulators/); where it cannot be built, this machine's. */
export function mendedQemu(say: Say): Emulator {
  say('a QEMU with a mended SVM: takes some ten minutes where it is not built yet');
  const folder = made('build-qemu.sh', 'qemu-mended', say);
  if (folder === undefined) {
    say("this machine's QEMU instead");
    return QEMU;
  }
  const command = join(folder, 'qemu-system-x86_64');
  return { ...QEMU, needs: [], start: (image, at) => startQemu(command, image, at) };
}

/** QEMU 10.0, which remembers the shadow of an STI, and is of no use without nested paging; where it cannot be had, this machine's. */
export function newerQemu(say: Say): Emulator {
  const command = newerQemuCommand(say);
  if (command === undefined) return QEMU;
  return { ...QEMU, needs: [], start: (image, at) => startQemu(command, image, at) };
}

/**
 * The same by a clock that counts instructions, one a nanosecond, and jumps where there is nothing to do: figures in
 * there are the emulated machine's, however busy this one is.
 */
export function inEmulatedTime(what: string, say: Say): Emulator {
  const command = newerQemuCommand(say);
  return {
    ...{ ...QEMU, name: `qemu-icount-${what}`, minutesMax: 60 },
    needs: command === undefined ? QEMU.needs : [],
    start: (image, at) => startQemu(command ?? 'qemu-system-x86_64', image, at, EMULATED_TIME),
  };
}

const EMULATED_TIME = [
  ...['-icount', 'shift=0,sleep=off', '-rtc', 'base=2026-11-01,clock=vm', '-seed', '7'],
  ...['-m', '2560'],
];

/** Undefined, and said why: it cannot be had. */
export function newerQemuCommand(say: Say): string | undefined {
  const folder = made('unpack-qemu.sh', 'qemu', say);
  if (folder !== undefined) return join(folder, 'qemu-system-x86_64');
  say("this machine's QEMU instead");
  return undefined;
}

/** The folder with what a script of emulators/ left; undefined, and said why: Debian's packages cannot be had. */
function made(script: string, name: string, say: Say): string | undefined {
  const folder = repoPath(`.cache/vtx/emulators/${name}`);
  const path = repoPath(`test/vtx/emulators/${script}`);
  const { status, stderr } = spawnSync('sh', [path, folder], { encoding: 'utf8' });
  for (const line of stderr.trim().split('\n')) if (line !== '') say(line);
  if (status === 0) return folder;
  if (status !== 3) throw new Error(`${script} ended with ${status}`);
  return undefined;
}

function startBochs(
  command: string,
  more: readonly string[],
  plugins: string,
  image: VtxImage,
  folder: string,
) {
  makeIso(image.kernel, image.initrd, folder);
  writeFileSync(join(folder, 'bochsrc'), `plugin_ctrl: ${plugins}\n${BOCHSRC}`);
  const child = nice(command, ['-q', '-f', 'bochsrc', ...more], folder);
  return { child, serial: join(folder, 'serial.txt') };
}

const GRUB = `serial --unit=0 --speed=115200
terminal_output serial
set timeout=0
menuentry t { linux /vmlinuz ${COMMAND_LINE}
 initrd /initrd }
`;

function makeIso(kernel: string, initrd: string, folder: string): void {
  const root = join(folder, 'iso');
  mkdirSync(join(root, 'boot/grub'), { recursive: true });
  writeFileSync(join(root, 'boot/grub/grub.cfg'), GRUB);
  copyFileSync(kernel, join(root, 'vmlinuz'));
  copyFileSync(initrd, join(root, 'initrd'));
  const lean = ['--fonts=', '--locales=', '--themes='];
  const made = spawnSync('grub-mkrescue', [...lean, '-o', 'boot.iso', 'iso'], { cwd: folder });
  if (made.status !== 0) throw new Error(`grub-mkrescue: ${made.stderr}`);
}

const LEAN =
  'unmapped=true, biosdev=true, speaker=false, extfpuirq=true, parallel=false, serial=true';
const BOCHSRC = `config_interface: textconfig
display_library: rfb, options="timeout=0, hideIPS"
memory: guest=1536, host=1536
romimage: file=/usr/share/bochs/BIOS-bochs-latest, options=fastboot
vgaromimage: file=/usr/share/vgabios/vgabios.bin
cpu: model=corei7_haswell_4770, count=1, ips=100000000, reset_on_triple_fault=1, ignore_bad_msrs=1
pci: enabled=1, chipset=i440fx
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=boot.iso, status=inserted
ata1: enabled=0
boot: cdrom
clock: sync=none, time0=utc, rtc_sync=0
com1: enabled=1, mode=file, dev=serial.txt
floppya: type=none
mouse: enabled=0
log: bochs.log
debugger_log: bochsdbg.log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
`;
