// The structure as a test: which folder may import what, and that every folder says what it is.
// A violation names file and import; the reason for each border is beside its rule.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { assert, repoPath, suite } from './harness/index.ts';

const test = suite('borders');

const TREES = ['firmware', 'logchan', 'watchdog', 'native', 'buildroot', 'test', 'docs'];
// An overlay is copied into the image as it is: a README there would land on every board.
const SKIPPED = new Set(['node_modules', 'build', 'dist', 'vectors', 'rootfs-overlay', 'source']);

const HOST_MODULES =
  /^(node:)?(fs|net|dgram|child_process|worker_threads|http|https|tls|os|timers|crypto|dns|readline|process|perf_hooks)(\/|$)/;

/** A part, what it may import of the others, and why no more. ARCHITECTURE.md shows this table. */
const PARTS: Readonly<Record<string, { readonly may: readonly string[]; readonly why: string }>> = {
  native: { may: [], why: 'builds and runs without anybody above it' },
  logchan: { may: ['native'], why: 'usable, and provable, without a machine' },
  watchdog: { may: ['native'], why: 'usable, and provable, without a machine' },
  'firmware/words': { may: [], why: 'near words for whoever reads words; knows nobody' },
  'firmware/devices': {
    may: [],
    why: 'a device is its registers and its clock, and knows no machine',
  },
  'firmware/machine': {
    may: ['firmware/devices', 'native'],
    why: 'a pure function of its log that knows nobody above it',
  },
  'firmware/lockstep': {
    may: ['firmware/machine', 'firmware/devices', 'native'],
    why: 'record and replay of one machine, without clock and I/O',
  },
  'firmware/host': {
    may: ['firmware/lockstep', 'firmware/machine', 'firmware/devices', 'native'],
    why: 'this host as one guest sees it; it knows no second board',
  },
  'firmware/board': {
    may: [
      ...['firmware/host', 'firmware/lockstep', 'firmware/machine', 'firmware/devices'],
      ...['firmware/words', 'logchan', 'watchdog', 'native'],
    ],
    why: 'the daemon; what people and SCADA see asks it, and it knows none of them',
  },
  'firmware/scada': {
    may: ['firmware/board', 'firmware/host'],
    why: 'an agent of its own that asks the board',
  },
  'firmware/console': {
    may: ['firmware/board', 'firmware/host', 'firmware/words', 'watchdog', 'native'],
    why: 'a process of its own that asks the board; pairing speaks on the serial line',
  },
  'firmware/cli': {
    may: [
      ...['firmware/board', 'firmware/scada', 'firmware/console', 'firmware/host'],
      ...['firmware/lockstep', 'firmware/machine', 'firmware/words'],
      ...['logchan', 'watchdog', 'native'],
    ],
    why: 'starts everything, and nobody imports it',
  },
  'buildroot/tools': { may: ['test/guests'], why: 'reads Debian packages as the guests do' },
};

/** Deterministic code: nothing of the host at all. */
const DETERMINISTIC = /^firmware\/(machine|devices)\//;

/** Names that are host clock, randomness or scheduling, in code of the machine. */
const NONDETERMINISM =
  /\b(Date\b|Math\.random|performance\.|setTimeout|setInterval|setImmediate|queueMicrotask|process\.|crypto\.)/;

/** A private member of the other style: one that is declared, or used. */
const HASH_MEMBER = /^ +(?:(?:static|readonly|async|get|set) |\*)*#\w+ ?[?!:=;(<]|[\w)]\??\.#\w/m;

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

function partOf(path: string): string {
  const [top = '', second = ''] = path.split('/');
  return ['firmware', 'buildroot', 'test'].includes(top) ? `${top}/${second}` : top;
}

type Imports = ReadonlyMap<string, readonly string[]>;

/** Imports that the table does not allow, each in words. */
function violations(imports: Imports, parts: typeof PARTS): string[] {
  return [...imports].flatMap(([file, names]) => {
    const part = partOf(file);
    const rule = parts[part];
    if (rule === undefined) return [`${file}: ${part} is not in the table`];
    return names.flatMap((name) => {
      if (DETERMINISTIC.test(file) && HOST_MODULES.test(name))
        return [
          `${file} imports ${name}: what happens inside the machine depends on its log alone`,
        ];
      if (!imports.has(name) && !name.startsWith('test/')) return [];
      const to = partOf(name);
      return to === part || rule.may.includes(to) ? [] : [`${file} imports ${name}: ${rule.why}`];
    });
  });
}

/** Files that import each other in a circle, also where only types go round (Tarjan 1972). */
function circles(imports: Imports): string[][] {
  const found: string[][] = [];
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const visit = (file: string): void => {
    const own = index.size;
    index.set(file, own);
    low.set(file, own);
    stack.push(file);
    for (const name of imports.get(file) ?? []) {
      if (!imports.has(name)) continue;
      if (!index.has(name)) visit(name);
      else if (!stack.includes(name)) continue;
      low.set(file, Math.min(low.get(file)!, low.get(name)!));
    }
    if (low.get(file) !== own) return;
    const circle = stack.splice(stack.indexOf(file));
    if (circle.length > 1 || imports.get(file)?.includes(file)) found.push(circle.sort());
  };
  for (const file of imports.keys()) if (!index.has(file)) visit(file);
  return found;
}

const sources = ['firmware', 'logchan', 'watchdog', 'native', 'buildroot'].flatMap((tree) =>
  filesBelow(tree, /\.ts$/),
);
const imports: Imports = new Map(sources.map((file) => [file, importsOf(file)]));

test('imports stay inside their borders', () => {
  assert.equal(violations(imports, PARTS), []);
});

test('no two files import each other in a circle', () => {
  assert.equal(circles(imports), []);
});

test('every line of the table is used, and each one taken out is noticed', () => {
  for (const [part, { may, why }] of Object.entries(PARTS)) {
    assert.ok(why.length > 20, part);
    for (const line of may) {
      const without = { ...PARTS, [part]: { may: may.filter((other) => other !== line), why } };
      assert.ok(violations(imports, without).length > 0, `${part} never imports ${line}`);
    }
    const { [part]: _, ...others } = PARTS;
    assert.ok(violations(imports, others).length > 0, `nobody would miss ${part}`);
  }
});

test('a wrong import and a circle that are planted are noticed', () => {
  const planted = (file: string, name: string): Imports =>
    new Map([...imports, [file, [...(imports.get(file) ?? []), name]]]);
  const wrong = [
    ['logchan/channel.ts', 'firmware/host/errors.ts'],
    ['firmware/devices/pic/pic.ts', 'firmware/machine/machine.ts'],
    ['firmware/machine/machine.ts', 'node:fs'],
    ['firmware/board/board.ts', 'firmware/console/shell.ts'],
    ['firmware/host/errors.ts', 'test/harness/index.ts'],
  ] as const;
  for (const [file, name] of wrong) {
    assert.ok(existsSync(repoPath(file)), `${file} has moved`);
    assert.is(violations(planted(file, name), PARTS).length, 1, `${file} imports ${name}`);
  }
  const circle = circles(planted('logchan/limits.ts', 'logchan/channel.ts'));
  assert.ok(circle[0]?.includes('logchan/limits.ts'), 'through other files');
  assert.equal(circles(planted('logchan/errors.ts', 'logchan/errors.ts')), [['logchan/errors.ts']]);
});

test('ARCHITECTURE.md shows the same table', () => {
  const text = readFileSync(repoPath('docs/ARCHITECTURE.md'), 'utf8');
  const missing = Object.entries(PARTS)
    .map(([part, { may }]) => `| \`${part}\` | ${may.map((to) => `\`${to}\``).join(' ')} |`)
    .filter((row) => !text.includes(row));
  assert.equal(missing, []);
});

test('the machine uses no clock, no randomness, no timers', () => {
  const machine = sources.filter((file) => DETERMINISTIC.test(file));
  const found = machine.flatMap((file) => {
    const hit = NONDETERMINISM.exec(withoutComments(readFileSync(repoPath(file), 'utf8')));
    return hit === null ? [] : [`${file}: ${hit[0]}`];
  });
  assert.equal(found, []);
});

test('private members have one style: private', () => {
  const found = [...sources, ...filesBelow('test', /\.ts$/)].filter((file) =>
    HASH_MEMBER.test(withoutComments(readFileSync(repoPath(file), 'utf8'))),
  );
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
  for (const member of ['#at = 0;', 'readonly #ram: Ram;', 'get #end() {', '*#walk(): Walk {'])
    assert.ok(HASH_MEMBER.test(`class A {\n  ${member}\n}`), member);
  assert.ok(HASH_MEMBER.test('a(this.' + '#at)') && HASH_MEMBER.test('other?.' + '#at'));
  assert.not.ok(HASH_MEMBER.test("  private at = '#1: x';"));
  assert.is(withoutComments('a(); // Date.now()\n/* setTimeout */').includes('Date'), false);
  assert.ok(statSync(repoPath('package.json')).isFile());
});

test.run();
