// docs/starts.md is what real boards are held against, and agrees with docs/alarms.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { ALARM_CODES, type AlarmCode } from '../../firmware/board/alarms/codes.ts';
import { assert, repoPath, suite } from '../harness/index.ts';
import { chosen, chosenStarts } from './chosen.ts';
import { allPairs, pairsOf } from './cover.ts';
import { FACTOR_NAMES, FACTORS } from './factors.ts';
import { startsPage } from './table.ts';

const test = suite('starts/table');
const PAGE = repoPath('docs/starts.md');

test('the page is as these lines say; REWRITE=1 writes it', () => {
  const page = startsPage();
  if (process.env.REWRITE === '1') writeFileSync(PAGE, page);
  assert.is(readFileSync(PAGE, 'utf8'), page);
});

test('every value is tried, every pair of values too, and the same starts every time', () => {
  const starts = chosenStarts();
  const left = allPairs();
  for (const start of starts.filter(({ folder }) => folder === 'well'))
    for (const pair of pairsOf(start)) left.delete(pair);
  assert.equal([...left], []);
  for (const folder of FACTORS.folder)
    for (const factor of FACTOR_NAMES.filter((name) => name !== 'folder'))
      for (const value of FACTORS[factor])
        assert.ok(
          starts.some((start) => start.folder === folder && start[factor] === value),
          `${folder} with ${factor} ${value}`,
        );
  assert.equal(chosenStarts(), starts);
  assert.ok(chosen().pairs.length < 20, 'as few as that');
});

test('every alarm of the page has its section in docs/alarms.md, in the same words', () => {
  const page = readFileSync(PAGE, 'utf8');
  const sections = readFileSync(repoPath('docs/alarms.md'), 'utf8').split(/^## /m);
  const named = [...page.matchAll(/alarms\.md#([a-z-]+)/g)].map(([, code = '']) =>
    code.toUpperCase(),
  );
  assert.ok(named.length >= 11);
  for (const code of named as AlarmCode[]) {
    const section = sections.find((text) => text.startsWith(`${code}\n`));
    const { severity, kind, words } = ALARM_CODES[code];
    assert.ok(section?.includes(`\n${severity}, ${kind}: ${words}\n`), code);
  }
  const inRows = page
    .match(/^\| \d+ \|.*$/gm)!
    .flatMap((row) => row.match(/\b[A-Z]+(-[A-Z]+)+\b|\b(WITNESS|UNFIT)\b/g) ?? []);
  for (const code of inRows) assert.ok(named.includes(code), code);
});

test.run();
