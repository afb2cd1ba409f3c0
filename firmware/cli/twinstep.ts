#!/usr/bin/env node
// The command `twinstep`. Each subcommand is a file beside this one; here is only the list of them.
import { didYouMean } from '../words/near.ts';
import { CONTROL_COMMANDS } from './control-commands.ts';
import { EXIT, isForPeople, UsageError } from './usage.ts';
import { version } from './version.ts';

interface Command {
  readonly words: string;
  /** Answers the exit code. */
  readonly run: (args: string[]) => Promise<number>;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  board: {
    words: 'run this board of a pair',
    run: async (args) => (await import('./board.ts')).boardCommand(args),
  },
  ...Object.fromEntries(
    Object.entries(CONTROL_COMMANDS).map(([name, words]) => [
      name,
      { words, run: async (args) => (await import('./control.ts')).controlCommand(name, args) },
    ]),
  ),
  guest: {
    words: 'run one guest, unprotected',
    run: async (args) => (await import('./guest.ts')).guestCommand(args),
  },
  record: {
    words: 'run a guest and keep its log',
    run: async (args) => (await import('./record.ts')).recordCommand(args),
  },
  replay: {
    words: 'run a recorded guest again',
    run: async (args) => (await import('./replay.ts')).replayCommand(args),
  },
  log: {
    words: 'list a log',
    run: async (args) => (await import('./log.ts')).logCommand(args),
  },
  doctor: {
    words: 'every path, device and limit of this board, and what to do',
    run: async (args) => (await import('./doctor.ts')).doctor(args),
  },
  link: {
    words: 'test the log link between two boards',
    run: async (args) => (await import('./link.ts')).linkCommand(args),
  },
  'board-process': {
    words: '',
    run: async (args) => (await import('./board.ts')).boardProcess(args),
  },
  console: {
    words: 'the console of a technician, on this terminal',
    run: async (args) => (await import('./console.ts')).consoleCommand(args),
  },
  scada: {
    words: 'tell SCADA of the board on this machine (MQTT, Sparkplug B)',
    run: async (args) => (await import('./scada.ts')).scadaCommand(args),
  },
  help: { words: 'this text', run: async () => print(help()) },
  version: { words: 'the version alone', run: async () => print(`${version()}\n`) },
};

function help(): string {
  const lines = Object.entries(COMMANDS)
    .filter(([, { words }]) => words !== '')
    .map(([name, { words }]) => `  ${name.padEnd(14)}${words}\n`);
  return `twinstep ${version()}: two ordinary x86 PCs become one machine that does not stop

usage: twinstep COMMAND [OPTIONS]     (twinstep COMMAND --help)

${lines.join('')}`;
}

function print(text: string): number {
  process.stdout.write(text);
  return EXIT.ok;
}

async function main([given = 'help', ...args]: string[]): Promise<number> {
  const name = given === '-h' ? 'help' : given.replace(/^--/, '');
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    const known = Object.keys(COMMANDS).filter((one) => COMMANDS[one]!.words !== '');
    const meant = didYouMean(name, known) || '; "twinstep help" lists them';
    console.error(`twinstep: unknown command "${given}"${meant}`);
    return EXIT.usage;
  }
  try {
    return await command.run(args);
  } catch (error) {
    // Whatever is open and would hold the process: nothing comes of it any more.
    process.exit(tellOf(error, name));
  }
}

/** One line where it is somebody's to mend; all of it where it is ours. Answers the exit code. */
function tellOf(error: unknown, name: string): number {
  if (error instanceof UsageError || isForPeople(error)) {
    console.error(`twinstep ${name}: ${error.message}`);
    return error instanceof UsageError ? EXIT.usage : EXIT.failed;
  }
  console.error(error);
  return EXIT.broken;
}

process.exitCode = await main(process.argv.slice(2));
