// `twinstep board`: the daemon of one board. This process supervises; the board itself is a child
// process, so that its death can be told to the peer at once.
import { closeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { watchdog as native } from '../../native/index.ts';
import { LOCK_FD, SENTINEL_FD, WORD_FD } from '../../watchdog/supervisor.ts';
import { Board } from '../board/board.ts';
import { type Loaded, loadConfig } from '../board/config/load.ts';
import { ConfigStore, now } from '../board/config/store.ts';
import { trialVerdict } from '../board/config/versions.ts';
import { EventSink } from '../board/event-sink.ts';
import { EventLog, eventLine } from '../board/events.ts';
import { makeReplication } from '../board/make-replication.ts';
import { notSurvivedAtBest } from '../board/redundancy.ts';
import { BoardError, lockStateFolder } from '../board/state-folder.ts';
import { Supervised, type SupervisedEnd } from '../board/supervise.ts';
import { isPipe, SupervisorLine } from '../board/supervisor-line.ts';
import { parseStrictly } from './arguments.ts';
import { EXIT, isForPeople, UsageError } from './usage.ts';

const HELP = `usage: twinstep board --config FILE [--check]

Runs this board of a pair: takes its role, protects the guest, takes over when the other board dies.
Events go to standard output, one line of JSON each. "twinstep status --config FILE" shows the board,
"twinstep stop" ends it; so do SIGTERM and Ctrl-C: it hands over first if that is possible.

  --config FILE   docs/CONFIG.md; all mistakes in it are told at once
  --check         only read the configuration and check it; tells, too, which single fault a pair with it
                  would not survive

Ends with 0 after an ordered stop, 1 when it could not start, 2 for a command line that makes no sense,
4 when the board died too often and is left to its hardware watchdog.
`;

const STDOUT = 1;
const SINK_WITHIN_MS = 500;
/**
 * With helper threads, collecting garbage waits for threads that do not go first. For the optimising compiler the guest waits:
 * it works in small pieces where little is inlined (docs/decisions 92). What is young is collected in small pieces, too (93; MiB).
 */
const BOARD_FLAGS = [
  '--single-threaded-gc',
  '--max-inlined-bytecode-size-cumulative=300',
  '--max-semi-space-size=2',
];
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
/** A parent that is gone cannot tell of this board's death any more. */
const PARENT_LOOK_MS = 1_000;

export async function boardCommand(args: string[]): Promise<number> {
  const options = { ...OPTIONS, check: { type: 'boolean' } } as const;
  const values = parseStrictly(args, options) as Values & { check?: boolean };
  if (values.help) {
    process.stdout.write(HELP);
    return EXIT.ok;
  }
  const file = configFile(values);
  if (values.check) {
    const { config } = await loadConfig(file);
    const not = notSurvivedAtBest(config);
    const limits = not === null ? '' : `; a pair with it is redundant, but not survived: ${not}`;
    process.stdout.write(`${file}: all is well${limits}\n`);
    return EXIT.ok;
  }
  const events = new EventLog({ wallMs: () => Date.now(), monoMs: () => native.bootClockMs() });
  const sink = EventSink.toDescriptor(STDOUT);
  events.listen((event) => sink.put(eventLine(event)));
  let kind: SupervisedEnd['kind'];
  do kind = await superviseOnce(file, events);
  while (kind === 'restart');
  await sink.close(SINK_WITHIN_MS);
  return kind === 'ordered' ? EXIT.ok : EXIT.givenUp;
}

/** From the configuration as it is now until the board ends, or wants another start. */
async function superviseOnce(file: string, events: EventLog): Promise<SupervisedEnd['kind']> {
  const { returned, trouble } = new ConfigStore(file).settle();
  if (returned !== null) events.tell('CONFIG-RETURNED', `it returned: ${returned}`);
  if (trouble !== null) events.tell('CONFIG-TROUBLE', trouble);
  const loaded = await loadConfig(file, { mayLack: true });
  // Before anything else: whose board it is decides who may speak of it.
  const lock = lockStateFolder(loaded.config.stateDir);
  const script = fileURLToPath(new URL('./twinstep.js', import.meta.url));
  const supervised = new Supervised({
    ...loaded,
    ...{ events, lock },
    command: process.execPath,
    args: [...process.execArgv, ...BOARD_FLAGS, script, 'board-process', '--config', file],
  });
  let asked = false;
  const onSignal = () => {
    // Once in order; who asks twice will not wait.
    if (asked && supervised.boardPid !== undefined) process.kill(supervised.boardPid, 'SIGKILL');
    asked = true;
    void supervised.stop();
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  supervised.start();
  const { kind } = await supervised.ended;
  for (const signal of SIGNALS) process.off(signal, onSignal);
  supervised.close();
  closeSync(lock);
  return kind;
}

/** The child: not for people. */
export async function boardProcess(args: string[]): Promise<number> {
  for (const event of ['uncaughtException', 'unhandledRejection'] as const)
    process.on(event, endUnexpectedly);
  const file = configFile(parseStrictly(args, OPTIONS) as Values);
  // The parent puts the one before in force, and reads it itself.
  const store = new ConfigStore(file);
  if (trialVerdict(store.held(), now()).is === 'over') return EXIT.restart;
  native.forgoCoreDumps();
  const loaded = await loadConfig(file, { mayLack: true });
  if (isPipe(SENTINEL_FD)) native.startSentinel(SENTINEL_FD);
  const board = await startBoard(loaded);
  for (const signal of SIGNALS) process.on(signal, () => void board.shutDown());
  watchParent(board);
  await board.ended;
  // Whatever else still holds the event loop has nothing to say any more.
  process.exit(board.isToBeRestarted ? EXIT.restart : EXIT.ok);
}

/** Throws what people can read, also where it is our mistake. */
async function startBoard(loaded: Loaded): Promise<Board> {
  try {
    return await Board.start({
      ...loaded,
      makeReplication,
      group: process.pid,
      stdout: STDOUT,
      lock: LOCK_FD,
      supervisor: new SupervisorLine(WORD_FD),
      onMute: () => process.kill(process.pid, 'SIGKILL'),
    });
  } catch (error) {
    if (isForPeople(error)) throw error;
    const { message, stack = '' } = error as Error;
    const where = stack.split('\n')[1]?.trim() ?? 'nowhere';
    throw new BoardError(`could not start: ${message} (${where})`);
  }
}

/** What nobody foresaw ends the board at once: half of one would hold the guest and serve nobody. */
function endUnexpectedly(error: unknown): void {
  console.error(error);
  process.exit(EXIT.broken);
}

interface Values {
  readonly config?: string;
  readonly help?: boolean;
}
const OPTIONS = {
  config: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

function configFile({ config }: Values): string {
  if (config === undefined) throw new UsageError('--config FILE is missing');
  return config;
}

/**
 * Nobody would tell of this board's death, and the next supervisor cannot start while it lives: it goes
 * as soon as the other board can take over.
 */
function watchParent(board: Board): void {
  const parent = process.ppid;
  let isTold = false;
  setInterval(() => {
    if (process.ppid === parent) return;
    if (!isTold) board.events.tell('SUPERVISOR-GONE');
    isTold = true;
    const { safeToRemove, pairState } = board.status();
    if (safeToRemove.ok || pairState === 'RUN-Redundant') board.stop(false);
  }, PARENT_LOOK_MS);
}
