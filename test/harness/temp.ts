// One folder for everything that a run puts into the temporary directory: tests, the demo, benches, the programs
// they start, and the programs those start. Whoever imports the harness first makes it and sets TMPDIR; all others
// inherit it. It is gone when that process ends, on Ctrl-C too, and with it whatever of the run still lives;
// one that was killed outright is swept away by the next run. Nothing has to be cleaned up by a test.
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

/** Names the folder to all processes of a run, and by it they are known. */
const RUN_ENV = 'TWINSTEP_TEMP';
const PREFIX = 'ts-run-';
/** Answers as long as the run lives, whatever namespace one asks from. */
const ALIVE = '.alive';
/** Of a folder that has no socket yet. */
const YOUNG_MS = 60_000;
/** Screens of 80 columns show paths below it; sockets, with their 108 bytes, leave a run within a run some more. */
const BASE_LENGTH_MAX = 14;
const BASE_LENGTH_MAX_WITHIN = 40;
const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
const DYING_MS = 2_000;
const PARENT_LOOK_MS = 250;

let own: string | undefined;

/** A folder of this run, unless it is part of one. */
export function joinTemp(): void {
  if (process.env[RUN_ENV] === undefined) ownTemp();
}

/** A folder of this run, even within another. Only where there is no temporary directory at all there is none. */
export function ownTemp(): void {
  const base = baseOf();
  try {
    own = mkdtempSync(join(base, PREFIX));
    // Programs that run as another user pass through it.
    chmodSync(own, 0o711);
  } catch {
    return;
  }
  const alive = createServer((socket) => socket.destroy());
  alive.on('error', () => {});
  alive.listen(join(own, ALIVE));
  alive.unref();
  process.env.TMPDIR = own;
  process.env[RUN_ENV] = own;
  process.on('exit', endTemp);
  for (const [signal, number] of Object.entries(SIGNALS))
    process.once(signal, () => process.exit(128 + number));
  if (process.env.npm_lifecycle_event !== undefined) endWithParent();
  void sweep(base, own);
}

/** npm that is ended passes the signal on to the shell between, which keeps it to itself. */
function endWithParent(): void {
  const parent = process.ppid;
  const look = () => {
    if (process.ppid !== parent) process.exit(128 + SIGNALS.SIGHUP);
  };
  setInterval(look, PARENT_LOOK_MS).unref();
}

/** The temporary directory, unless its name is too long or, for root, it is closed to other users. */
function baseOf(): string {
  const given = tmpdir();
  const isWithin = process.env[RUN_ENV] !== undefined;
  const isShort = given.length <= (isWithin ? BASE_LENGTH_MAX_WITHIN : BASE_LENGTH_MAX);
  const isFit = isShort && (process.getuid?.() !== 0 || isOpen(given));
  return isFit ? given : '/tmp';
}

/** Whether every user may pass through all of the folders to it, and itself. */
export function isOpen(path: string): boolean {
  for (let at = resolve(path); ; at = dirname(at)) {
    const mode = statSync(at, { throwIfNoEntry: false })?.mode ?? 0;
    if ((mode & 0o001) === 0) return false;
    if (at === '/') return true;
  }
}

/** For who ends without `exit`. */
export function endTemp(): void {
  if (own === undefined) return;
  remove(own);
  own = undefined;
}

/** Runs that were killed outright; those of other users are theirs. */
async function sweep(base: string, mine: string): Promise<void> {
  for (const name of namesIn(base)) {
    const folder = join(base, name);
    if (!name.startsWith(PREFIX) || folder === mine) continue;
    const isOurs = statSync(folder, { throwIfNoEntry: false })?.uid === process.getuid?.();
    if (isOurs && !(await lives(folder))) remove(folder);
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

async function lives(folder: string): Promise<boolean> {
  const code = await new Promise<string | undefined>((resolve) => {
    const socket = connect(join(folder, ALIVE), () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
  });
  if (code === 'ECONNREFUSED') return false;
  const made = statSync(folder, { throwIfNoEntry: false })?.mtimeMs;
  // Without a socket it is not whole yet, or never will be.
  return code !== 'ENOENT' || made === undefined || Date.now() - made < YOUNG_MS;
}

function remove(folder: string): void {
  endProcesses(folder);
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  } catch (error) {
    process.stderr.write(`left behind: ${folder}: ${(error as Error).message}\n`);
  }
}

/** They would write into what is removed, or stay for ever. */
function endProcesses(folder: string): void {
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  for (let waitedMs = 0; waitedMs < DYING_MS; waitedMs += 10) {
    const found = processesOf(folder);
    if (found.length === 0) return;
    for (const pid of found) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It was faster.
      }
    }
    Atomics.wait(sleeper, 0, 0, 10);
  }
}

function processesOf(folder: string): number[] {
  const marker = `${RUN_ENV}=${folder}`;
  return namesIn('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((name) => environmentOf(name).includes(marker))
    .map(Number);
}

/** Empty for another user's, and for one that has ended. */
function environmentOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
  } catch {
    return [];
  }
}
