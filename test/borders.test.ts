// The structure as a test: which folder may import what, and that every folder says what it is.
// A violation names file and import; the reason for each border is beside its rule.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { assert, repoPath, suite } from './harness/index.ts';

const test = suite('borders');

const TREES = ['firmware', 'logchan', 'watchdog', 'native', 'buildroot', 'test', 'docs'];
// An overlay is copied into the image as it is: a README there would land on every board.
const SKIPPED = new Set(['node_modules', 'build', 'dist', 'vectors', 'rootfs-overlay', 'source']);

interface Rule {
  from: RegExp;
  /** Imports (repository paths for relative ones, module names otherwise) that are not allowed. */
  forbidden: RegExp;
  why: string;
}

const HOST_MODULES =
  /^(node:)?(fs|net|dgram|child_process|worker_threads|http|https|tls|os|timers|crypto|dns|readline|process|perf_hooks)(\/|$)/;

const RULES: Rule[] = [
  {
    from: /^(logchan|watchdog)\//,
    forbidden: /^firmware\//,
    why: 'channel and arbiter must be usable, and provable, without a machine',
  },
  {
    from: /^firmware\/(machine|devices)\//,
    forbidden: /^firmware\/(lockstep|board|host|cli|console|scada)\//,
    why: 'the machine is a pure function of its log and knows nobody above it',
  },
  {
    from: /^firmware\/devices\//,
    forbidden: /^firmware\/machine\//,
    why: 'a device knows its contracts, not the machine it is built into',
  },
  {
    from: /^firmware\/(machine|devices)\//,
    forbidden: HOST_MODULES,
    why: 'what happens inside the machine depends on its log alone',
  },
  {
    from: /^(firmware|logchan|watchdog|native)\//,
    forbidden: /^test\//,
    why: 'what ships does not import what tests it',
  },
];

/** Names that are host clock, randomness or scheduling, in code of the machine. */
const NONDETERMINISM =
  /\b(Date\b|Math\.random|performance\.|setTimeout|setInterval|setImmediate|queueMicrotask|process\.|crypto\.)/;

function filesBelow(folder: string, pattern: RegExp): string[] {
  return readdirSync(repoPath(folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (SKIPPED.has(entry.name)) return [];
    if (entry.isDirectory()) return filesBelow(path, pattern);
    return pattern.test(entry.name) ? [path] : [];
  });
}

function foldersBelow(folder: string): string[] {
  const inside = readdirSync(repoPath(folder), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !SKIPPED.has(entry.name))
    .flatMap((entry) => foldersBelow(`${folder}/${entry.name}`));
  return [folder, ...inside];
}

function importsOf(file: string): string[] {
  const text = readFileSync(repoPath(file), 'utf8');
  const found = text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*['"]([^'"]+)['"]/g);
  return [...found].map(([, name = '']) =>
    name.startsWith('.') ? normalize(join(dirname(file), name)) : name,
  );
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[^:'"])\/\/.*$/gm, '$1');
}

function violations(files: string[]): string[] {
  return files.flatMap((file) =>
    importsOf(file).flatMap((name) =>
      RULES.filter((rule) => rule.from.test(file) && rule.forbidden.test(name)).map(
        (rule) => `${file} imports ${name}: ${rule.why}`,
      ),
    ),
  );
}

const sources = ['firmware', 'logchan', 'watchdog', 'native'].flatMap((tree) =>
  filesBelow(tree, /\.ts$/),
);

test('imports stay inside their borders', () => {
  assert.equal(violations(sources), []);
});

test('the machine uses no clock, no randomness, no timers', () => {
  const machine = sources.filter((file) => /^firmware\/(machine|devices)\//.test(file));
  const found = machine.flatMap((file) => {
    const hit = NONDETERMINISM.exec(withoutComments(readFileSync(repoPath(file), 'utf8')));
    return hit === null ? [] : [`${file}: ${hit[0]}`];
  });
  assert.equal(found, []);
});

test('only native/napi includes napi.h', () => {
  const found = filesBelow('native', /\.(cc|h)$/).filter(
    (file) =>
      !file.startsWith('native/napi/') &&
      /#include\s*[<"](napi|node|node_api|js_native_api|v8|uv)\.h/.test(
        readFileSync(repoPath(file), 'utf8'),
      ),
  );
  assert.equal(found, []);
});

test('every folder has a README that starts with a title', () => {
  const missing = TREES.flatMap(foldersBelow).filter((folder) => {
    const readme = repoPath(`${folder}/README.md`);
    return !existsSync(readme) || !readFileSync(readme, 'utf8').startsWith('# ');
  });
  assert.equal(missing, []);
});

test('test files import the harness, not uvu, and end with .run()', () => {
  const found = filesBelow('test', /\.(test|long)\.ts$/).flatMap((file) => {
    const text = readFileSync(repoPath(file), 'utf8');
    return [
      ...(importsOf(file).some((name) => /^uvu/.test(name)) ? [`${file} imports uvu`] : []),
      ...(/\.run\(\);\s*$/.test(text) ? [] : [`${file} does not end with .run();`]),
    ];
  });
  assert.equal(found, []);
});

test('versions are exact and the lock file agrees', () => {
  const manifest = JSON.parse(readFileSync(repoPath('package.json'), 'utf8'));
  const lockText = readFileSync(repoPath('package-lock.json'), 'utf8');
  const own = JSON.parse(lockText).packages[''];
  assert.equal(own.dependencies, manifest.dependencies);
  assert.equal(own.devDependencies, manifest.devDependencies);
  for (const version of Object.values({ ...manifest.dependencies, ...manifest.devDependencies })) {
    assert.match(String(version), /^\d+\.\d+\.\d+$/);
  }
  assert.not.ok(
    lockText.includes('"resolved"'),
    'registry addresses: node test/tools/trim-lock.mjs',
  );
});

test('the rules notice what they forbid', () => {
  assert.ok(HOST_MODULES.test('node:fs/promises') && HOST_MODULES.test('net'));
  assert.not.ok(HOST_MODULES.test('node:assert'));
  assert.ok(NONDETERMINISM.test('const t = Date.now();'));
  assert.not.ok(NONDETERMINISM.test('restoreDate(x)'));
  assert.is(withoutComments('a(); // Date.now()\n/* setTimeout */').includes('Date'), false);
  assert.ok(RULES.every((rule) => rule.why.length > 20));
  assert.ok(statSync(repoPath('package.json')).isFile());
});

test.run();
