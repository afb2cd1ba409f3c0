// `npm ci` in a clean clone, on any platform: every package of every platform is in the lock file, with its
// hash and without the address of a registry; and `engines` promises no Node that a package refuses.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert, repoPath, suite } from '../harness/index.ts';

const test = suite('tools/lock');

interface Entry {
  version: string;
  resolved?: string;
  integrity?: string;
  optional?: boolean;
  engines?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}
interface Lock {
  packages: Record<string, Entry>;
}

const manifest = JSON.parse(readFileSync(repoPath('package.json'), 'utf8'));
const lockNow = (): Lock => JSON.parse(readFileSync(repoPath('package-lock.json'), 'utf8'));
const { satisfies } = createRequire(import.meta.url)(repoPath('test/tools/node-range.cjs')) as {
  satisfies(version: string, range: string): boolean;
};

function check(lock: Lock): string {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-lock-'));
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify(lock));
  const args = [repoPath('test/tools/trim-lock.mjs'), '--check', folder];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.is(status, stderr === '' ? 0 : 1);
  return stderr;
}

test('the lock file is whole', () => {
  assert.is(check(lockNow()), '');
});

test('an optional package of any platform is missed', () => {
  const optional = Object.entries(lockNow().packages).filter(([, entry]) => entry.optional);
  assert.ok(optional.length > 20, 'biome and typescript have one for each platform');
  for (const part of ['arm64', 'x64-musl', 'arm64-musl', 'darwin', 'win32'])
    assert.ok(
      optional.some(([path]) => path.includes(part)),
      part,
    );
  for (const [path] of [optional[0]!, optional.at(-1)!]) {
    const lock = lockNow();
    delete lock.packages[path];
    assert.match(check(lock), `${path.replace('node_modules/', '')}, which`);
  }
});

test('an address, a missing hash, another version, another list are told', () => {
  const planted = (change: (entry: Entry, lock: Lock) => void) => {
    const lock = lockNow();
    change(lock.packages['node_modules/mqtt']!, lock);
    return check(lock);
  };
  assert.match(
    planted((mqtt) => {
      mqtt.resolved = 'https://registry.example/mqtt.tgz';
    }),
    'node_modules/mqtt has an address',
  );
  assert.match(
    planted((mqtt) => {
      delete mqtt.integrity;
    }),
    'node_modules/mqtt has no hash',
  );
  assert.match(
    planted((mqtt) => {
      mqtt.version = '5.0.0';
    }),
    'mqtt is 5.0.0',
  );
  assert.match(
    planted((_, lock) => {
      lock.packages['']!.engines = { node: '>=18' };
    }),
    '"engines" is not as in package.json',
  );
});

test('the oldest Node of `engines` is new enough for every package, and for what we use of it', () => {
  const oldest = [...String(manifest.engines.node).matchAll(/\d+\.\d+\.\d+/g)].map(String);
  assert.is(oldest.length, 2);
  for (const version of oldest) {
    for (const [path, { engines }] of Object.entries(lockNow().packages)) {
      // A list is a form of the time before npm.
      if (engines?.node === undefined) continue;
      assert.ok(satisfies(version, engines.node), `${path} wants ${engines.node}, not ${version}`);
    }
    // zlib.crc32
    assert.ok(satisfies(version, '^20.15.0 || >=22.2.0'), version);
  }
  assert.ok(satisfies(process.versions.node, manifest.engines.node));
});

test('ranges are read as npm reads them', () => {
  for (const [version, range, expected] of [
    ['20.17.0', '^20.17.0 || >=22.9.0', true],
    ['20.16.9', '^20.17.0 || >=22.9.0', false],
    ['21.7.3', '^20.17.0 || >=22.9.0', false],
    ['22.8.0', '^20.17.0 || >=22.9.0', false],
    ['24.0.0', '^20.17.0 || >=22.9.0', true],
    ['18.20.1', '^18 || ^20 || >= 21', true],
    ['19.0.0', '^18 || ^20 || >= 21', false],
    ['14.17.0', '>=16 || 14 >=14.17', true],
    ['14.16.0', '>=16 || 14 >=14.17', false],
    ['10.0.0', '>= 10.x', true],
    ['9.9.9', '>= 10.x', false],
  ] as const)
    assert.is(satisfies(version, range), expected, `${version} in ${range}`);
  assert.throws(() => satisfies('20.0.0', '~20'), /not a range/);
});

test.run();
