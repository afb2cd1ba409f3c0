// Makes the checkout runnable, doing only what is needed: npm packages when the lock file changed,
// the addon when native sources changed, TypeScript when sources changed. Plain JavaScript with no
// dependency, because it runs before anything is installed. `--asan` builds the sanitizer addon.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const stampDir = join(root, 'native/build/.stamps');

/** Ends in plain words: what is missing and what to do. */
function fail(message) {
  console.error(`twinstep: ${message}`);
  process.exit(1);
}

/** Runs a step quietly; its output is shown only when it fails. */
function step(title, command, args, options = {}) {
  const started = process.hrtime.bigint();
  process.stderr.write(`${title} ... `);
  const result = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    ...options,
  });
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  process.stderr.write(`${result.status === 0 ? 'done' : 'failed'} (${seconds.toFixed(1)} s)\n`);
  if (result.error) fail(`${command} could not be started: ${result.error.message}`);
  if (result.status !== 0) {
    process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`);
    fail(`${title}: failed, see above`);
  }
}

function has(command) {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
}

function digest(paths) {
  const hash = createHash('sha256');
  for (const path of paths) hash.update(path).update('\0').update(readFileSync(path)).update('\0');
  return hash.digest('hex');
}

function unchanged(name, value) {
  const file = join(stampDir, name);
  return existsSync(file) && readFileSync(file, 'utf8') === value;
}

function remember(name, value) {
  mkdirSync(stampDir, { recursive: true });
  writeFileSync(join(stampDir, name), value);
}

function filesBelow(folder, pattern) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

function installPackages() {
  const lock = join(root, 'package-lock.json');
  const stamp = digest([join(root, 'package.json'), lock]);
  const marker = join(root, 'node_modules', '.twinstep');
  if (existsSync(marker) && readFileSync(marker, 'utf8') === stamp) return;
  if (!has('npm')) fail('npm is missing: install it (Debian: apt-get install npm)');
  // Not `npm ci`: it refuses a lock file without the optional packages of platforms that some
  // registry mirrors do not carry. The versions and hashes come from the lock file all the same.
  step('npm packages', 'npm', ['install', '--no-save', '--no-audit', '--no-fund']);
  writeFileSync(marker, stamp);
}

/** Headers beside this node binary, or none: node-gyp then fetches them itself. */
function nodeHeaders() {
  const prefix = resolve(dirname(process.execPath), '..');
  return existsSync(join(prefix, 'include/node/node_api.h')) ? [`--nodedir=${prefix}`] : [];
}

function buildAddon(configuration) {
  const sources = filesBelow(join(root, 'native'), /\.(cc|h)$/).filter(
    (path) => !path.startsWith(join(root, 'native/build/')) && !path.includes('/test/'),
  );
  const gyp = join(root, 'native/binding.gyp');
  const stamp = `${process.version} ${digest([gyp, ...sources])}`;
  const addon = join(root, 'native/build', configuration, 'twinstep.node');
  if (existsSync(addon) && unchanged(configuration, stamp)) return;
  for (const [command, why] of [
    ['g++', 'compiles the native addon (Debian: apt-get install g++)'],
    ['make', 'builds the native addon (Debian: apt-get install make)'],
    ['python3', 'is what node-gyp is written in (Debian: apt-get install python3)'],
  ]) {
    if (!has(command)) fail(`${command} is missing. It ${why}.`);
  }
  const nodeGyp = join(root, 'node_modules/node-gyp/bin/node-gyp.js');
  const headers = nodeHeaders();
  // Configuring is slow and depends on the build file and the list of sources alone.
  const names = sources.filter((path) => path.endsWith('.cc')).join('\n');
  const configured = `${process.version} ${digest([gyp])} ${names}`;
  if (!existsSync(join(root, 'native/build/Makefile')) || !unchanged('configure', configured)) {
    step('native addon: configure', process.execPath, [
      nodeGyp,
      'configure',
      '-C',
      'native',
      ...headers,
    ]);
    remember('configure', configured);
  }
  const kind = configuration === 'Debug' ? '--debug' : '--release';
  step(
    `native addon: build${configuration === 'Debug' ? ' with sanitizers' : ''}`,
    process.execPath,
    [nodeGyp, 'build', '-C', 'native', kind, '-j', '2', ...headers],
  );
  remember(configuration, stamp);
}

function compileTypeScript() {
  const sources = ['firmware', 'logchan', 'watchdog', 'native', 'buildroot', 'test'].flatMap(
    (folder) => filesBelow(join(root, folder), /\.ts$/),
  );
  const stamp = digest([join(root, 'tsconfig.json'), ...sources]);
  if (existsSync(join(root, 'dist')) && unchanged('typescript', stamp)) return;
  step('TypeScript', process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', root]);
  remember('typescript', stamp);
  // What was compiled from a source that is gone must not be found, least of all as a test.
  const dist = join(root, 'dist');
  for (const file of filesBelow(dist, /\.js$/)) {
    const source = join(root, relative(dist, file).replace(/\.js$/, '.ts'));
    if (!existsSync(source))
      for (const dead of [file, `${file}.map`]) rmSync(dead, { force: true });
  }
}

const major = Number(process.versions.node.split('.')[0]);
if (major < 20) fail(`Node 20 or newer is needed, this is ${process.version}`);
if (process.platform !== 'linux' || process.arch !== 'x64') {
  fail(`Twinstep runs on Linux x86-64; this is ${process.platform} ${process.arch}`);
}
installPackages();
buildAddon(process.argv.includes('--asan') ? 'Debug' : 'Release');
compileTypeScript();
