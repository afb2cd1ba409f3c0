// The command behind `npm run image:source`: one archive with everything Buildroot builds the
// firmware from, and its hash. Compiled JavaScript, sources of the addon, and the npm packages of
// the lock file, whose integrity npm has checked. The same checkout gives the same bytes.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOT, TREE } from './tree.ts';

/** What is compiled and shipped. */
const PARTS = ['firmware', 'logchan', 'watchdog', 'native'];
/** What the archive is called, inside and out. */
const { version, dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const NAME = `twinstep-${version}`;

function run(command: string, args: readonly string[], cwd: string): void {
  const result = spawnSync(command, args, { cwd, encoding: 'utf8' });
  if (result.status === 0) return;
  const why = result.error?.message ?? `${result.stdout}${result.stderr}`;
  throw new Error(`${command} ${args[0]}: ${why.trim()}`);
}

/** The archive's content as a folder. Made anew; answers its path. */
export function stageSource(folder: string): string {
  const stage = join(folder, NAME);
  rmSync(stage, { recursive: true, force: true });
  mkdirSync(join(stage, 'dist'), { recursive: true });
  for (const file of ['LICENSE', 'package-lock.json']) cpSync(join(ROOT, file), join(stage, file));
  for (const part of PARTS) {
    cpSync(join(ROOT, 'dist', part), join(stage, 'dist', part), { recursive: true });
  }
  cpSync(join(ROOT, 'native'), join(stage, 'native'), {
    recursive: true,
    filter: (path) => !/^(build|.*\/test|test)(\/|$)/.test(relative(join(ROOT, 'native'), path)),
  });
  installPackages(stage);
  return stage;
}

/** The packages the firmware runs with, without scripts and without what others have built. */
function installPackages(stage: string): void {
  cpSync(join(ROOT, 'package.json'), join(stage, 'package.json'));
  const options = ['--omit=dev', '--ignore-scripts', '--no-bin-links', '--no-audit', '--no-fund'];
  run('npm', ['ci', ...options], stage);
  const modules = join(stage, 'node_modules');
  removeBuilt(modules);
  rmSync(join(modules, '.package-lock.json'), { force: true });
  rmSync(join(stage, 'package-lock.json'));
  const manifest = {
    name: 'twinstep',
    version,
    type: 'module',
    license: 'Apache-2.0',
    dependencies,
  };
  writeFileSync(join(stage, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** Binaries others have built; beside no binding.gyp, `build` is a package's code. */
function removeBuilt(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    const isBuilt = entry.name === 'build' && existsSync(join(folder, 'binding.gyp'));
    if (entry.isDirectory() && (entry.name === 'prebuilds' || isBuilt)) {
      rmSync(path, { recursive: true });
    } else if (entry.isDirectory()) {
      removeBuilt(path);
    }
  }
}

/** Packs a staged folder; answers the archive's SHA-256. */
export function packSource(stage: string, archive: string): string {
  const fixed = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
  run(
    'tar',
    [
      ...fixed,
      '--mode=u+rw,go=rX',
      '-I',
      'gzip -9n',
      '-cf',
      archive,
      '-C',
      join(stage, '..'),
      NAME,
    ],
    ROOT,
  );
  return createHash('sha256').update(readFileSync(archive)).digest('hex');
}

function main(): void {
  const stage = stageSource(join(ROOT, '.cache/image/source'));
  const out = join(TREE, 'source/twinstep');
  mkdirSync(out, { recursive: true });
  const archive = join(out, `${NAME}.tar.gz`);
  const hash = packSource(stage, archive);
  const words = '# Made with the archive beside it: npm run image:source';
  writeFileSync(join(out, 'twinstep.hash'), `${words}\nsha256  ${hash}  ${NAME}.tar.gz\n`);
  console.log(`${relative(ROOT, archive)}\nsha256 ${hash}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
