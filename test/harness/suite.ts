// A suite of uvu that cannot pass by accident. uvu 0.5.6 exits 0 when a hook throws, when a test
// rejects with something that is no Error, and when a file forgets `.run()`; a test that never
// settles hangs or ends the run without a name. Here every test, its hooks included, runs inside a
// function of ours that catches all of that and reports it (events.ts); uvu keeps order and output.
import { suite as uvuSuite } from 'uvu';
import { emit } from './events.ts';

export const TEST_TIMEOUT_MS_DEFAULT = 10_000;

type Hook = () => void | Promise<void>;
type Body = () => unknown;

interface Requirement {
  /** Whether this machine can run the suite. */
  met: boolean;
  /** In words, read by a person: "needs root for network namespaces". */
  why: string;
}

export interface Suite {
  (name: string, body: Body, options?: { timeoutMs?: number }): void;
  /** Skips the whole suite, in words, where the requirement is not met. */
  needs(requirement: Requirement): void;
  skip(name: string, why: string): void;
  before: ((hook: Hook) => void) & { each(hook: Hook): void };
  after: ((hook: Hook) => void) & { each(hook: Hook): void };
  /** Must be the file's last word on this suite; a suite never run is a failure. */
  run(): void;
}

interface Registered {
  name: string;
  body: Body;
  timeoutMs: number;
}

const suites = new Set<{ name: string; ran: boolean }>();
let unfinishedSuites = 0;

process.on('exit', () => {
  for (const { name, ran } of suites) {
    if (!ran) fail(name, '(suite)', new Error('.run() was never called: none of its tests ran'));
  }
});

export function suite(name: string): Suite {
  const record = { name, ran: false };
  suites.add(record);
  const inner = uvuSuite(name);
  const hooks = { before: [] as Hook[], after: [] as Hook[] };
  const each = { before: [] as Hook[], after: [] as Hook[] };
  const tests: Registered[] = [];
  let unmet: string | undefined;
  let broken: string | undefined;

  const define = (testName: string, body: Body, options: { timeoutMs?: number } = {}) => {
    if (record.ran) throw new Error(`${name}: test "${testName}" is defined after .run()`);
    tests.push({
      name: testName,
      body,
      timeoutMs: options.timeoutMs ?? TEST_TIMEOUT_MS_DEFAULT,
    });
  };

  const skip = (testName: string, why: string) => {
    emit({ type: 'skip', suite: name, test: testName, why });
    inner.skip(`${testName} (${why})`, () => {});
  };

  const run = () => {
    record.ran = true;
    unfinishedSuites++;
    if (unmet !== undefined) {
      for (const test of tests) skip(test.name, unmet);
    } else {
      for (const test of tests) inner(test.name, () => runTest(name, test, each, broken));
      inner.before(async () => {
        broken = await runHooks(name, '(before hook)', hooks.before);
      });
    }
    inner.after(async () => {
      if (unmet === undefined) await runHooks(name, '(after hook)', hooks.after);
      if (--unfinishedSuites === 0) emit({ type: 'end' });
    });
    inner.run();
  };

  return Object.assign(define, {
    needs: ({ met, why }: Requirement) => {
      if (!met) unmet ??= why;
    },
    skip,
    before: Object.assign((hook: Hook) => void hooks.before.push(hook), {
      each: (hook: Hook) => void each.before.push(hook),
    }),
    after: Object.assign((hook: Hook) => void hooks.after.push(hook), {
      each: (hook: Hook) => void each.after.push(hook),
    }),
    run,
  });
}

/** One test with its hooks. Throws an Error for uvu exactly when it has reported a failure. */
async function runTest(
  suiteName: string,
  { name, body, timeoutMs }: Registered,
  each: { before: Hook[]; after: Hook[] },
  broken: string | undefined,
): Promise<void> {
  emit({ type: 'start', suite: suiteName, test: name, timeoutMs });
  const started = performance.now();
  const attempt = async () => {
    if (broken !== undefined) throw new Error(`not run, the before hook failed: ${broken}`);
    try {
      for (const hook of each.before) await hook();
      await body();
    } finally {
      for (const hook of each.after) await hook();
    }
  };
  try {
    await withTimeout(attempt(), timeoutMs, () => endHung(suiteName, name, timeoutMs));
  } catch (thrown) {
    throw fail(suiteName, name, thrown);
  }
  emit({ type: 'pass', suite: suiteName, test: name, ms: performance.now() - started });
}

/** Runs suite hooks; the message of the first failure, which is also reported as a failed test. */
async function runHooks(suiteName: string, label: string, hooks: Hook[]) {
  const timeoutMs = TEST_TIMEOUT_MS_DEFAULT;
  emit({ type: 'start', suite: suiteName, test: label, timeoutMs, hook: true });
  try {
    for (const hook of hooks) {
      await withTimeout(Promise.resolve().then(hook), timeoutMs, () =>
        endHung(suiteName, label, timeoutMs),
      );
    }
    return undefined;
  } catch (thrown) {
    return fail(suiteName, label, thrown).message;
  }
}

function fail(suiteName: string, test: string, thrown: unknown): Error {
  const error =
    thrown instanceof Error
      ? thrown
      : new Error(`threw something that is no Error: ${String(thrown)}`);
  const details = 'details' in error && typeof error.details === 'string' ? error.details : '';
  const why = [error.stack ?? error.message, details].filter((part) => part !== '').join('\n');
  emit({ type: 'fail', suite: suiteName, test, why });
  process.exitCode = 1;
  return error;
}

/** The hung test may hold ports, children, locks: nothing after it in this process is worth running. */
function endHung(suiteName: string, test: string, timeoutMs: number): never {
  fail(suiteName, test, new Error(`hung: not finished after ${timeoutMs} ms; the file ends here`));
  process.exit(1);
}

/** The timer also keeps a process alive whose only test waits for something that never comes. */
async function withTimeout<T>(work: Promise<T>, timeoutMs: number, hung: () => never): Promise<T> {
  const timer = setTimeout(hung, timeoutMs);
  try {
    return await work;
  } finally {
    clearTimeout(timer);
  }
}
