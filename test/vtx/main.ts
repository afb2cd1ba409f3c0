// The command behind `npm run test:vtx`: the hardware engine under emulated virtualisation, SVM by QEMU
// and VT-x by Bochs. Each boots an image of its own, runs test/vtx/inside.ts in it, and answers over the
// serial line; lines are passed on with the emulator's name. Ends with `N passed, N failed`.
//
//     npm run test:vtx -- [qemu] [bochs] [--scale N] [--modules FOLDER] [--only REGEXP] [--linux]
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DebianError } from '../guests/linux/debian.ts';
import { repoPath } from '../harness/index.ts';
import { optionsOf } from '../harness/options.ts';
import { type ImageOptions, type VtxImage, vtxImage } from './image.ts';

interface Emulator {
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

const QEMU: Emulator = {
  name: 'qemu-svm',
  needs: ['qemu-system-x86_64'],
  module: 'kvm-amd',
  minutesMax: 20,
  scale: 1,
  start({ kernel, initrd }, folder) {
    const serial = join(folder, 'serial.txt');
    const machine = ['-accel', 'tcg', '-cpu', 'EPYC,+svm', '-m', '1536', '-no-reboot'];
    const plain = [
      '-nodefaults',
      '-no-user-config',
      '-display',
      'none',
      '-serial',
      `file:${serial}`,
    ];
    const boot = ['-kernel', kernel, '-initrd', initrd, '-append', COMMAND_LINE];
    return { child: nice('qemu-system-x86_64', [...machine, ...plain, ...boot], folder), serial };
  },
};

const BOCHS: Emulator = {
  name: 'bochs-vmx',
  needs: ['bochs', 'grub-mkrescue', 'xorriso'],
  module: 'kvm-intel',
  minutesMax: 45,
  scale: 1,
  start({ kernel, initrd }, folder) {
    makeIso(kernel, initrd, folder);
    writeFileSync(join(folder, 'bochsrc'), BOCHSRC);
    writeFileSync(join(folder, 'go.rc'), 'c\n');
    const args = ['-q', '-f', 'bochsrc', '-rc', 'go.rc'];
    return { child: nice('bochs', args, folder), serial: join(folder, 'serial.txt') };
  },
};

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

const BOCHSRC = `plugin_ctrl: unmapped=true, biosdev=true, speaker=false, extfpuirq=true, parallel=false, serial=true, gameport=false, iodebug=false
config_interface: textconfig
display_library: rfb, options="timeout=0, hideIPS"
memory: guest=1024, host=1024
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

interface Result {
  passed: number;
  failed: number;
}

/** Passes on what the machine says until it says it is done, or time is up. */
async function follow(emulator: Emulator, child: ChildProcess, serial: string): Promise<Result> {
  const result = { passed: 0, failed: 0 };
  const endMs = performance.now() + emulator.minutesMax * 60_000;
  let seen = 0;
  let ended = false;
  let isThrough = false;
  child.once('exit', () => {
    ended = true;
  });
  while (!isThrough && performance.now() < endMs) {
    const wasEnded = ended;
    const text = existsSync(serial) ? readFileSync(serial, 'latin1') : '';
    const whole = wasEnded ? text.length : text.lastIndexOf('\n') + 1;
    for (const raw of text.slice(seen, whole).split('\n')) {
      const line = raw.replace(/\r/g, '').trimEnd();
      if (/^(ok|not ok|#|1\.\.|\d+ passed| {2})/.test(line))
        console.log(`${emulator.name}: ${line}`);
      if (line.startsWith('ok ')) result.passed++;
      if (line.startsWith('not ok')) result.failed++;
      if (line.startsWith('# end')) isThrough = true;
      if (/^# end [^0]/.test(line) && result.failed === 0) result.failed++;
    }
    seen = whole;
    if (wasEnded) break;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  child.kill('SIGTERM');
  if (!isThrough) {
    result.failed++;
    console.log(
      `${emulator.name}: not ok - ${ended ? 'it ended by itself' : 'time is up'}: ${serial}`,
    );
  }
  return result;
}

async function run(emulator: Emulator, options: Partial<ImageOptions>): Promise<Result> {
  const missing = emulator.needs.filter((command) => spawnSync('which', [command]).status !== 0);
  if (missing.length > 0) {
    console.log(`${emulator.name}: skipped, needs ${missing.join(', ')}`);
    return { passed: 0, failed: 0 };
  }
  const scale = options.scale ?? emulator.scale;
  const say = (line: string) => console.log(`${emulator.name}: # ${line}`);
  const image = vtxImage(
    {
      ...{ module: emulator.module, emulator: emulator.name, scale, modules: options.modules },
      only: options.only ?? '',
      linux: options.linux,
    },
    say,
  );
  const folder = repoPath(`.cache/vtx/${emulator.name}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const { child, serial } = emulator.start(image, folder);
  return await follow(emulator, child, serial);
}

const { values, positionals } = optionsOf('npm run test:vtx', {
  allowPositionals: true,
  options: {
    scale: { type: 'string' },
    modules: { type: 'string' },
    only: { type: 'string' },
    linux: { type: 'boolean' },
  },
});
const wanted = [QEMU, BOCHS].filter(
  ({ name }) => positionals.length === 0 || positionals.some((word) => name.startsWith(word)),
);
const scale = values.scale === undefined ? undefined : Number(values.scale);
const total: Result = { passed: 0, failed: 0 };
try {
  for (const emulator of wanted) {
    const options = scale === undefined ? {} : { scale };
    const { passed, failed } = await run(emulator, {
      ...options,
      ...{ modules: values.modules, only: values.only ?? '' },
      ...(values.linux === true ? { linux: 'vtx-exits' as const } : {}),
    });
    total.passed += passed;
    total.failed += failed;
  }
} catch (error) {
  if (!(error instanceof DebianError)) throw error;
  console.log(`skipped: ${error.message}`);
}
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;
