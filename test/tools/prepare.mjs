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

/** What commonly keeps npm, node-gyp and a compiler from their work, as their output shows it, in words. */
const CAUSES = [
  [coded('ENOSPC'), 'the disk is full.'],
  [/: No space left on device/, 'the disk is full.'],
  [coded('EROFS'), 'this folder can only be read.'],
  [coded('EACCES|EPERM'), 'this user may not write here; whose is this clone?'],
  [
    coded('ENOTFOUND|EAI_AGAIN|ECONN\\w+|ENETUNREACH|EHOSTUNREACH|\\w*TIMEDOUT'),
    'it needs the network this once, and finds none (a proxy: npm config set proxy URL; a mirror: npm config set registry URL).',
  ],
  [/Killed signal terminated|: out of memory/, 'there is not enough memory for a compiler.'],
];

/** An error code in a line of npm or node-gyp, not in one of a compiler that shows a source. */
function coded(names) {
  return new RegExp(`^(npm error|npm ERR!|gyp ERR!).*\\b(${names})\\b`, 'm');
}

/** Runs a step quietly; its output is shown only when it fails and nothing known explains it. */
function step(title, command, args, { env } = {}) {
  const started = process.hrtime.bigint();
  // What npm and compilers leave when they are ended is not left where all programs have theirs.
  const temp = join(root, '.cache/tmp');
  rmSync(temp, { recursive: true, force: true });
  mkdirSync(temp, { recursive: true });
  process.stderr.write(`${title} ... `);
  const result = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: { ...process.env, TMPDIR: temp, ...env },
  });
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  process.stderr.write(`${result.status === 0 ? 'done' : 'failed'} (${seconds.toFixed(1)} s)\n`);
  if (result.error) fail(`${command} could not be started: ${result.error.message}`);
  if (result.signal !== null) fail(`${title}: ended by ${result.signal}`);
  if (result.status === 0) return;
  const output = `${result.stdout}${result.stderr}`;
  const [, words] = CAUSES.find(([pattern]) => pattern.test(output)) ?? [];
  const kept = words === undefined ? null : keep(output);
  if (kept !== null) fail(`${title}: ${words} All it said: ${kept}`);
  process.stderr.write(output);
  fail(`${title}: ${words ?? 'failed, see above'}`);
}

function keep(output) {
  const file = join(root, '.cache/prepare.log');
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, output);
    return relative(process.cwd(), file);
  } catch {
    return null;
  }
}

const NEEDED = [
  ['npm', () => runs('npm', '--version'), 'fetches packages'],
  ['g++', () => runs('g++', '--version'), 'compiles the native addon'],
  ['make', () => runs('make', '--version'), 'builds the native addon'],
  ['python3', () => hasPython(), 'runs node-gyp'],
];

/** Everything that is missing, in one line; each is named as the Debian package that has it. */
function needTools() {
  const missing = NEEDED.filter(([, isThere]) => !isThere());
  if (missing.length > 0) {
    const names = missing.map(([name, , why]) => `${name} (${why})`);
    const packages = missing.map(([name]) => name).join(' ');
    fail(
      `${names.join(', ')} ${names.length === 1 ? 'is' : 'are'} missing. Debian, Ubuntu: apt-get install ${packages}`,
    );
  }
  const probe = ['-std=c++20', '-fsyntax-only', '-x', 'c++', '-'];
  if (spawnSync('g++', probe, { input: '#include <span>\n' }).status === 0) return;
  const version = spawnSync('g++', ['-dumpfullversion'], { encoding: 'utf8' }).stdout.trim();
  fail(
    `g++ ${version} cannot compile C++20; 10 or newer is needed, with its library. Debian, Ubuntu: apt-get install g++`,
  );
}

function runs(command, ...args) {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

/** Where node-gyp looks. */
function hasPython() {
  const { PYTHON, npm_config_python, NODE_GYP_FORCE_PYTHON } = process.env;
  const places = [NODE_GYP_FORCE_PYTHON, npm_config_python, PYTHON, 'python3', 'python'];
  const isNew = 'import sys; sys.exit(sys.version_info < (3, 6))';
  return places.some((place) => place !== undefined && runs(place, '-c', isNew));
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

/** Before something is built over: what a failed build leaves behind is not what the old stamp says. */
const forget = (name) => rmSync(join(stampDir, name), { force: true });

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

/** Headers beside this node binary, if they are there: nothing need be fetched then. */
function nodeHeaders() {
  const prefix = resolve(dirname(process.execPath), '..');
  const isThere = existsSync(join(prefix, 'include/node/node_api.h'));
  return isThere ? { npm_config_nodedir: prefix } : {};
}

const MARKER = join(root, 'node_modules/.twinstep');

/** Undefined: what is installed is what the lock file says. */
function packagesToInstall() {
  const stamp = digest([join(root, 'package.json'), join(root, 'package-lock.json')]);
  return existsSync(MARKER) && readFileSync(MARKER, 'utf8') === stamp ? undefined : stamp;
}

function installPackages(stamp) {
  step('npm packages', 'npm', ['ci', '--no-audit', '--no-fund'], { env: nodeHeaders() });
  writeFileSync(MARKER, stamp);
}

/** Undefined: the addon is that of the sources. */
function addonToBuild(configuration) {
  const sources = filesBelow(join(root, 'native'), /\.(cc|h)$/).filter(
    (path) => !path.startsWith(join(root, 'native/build/')) && !path.includes('/test/'),
  );
  const gyp = digest([join(root, 'native/binding.gyp')]);
  const stamp = `${process.version} ${digest([join(root, 'native/binding.gyp'), ...sources])}`;
  const addon = join(root, 'native/build', configuration, 'twinstep.node');
  if (existsSync(addon) && unchanged(configuration, stamp)) return undefined;
  // Configuring is slow and depends on the build file and the list of sources alone.
  const names = sources.filter((path) => path.endsWith('.cc')).join('\n');
  return { configuration, stamp, configured: `${process.version} ${gyp} ${names}` };
}

function buildAddon({ configuration, stamp, configured }) {
  const nodeGyp = (...args) => [
    process.execPath,
    [join(root, 'node_modules/node-gyp/bin/node-gyp.js'), ...args, '-C', 'native'],
    { env: nodeHeaders() },
  ];
  if (!existsSync(join(root, 'native/build/Makefile')) || !unchanged('configure', configured)) {
    forget('configure');
    step('native addon: configure', ...nodeGyp('configure'));
    remember('configure', configured);
  }
  const isDebug = configuration === 'Debug';
  forget(configuration);
  step(
    `native addon: build${isDebug ? ' with sanitizers' : ''}`,
    ...nodeGyp('build', isDebug ? '--debug' : '--release', '-j', '2'),
  );
  remember(configuration, stamp);
}

function compileTypeScript() {
  const sources = ['firmware', 'logchan', 'watchdog', 'native', 'buildroot', 'test'].flatMap(
    (folder) => filesBelow(join(root, folder), /\.ts$/),
  );
  const stamp = digest([join(root, 'tsconfig.json'), ...sources]);
  if (existsSync(join(root, 'dist')) && unchanged('typescript', stamp)) return;
  forget('typescript');
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

const unknown = process.argv.slice(2).find((arg) => arg !== '--asan');
if (unknown !== undefined) fail(`"${unknown}" is too much: --asan is all there is.`);
try {
  const packages = packagesToInstall();
  const addon = addonToBuild(process.argv.includes('--asan') ? 'Debug' : 'Release');
  if (packages !== undefined || addon !== undefined) needTools();
  if (packages !== undefined) installPackages(packages);
  if (addon !== undefined) buildAddon(addon);
  compileTypeScript();
} catch (error) {
  if (error.syscall === undefined) throw error;
  fail(`${error.message} (whose is this clone, and is there space?)`);
}
