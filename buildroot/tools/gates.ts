// The gates of `npm run image:check`: what can be known about the image without building it. Each
// answers findings (none: passed) or says in words why it could not be tried.

import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kernelConfiguration } from './kernel-config.ts';
import { kernelPatches } from './kernel-patches.ts';
import { lint } from './lint.ts';
import type { Result } from './result.ts';
import { filesOf, isShell, optionsOf, ROOT, TREE } from './tree.ts';

export type Gate = () => Result;

const DEFCONFIG = 'twinstep_x86_64_defconfig';
/** The release the tree is written for, and whose own tools judge it. */
export const BUILDROOT_VERSION = readFileSync(join(TREE, 'buildroot.version'), 'utf8').trim();

interface Run {
  readonly ok: boolean;
  readonly output: string;
}

function run(command: string, args: readonly string[], cwd = ROOT): Run {
  const result = spawnSync(command, args, { cwd, encoding: 'utf8', maxBuffer: 1 << 26 });
  const output = `${result.stdout ?? ''}${result.stderr ?? ''}${result.error?.message ?? ''}`;
  return { ok: result.status === 0, output };
}

function has(command: string): boolean {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined;
}

const lastLines = (text: string, count = 20): string[] => text.trim().split('\n').slice(-count);

/** A Buildroot checkout of the right version, or why there is none. */
function buildroot(): { folder: string } | { skipped: string } {
  const folder = process.env.TWINSTEP_BUILDROOT ?? join(ROOT, '.cache/buildroot');
  const makefile = join(folder, 'Makefile');
  if (!existsSync(makefile)) {
    return { skipped: `no Buildroot at ${folder}: set TWINSTEP_BUILDROOT to a checkout` };
  }
  const version = /^export BR2_VERSION := (.+)$/m.exec(readFileSync(makefile, 'utf8'))?.[1];
  if (version !== BUILDROOT_VERSION) {
    return { skipped: `Buildroot ${version} at ${folder}, the tree is for ${BUILDROOT_VERSION}` };
  }
  return { folder };
}

const ownRules: Gate = () => ({ findings: lint(TREE), words: `${filesOf(TREE).length} files` });

const shellcheck: Gate = () => {
  if (!has('shellcheck')) return { skipped: 'no ShellCheck (Debian: apt-get install shellcheck)' };
  const inTree = filesOf(TREE).filter(isShell);
  const scripts = [...inTree.map(({ path }) => path), 'tools/make-bundle.sh', 'tools/test-keys.sh'];
  const { ok, output } = run('shellcheck', [
    '-s',
    'sh',
    ...scripts.map((path) => join(TREE, path)),
  ]);
  return { findings: ok ? [] : lastLines(output, 60), words: `${scripts.length} scripts` };
};

const grubScript: Gate = () => {
  if (!has('grub-script-check')) {
    return { skipped: 'no grub-script-check (Debian: apt-get install grub-common)' };
  }
  const names = filesOf(TREE).filter(({ path }) => /(grub[\w-]*|cmdline)\.cfg$/.test(path));
  const findings = names.flatMap(({ path }) => {
    const { ok, output } = run('grub-script-check', [join(TREE, path)]);
    return ok ? [] : [`${path}: ${output.trim()}`];
  });
  return { findings, words: `${names.length} files` };
};

const checkPackage: Gate = () => {
  const found = buildroot();
  if ('skipped' in found) return found;
  const python = '/usr/bin/python3';
  if (!run(python, ['-c', 'import magic, flake8']).ok) {
    return { skipped: 'check-package needs python3-magic and python3-flake8 of Debian' };
  }
  const files = filesOf(TREE).map(({ path }) => join(TREE, path));
  const { ok, output } = run(python, ['utils/check-package', '-b', ...files], found.folder);
  return { findings: ok ? [] : lastLines(output), words: `${files.length} files` };
};

/** `make defconfig` forgets what it does not know and says nothing: so every line is looked for. */
const roundTrip: Gate = () => {
  const found = buildroot();
  if ('skipped' in found) return found;
  const out = mkdtempSync(join(tmpdir(), 'twinstep-defconfig-'));
  try {
    const make = run('make', [`O=${out}`, `BR2_EXTERNAL=${TREE}`, DEFCONFIG], found.folder);
    if (!make.ok) return { findings: lastLines(make.output), words: '' };
    const script = join(found.folder, 'support/scripts/check-dotconfig.py');
    const file = join(TREE, 'configs', DEFCONFIG);
    const check = run('python3', [script, join(out, '.config'), file]);
    const count = filesOf(TREE).filter(({ path }) => path === `configs/${DEFCONFIG}`);
    const words = `${count.flatMap(optionsOf).length} symbols survived`;
    return { findings: check.ok ? [] : lastLines(check.output), words };
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
};

const busyboxFragment: Gate = () => {
  const found = buildroot();
  if ('skipped' in found) return found;
  const known = readFileSync(join(found.folder, 'package/busybox/busybox.config'), 'utf8');
  const options = filesOf(TREE)
    .filter(({ path }) => path.endsWith('busybox.fragment'))
    .flatMap(optionsOf);
  const findings = options
    .filter(({ name }) => !new RegExp(`^(# )?${name}[= ]`, 'm').test(known))
    .map(({ file, line, name }) => `${file}:${line}: BusyBox has no ${name}`);
  return { findings, words: `${options.length} options` };
};

/** Versions and hashes as Buildroot itself has them. */
const pins: Gate = () => {
  const found = buildroot();
  if ('skipped' in found) return found;
  const own = readFileSync(join(TREE, 'patches/linux/linux.hash'), 'utf8');
  const theirs = readFileSync(join(found.folder, 'linux/before-6.17/linux.hash'), 'utf8');
  const lines = own.split('\n').filter((line) => line.startsWith('sha256'));
  const node = readFileSync(join(found.folder, 'package/nodejs/nodejs.mk'), 'utf8');
  const major = /NODEJS_COMMON_VERSION = (\d+)/.exec(node)?.[1];
  return {
    findings: [
      ...lines.filter((line) => !theirs.includes(line)).map((line) => `not Buildroot's: ${line}`),
      ...(major === '22' ? [] : [`Buildroot has Node ${major}, the image is meant for 22`]),
    ],
    words: `${lines.length} kernel hash, Node ${major}`,
  };
};

const kernelFragments: Gate = () => {
  const kernel = kernelConfiguration();
  if ('skipped' in kernel) return kernel;
  const options = filesOf(TREE)
    .filter(({ path }) => /\/linux\/.*\.fragment$/.test(path))
    .flatMap(optionsOf);
  const findings = options
    .filter(({ name }) => !kernel.options.has(name))
    .map(({ file, line, name }) => `${file}:${line}: ${kernel.release} has no ${name}`);
  return { findings, words: `${options.length} options against ${kernel.release}` };
};

/** A bundle of ours is taken; unsigned, foreign, altered and truncated ones are not. */
const bundles: Gate = () => {
  for (const command of ['rauc', 'mksquashfs', 'openssl']) {
    if (!has(command)) return { skipped: `no ${command} (Debian: rauc, squashfs-tools, openssl)` };
  }
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-bundle-'));
  try {
    return { findings: bundleFindings(folder), words: 'taken, and four kinds refused' };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

function bundleFindings(folder: string): string[] {
  const at = (name: string): string => join(folder, name);
  const script = (name: string): string => join(TREE, 'tools', name);
  for (const keys of ['own', 'foreign']) {
    const made = run(script('test-keys.sh'), [at(keys)]);
    if (!made.ok) return lastLines(made.output);
  }
  writeFileSync(at('rootfs.squashfs'), randomBytes(300_000));
  const bundle = (keys: string, out: string): Run => {
    const [cert, key, ca] = ['signer.cert.pem', 'signer.key.pem', 'ca.cert.pem'].map((name) =>
      at(`${keys}/${name}`),
    ) as [string, string, string];
    return run(script('make-bundle.sh'), [at('rootfs.squashfs'), '1.2.3', cert, key, ca, at(out)]);
  };
  const made = [bundle('own', 'good.raucb'), bundle('foreign', 'foreign.raucb')];
  if (made.some(({ ok }) => !ok)) return made.flatMap(({ output }) => lastLines(output));

  const good = readFileSync(at('good.raucb'));
  writeFileSync(at('unsigned.raucb'), readFileSync(at('rootfs.squashfs')));
  writeFileSync(at('truncated.raucb'), good);
  truncateSync(at('truncated.raucb'), good.length - 4096);
  const altered = Buffer.from(good);
  // The signed manifest is at the end; a bit in the middle of the signature breaks it.
  altered.writeUInt8(altered.readUInt8(good.length - 1000) ^ 1, good.length - 1000);
  writeFileSync(at('altered.raucb'), altered);

  const conf = join(TREE, 'board/twinstep/rootfs-overlay/etc/rauc/system.conf');
  const accepts = (name: string): boolean =>
    run('rauc', [`--conf=${conf}`, 'info', `--keyring=${at('own/ca.cert.pem')}`, at(name)]).ok;
  return [
    ...(accepts('good.raucb') ? [] : ['our own bundle is refused']),
    ...['foreign', 'unsigned', 'truncated', 'altered']
      .filter((name) => accepts(`${name}.raucb`))
      .map((name) => `a bundle that is ${name} is taken`),
  ];
}

export const GATES: Readonly<Record<string, Gate>> = {
  'own rules': ownRules,
  shellcheck,
  'grub scripts': grubScript,
  'kernel fragments': kernelFragments,
  'kernel patches': kernelPatches,
  bundles,
  'check-package': checkPackage,
  'defconfig round trip': roundTrip,
  'busybox fragment': busyboxFragment,
  'version and hash pins': pins,
};
