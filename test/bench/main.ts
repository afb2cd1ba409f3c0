// The command behind `npm run bench [-- PATTERN]`: runs every `*.bench.ts` that matches, one after
// the other, prints what it measured and keeps the raw values in .bench/NAME.json.
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { nearPath, optionsOf } from '../harness/options.ts';
import { type Comparison, compare, describe, type Result } from './frame.ts';

/** What a `*.bench.ts` file exports: comparisons, or why there are none on this machine. */
export interface Bench {
  comparisons(): Promise<Comparison[] | { skipped: string }>;
}

const here = fileURLToPath(new URL('.', import.meta.url));
const out = fileURLToPath(new URL('../../../.bench', import.meta.url));
const { positionals } = optionsOf('npm run bench', { allowPositionals: true });
const patterns = positionals.map((pattern) => new RegExp(pattern));
const allFiles = readdirSync(here, { recursive: true, encoding: 'utf8' }).filter((file) =>
  file.endsWith('.bench.js'),
);
const files = allFiles
  .filter((file) => patterns.length === 0 || patterns.some((pattern) => pattern.test(file)))
  .sort();

mkdirSync(out, { recursive: true });
console.log(`${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}, node ${process.version}`);
for (const file of files) {
  const name = basename(file, '.bench.js');
  const bench = (await import(pathToFileURL(join(here, file)).href)) as Bench;
  const comparisons = await bench.comparisons();
  if ('skipped' in comparisons) {
    console.log(`\n${name}: skipped: ${comparisons.skipped}`);
    continue;
  }
  const results: Result[] = [];
  for (const comparison of comparisons) {
    const result = await compare(comparison);
    console.log(`\n${describe(result)}`);
    results.push(result);
  }
  writeFileSync(join(out, `${name}.json`), `${JSON.stringify(results, null, 2)}\n`);
}
if (files.length === 0) {
  const near = positionals.map((pattern) => nearPath(pattern, allFiles)).find(Boolean);
  console.error(`no bench matches${near === undefined ? '' : `; did you mean "${near}"?`}`);
  process.exitCode = 1;
}
