// Pages that can be held against something: every decision is listed and has one form, the glossary has each word
// once and all those that the code leans on, links lead somewhere.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { assert, repoPath, suite } from '../harness/index.ts';

const test = suite('docs/pages');
const read = (path: string) => readFileSync(repoPath(path), 'utf8');

const decisions = readdirSync(repoPath('docs/decisions'))
  .filter((name) => name !== 'README.md')
  .sort();

test('decisions have one form', () => {
  for (const name of decisions) {
    const [title = '', blank, status = ''] = read(`docs/decisions/${name}`).split('\n');
    assert.match(title, new RegExp(`^# ${Number(name.slice(0, 4))}\\. \\S.*[^.]$`), name);
    assert.is(blank, '', name);
    assert.match(status, /^Status: (accepted|superseded by \[\d+\]\(\S+\))(; .*[^.])?$/, name);
    const headings = [...read(`docs/decisions/${name}`).matchAll(/^## (.*)\n(.*)/gm)];
    assert.equal(
      headings.map(([, heading, next]) => `${heading}${next}`),
      ['Context', 'Decision', 'Consequences'],
      name,
    );
  }
});

test('the index of decisions lists each of them once, by its title', () => {
  const listed = [...read('docs/decisions/README.md').matchAll(/^- \[(.*)\]\((.*\.md)\)/gm)].map(
    ([, title, file]) => `${file} # ${title}`,
  );
  const there = decisions.map((name) => `${name} ${read(`docs/decisions/${name}`).split('\n')[0]}`);
  assert.equal(listed, there);
});

const WORDS = [
  ...['life', 'birth', 'grant', 'session', 'boot', 'witness', 'standing', 'mark', 'cover'],
  ...['piece', 'item', 'target', 'fenced', 'source', 'statement', 'generation', 'lead', 'follow'],
];

test('the glossary has each word once, in order, and those the code leans on', () => {
  const rows = [...read('docs/GLOSSARY.md').matchAll(/^\| ([^|]+?) +\| ([^|]+?) +\|$/gm)].slice(2);
  const words = rows.map(([, word = '']) => word);
  const lower = words.map((word) => word.toLowerCase());
  assert.equal(lower, [...lower].sort());
  assert.is(new Set(lower).size, lower.length);
  for (const word of WORDS) assert.ok(words.includes(word), word);
});

test('the changelog begins with what is not released, and knows the version there is', () => {
  const heads = [...read('CHANGELOG.md').matchAll(/^## (.*)$/gm)].map(([, head]) => head);
  const { version } = JSON.parse(read('package.json'));
  assert.is(heads[0], '[Unreleased]');
  assert.ok(
    heads.some((head) => new RegExp(`^\\[${version}\\] - \\d{4}-\\d\\d-\\d\\d$`).test(head!)),
  );
  const kinds = [...read('CHANGELOG.md').matchAll(/^### (.*)$/gm)].map(([, kind]) => kind);
  for (const kind of kinds)
    assert.match(kind!, /^(Added|Changed|Deprecated|Removed|Fixed|Security)$/);
});

/** Pages of the project, below the folders that have any. */
function pages(folder = ''): string[] {
  return readdirSync(repoPath(folder || '.'), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (/^(\..*|node_modules|dist|build|source)$/.test(entry.name)) return [];
    if (entry.isDirectory()) return pages(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });
}

test('links between pages lead somewhere', () => {
  const all = pages();
  assert.ok(all.length > 100 && all.includes('SECURITY.md') && all.includes('CONTRIBUTING.md'));
  const broken = all.flatMap((page) =>
    [...read(page).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, target = '']) => target.replace(/#.*$/, ''))
      .filter((target) => target !== '' && !/^[a-z]+:/.test(target))
      .filter((target) => !existsSync(repoPath(join(dirname(page), target))))
      .map((target) => `${page}: ${target}`),
  );
  assert.equal(broken, []);
});

test.run();
