// The plant's guest: Debian Linux with our program in a second archive behind its initramfs, which
// the kernel unpacks over the first.
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { compile } from '../../harness/compile.ts';
import { repoPath } from '../../harness/index.ts';
import { linuxGuest } from '../linux/assemble.ts';
import { cpio } from '../linux/cpio.ts';

const SOURCE = 'test/guests/plant/plant.c';
const SCRIPT = 'test/guests/plant/script';

export const PLANT_MIB = { memory: 96, files: 16, journal: 2 } as const;

export interface PlantGuest {
  readonly kernel: string;
  readonly initrd: string;
  /** The kernel package, with its version. */
  readonly release: string;
}

/** Throws DebianError where Debian's archive is out of reach. */
export function plantGuest(say: (line: string) => void = () => {}): PlantGuest {
  const base = linuxGuest(say);
  const program = compilePlant();
  const overlay = cpio([
    { path: 'bin/plant', kind: 'file', mode: 0o755, data: readFileSync(program) },
    { path: 'scripts/plant', kind: 'file', mode: 0o755, data: readFileSync(repoPath(SCRIPT)) },
  ]);
  const folder = repoPath('.cache/guest-plant');
  const initrd = join(folder, 'initrd.cpio');
  const wanted = Buffer.concat([readFileSync(base.initrd), overlay]);
  if (!existsSync(initrd) || !readFileSync(initrd).equals(wanted)) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(`${initrd}.${process.pid}`, wanted);
    renameSync(`${initrd}.${process.pid}`, initrd);
  }
  return { kernel: base.kernel, initrd, release: base.release };
}

function compilePlant(): string {
  return compile({
    name: 'plant',
    inputs: [SOURCE],
    commands: (out) => [
      [
        'gcc',
        '-O2',
        '-std=gnu11',
        '-static',
        '-s',
        '-Wall',
        '-Wextra',
        '-Werror',
        '-o',
        `${out}/plant`,
        SOURCE,
      ],
    ],
    result: 'plant',
  });
}

/**
 * Disks of a board: the file system's, formatted here where e2fsprogs is (then it has a journal and
 * outlives a power cut), else by the guest; and the journal's, empty.
 */
export function makeDisks(folder: string): { files: string; journal: string } {
  const disk = (name: string, mib: number) => {
    const path = join(folder, name);
    writeFileSync(path, '');
    truncateSync(path, mib << 20);
    return path;
  };
  const files = disk('files.img', PLANT_MIB.files);
  // The same names and numbers every time: both boards begin with equal disks.
  const fixed = ['-U', '77777777-7777-4777-8777-777777777777', '-E', `hash_seed=${HASH_SEED}`];
  spawnSync('mke2fs', ['-q', '-F', '-t', 'ext4', ...fixed, files], { env: FIXED_TIME });
  return { files, journal: disk('journal.img', PLANT_MIB.journal) };
}

const HASH_SEED = '77777777-7777-4777-8777-777777777778';
const FIXED_TIME = { ...process.env, E2FSPROGS_FAKE_TIME: '1700000000' };
