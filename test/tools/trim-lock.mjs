// Takes registry addresses out of package-lock.json, then says whether `npm ci` works with it, here and on every
// other platform. Any registry mirror must do, and npm fills addresses in again on every install of a new
// package; the integrity hashes stay and are what counts. (npm's own omit-lockfile-registry-resolved
// leaves entries `npm ci` cannot read.)
//     node test/tools/trim-lock.mjs [--check] [FOLDER]
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const given = process.argv.slice(2).filter((word) => word !== '--check');
if (given.length > 1 || given[0]?.startsWith('-')) {
  console.error('usage: node test/tools/trim-lock.mjs [--check] [FOLDER]');
  process.exit(2);
}
const isCheck = process.argv.includes('--check');
const folder = given[0] ?? fileURLToPath(new URL('../..', import.meta.url));
const file = join(folder, 'package-lock.json');
const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
const lock = JSON.parse(readFileSync(file, 'utf8'));
const packages = Object.entries(lock.packages);

if (!isCheck) {
  for (const [, entry] of packages) delete entry.resolved;
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
}
const faults = [...differences(), ...packages.flatMap(([path, entry]) => faultsOf(path, entry))];
for (const fault of faults) console.error(`package-lock.json: ${fault}`);
if (faults.some((fault) => fault.includes('is not in it')))
  console.error(
    'npm leaves out what it did not install here: rm -rf node_modules, then npm install',
  );
process.exitCode = faults.length === 0 ? 0 : 1;

/** What package.json says that the lock file does not. */
function differences() {
  const own = lock.packages[''] ?? {};
  return ['version', 'dependencies', 'devDependencies', 'engines'].flatMap((name) =>
    JSON.stringify(own[name]) === JSON.stringify(manifest[name])
      ? []
      : [`"${name}" is not as in package.json`],
  );
}

function faultsOf(path, entry) {
  const needed = { ...entry.dependencies, ...entry.optionalDependencies };
  if (path === '') Object.assign(needed, entry.devDependencies);
  const absent = Object.entries(needed).flatMap(([name, range]) => {
    const version = versionSeenFrom(path, name);
    if (version === undefined)
      return [`${name}, which ${path || 'the project'} names, is not in it`];
    const isExact = /^\d+\.\d+\.\d+$/.test(range);
    return isExact && version !== range ? [`${name} is ${version}, ${path} needs ${range}`] : [];
  });
  return [
    ...absent,
    ...('resolved' in entry ? [`${path} has an address: node test/tools/trim-lock.mjs`] : []),
    ...(path === '' || /^sha512-/.test(entry.integrity ?? '') ? [] : [`${path} has no hash`]),
  ];
}

/** As Node looks for it: in the node_modules of the package, then in those around it. */
function versionSeenFrom(path, name) {
  for (let at = path; ; at = at.slice(0, at.lastIndexOf('node_modules/')).replace(/\/$/, '')) {
    const found = lock.packages[`${at === '' ? '' : `${at}/`}node_modules/${name}`];
    if (found !== undefined) return found.version;
    if (at === '') return undefined;
  }
}
