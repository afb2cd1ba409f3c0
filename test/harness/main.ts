// The command behind `npm test`.
//   npm test                      all test files
//   npm test -- logchan wire      files whose path matches any of these patterns
//   npm test -- --seed 7          another seed (or `--seed random`)
//   npm test -- --serial          one file at a time
//   npm test -- --show            what the files print, also when all is well (long suites do)
//   npm run test:asan             against the sanitizer build of the addon
// Long suites (`*.long.ts`) are not part of it: `npm run test:long`.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nearPath, optionsOf } from './options.ts';
import { type FileResult, runFile } from './runner.ts';
import { ownTemp } from './temp.ts';

/** Lines shown of one failure. */
const CLIPPED_LINES = 60;
/**
 * Whole boards run in the real-time class, as on their own hardware: beside them nothing else keeps
 * its times, nor they theirs. They run after all others, one at a time.
 */
const ALONE =
  /^(twin|boards)\/|^console\/pair|^board\/replication\/linux|^starts\/(starts|stories)/;
/** Pairs in one process: they are slow beside whatever keeps both cores busy, but not beside each other. */
const PAIRS = /^board\/replication\/(?!linux)/;

/** Nothing but computing, with time-outs of minutes: they take what the others, which mostly wait, leave them. */
const COMPUTES =
  /^(softcpu\/oracle|sim\/arbiter-(explore|mutation|timed|survival)|cli\/record|guest\/recorded)\./;
const COMPUTES_NICENESS = 5;

/** They take a minute and more: begun last, one of them would run alone at the end. */
const LONGEST = /^(softcpu\/oracle|board\/replication\/(changes|sync))\./;

const { values, positionals } = optionsOf('npm test', {
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: process.env.TWINSTEP_SEED ?? '1' },
    suffix: { type: 'string', default: '.test.js' },
    serial: { type: 'boolean', default: false },
    asan: { type: 'boolean', default: false },
    show: { type: 'boolean', default: false },
  },
});

ownTemp();
const testRoot = fileURLToPath(new URL('..', import.meta.url));
const patterns = positionals.map((pattern) => new RegExp(pattern));
const allFiles = readdirSync(testRoot, { recursive: true, encoding: 'utf8' }).filter((file) =>
  file.endsWith(values.suffix),
);
const files = allFiles
  .filter((file) => patterns.length === 0 || patterns.some((pattern) => pattern.test(file)))
  .sort((a, b) => Number(LONGEST.test(b)) - Number(LONGEST.test(a)) || (a < b ? -1 : 1));

const seed = values.seed === 'random' ? String(Math.floor(Math.random() * 2 ** 32)) : values.seed;
const env = { ...process.env, TWINSTEP_SEED: seed, ...(values.asan ? sanitizerEnv() : {}) };
console.log(`${files.length} test files, seed ${seed}${values.asan ? ', sanitizer build' : ''}`);

const results: FileResult[] = [];
const lanes = values.serial ? 1 : Math.min(2, availableParallelism());
const pairs = files.filter((file) => PAIRS.test(file));
const alone = files.filter((file) => ALONE.test(file));
const computing = files.filter((file) => COMPUTES.test(file));
const others = [pairs, alone, computing].flat();
const together = files.filter((file) => !others.includes(file));
const beside = lanes === 1 ? [] : [lane(computing, COMPUTES_NICENESS)];
await Promise.all([...inLanes(together, computing), ...beside]);
await Promise.all(inLanes(pairs));
await lane(alone);
summary();

/** One queue after the other. */
function inLanes(...queues: string[][]): Promise<void>[] {
  return Array.from({ length: lanes }, async () => {
    for (const queue of queues) await lane(queue);
  });
}

async function lane(queue: string[], niceness = 0): Promise<void> {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    const result = await runFile(join(testRoot, file), env, niceness);
    results.push(result);
    print(result);
  }
}

function print(result: FileResult): void {
  const { passed, failures, skips } = result;
  const counts = [
    `${passed} passed`,
    ...(failures.length > 0 ? [`${failures.length} failed`] : []),
    ...(skips.length > 0 ? [`${skips.length} skipped`] : []),
  ].join(', ');
  const name = relative(testRoot, result.file).replace(/\.js$/, '.ts');
  const mark = failures.length > 0 ? 'FAILED' : 'ok';
  console.log(`${mark.padEnd(7)}${name}  ${counts} (${(result.ms / 1000).toFixed(1)} s)`);
  for (const { test, why } of failures) console.log(`\n  ${test}\n${clip(why, '    ')}\n`);
  if (failures.length > 0 && result.output.trim() !== '') {
    console.log(`  what the file printed:\n${clip(result.output.trimEnd(), '  | ')}\n`);
  } else if (values.show || values.suffix !== '.test.js') {
    for (const line of toldLines(result.output)) console.log(`  ${line}`);
  }
}

/** What tests said of themselves: without the marks and sums of uvu. */
function toldLines(output: string): string[] {
  return output
    .split('\n')
    .map((line) => line.replace(/^( \S+\/\S+.*? {2})?[• ]*/u, '').trim())
    .filter(
      (line) => line !== '' && !/^(\(\d+ \/ \d+\)|(Total|Passed|Skipped|Duration):)/.test(line),
    );
}

/** A diff of two long arrays must not bury the rest: the first and the last lines tell enough. */
function clip(text: string, indent: string): string {
  const lines = text.split('\n');
  const cut = lines.length - CLIPPED_LINES;
  const kept =
    cut <= 0
      ? lines
      : [
          ...lines.slice(0, CLIPPED_LINES / 2),
          `... ${cut} lines left out ...`,
          ...lines.slice(-CLIPPED_LINES / 2),
        ];
  return kept.map((line) => indent + line).join('\n');
}

function summary(): void {
  const count = (of: (result: FileResult) => number) =>
    results.reduce((sum, result) => sum + of(result), 0);
  const reasons = new Map<string, number>();
  for (const { why } of results.flatMap((result) => result.skips)) {
    reasons.set(why, (reasons.get(why) ?? 0) + 1);
  }
  for (const [why, times] of reasons) console.log(`skipped ${times}: ${why}`);
  const passed = count((result) => result.passed);
  const skipped = count((result) => result.skips.length);
  let failed = count((result) => result.failures.length);
  if (passed + failed + skipped === 0) {
    const near = positionals.map((pattern) => nearPath(pattern, allFiles)).find(Boolean);
    const meant = near === undefined ? '' : `; did you mean "${near}"?`;
    console.log(`no test ran: nothing matches${meant}`);
    failed = 1;
  }
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  process.exitCode = failed === 0 ? 0 : 1;
}

/** The addon alone is instrumented, so the runtime must be there before node starts. */
function sanitizerEnv(): NodeJS.ProcessEnv {
  const library = (name: string) =>
    spawnSync('g++', [`-print-file-name=${name}`], { encoding: 'utf8' }).stdout.trim();
  return {
    TWINSTEP_ADDON: 'Debug',
    LD_PRELOAD: `${library('libasan.so')} ${library('libubsan.so')}`,
    // Node itself keeps memory until exit; leaks of ours are looked for in the lifetime tests.
    ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
  };
}
