// `twinstep console`: the technician's console on this terminal. Under getty, over ssh, or by hand.
import { spawn } from 'node:child_process';
import { closeSync, constants, openSync, readlinkSync, statSync, writeSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { makeRawTerminal, restoreTerminal } from '../../native/index.ts';
import { Shell } from '../console/shell.ts';
import { parseStrictly } from './arguments.ts';
import { EXIT } from './usage.ts';
import { version } from './version.ts';

const HELP = `usage: twinstep console [--config FILE] [--users FILE] [--idle-s SECONDS]

The technician's console on this terminal: login, then "show status". docs/console.md.

  --config FILE    of the board (/etc/twinstep/board.toml)
  --users FILE     who may log in (the file "users" beside it); made by the first session
  --idle-s SECONDS logs out who does not type for so long (600)

Ends with 0 when the session ends; under getty the next one begins.
`;
const CONFIG_DEFAULT = '/etc/twinstep/board.toml';
const ORDERS = '/run/twinstep/orders';
const COMMANDS = { reboot: 'reboot', 'power-off': 'poweroff' } as const;

export async function consoleCommand(args: string[]): Promise<number> {
  const values = parseStrictly(args, {
    config: { type: 'string' },
    users: { type: 'string' },
    'idle-s': { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  }) as { config?: string; users?: string; 'idle-s'?: string; help?: boolean };
  if (values.help) {
    process.stdout.write(HELP);
    return EXIT.ok;
  }
  const { stdin, stdout } = process;
  const isTerminal = stdin.isTTY === true;
  const settings = isTerminal ? makeRawTerminal(stdin.fd) : undefined;
  const restore = () => {
    try {
      if (settings !== undefined) restoreTerminal(stdin.fd, settings);
    } catch {
      // The terminal itself is gone.
    }
  };
  process.on('exit', restore);
  const shell = new Shell({
    configFile: resolve(values.config ?? CONFIG_DEFAULT),
    usersFile: values.users === undefined ? undefined : resolve(values.users),
    line: lineName(),
    version: version(),
    wallMs: () => Date.now(),
    nowMs: () => performance.now(),
    idleMs: Math.max(1, Number(values['idle-s'] ?? 600) || 600) * 1000,
    power,
    input: stdin,
    output: stdout,
    isTerminal,
  });
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT'] as const)
    process.on(signal, () => shell.hangup());
  await shell.ended;
  restore();
  // What was said still goes out; whatever else holds the event loop has nothing to say.
  await new Promise<void>((done) => stdout.write('', () => done()));
  process.exit(EXIT.ok);
}

/** Lines are told apart by it when wrong passwords are counted. */
function lineName(): string {
  try {
    const name = readlinkSync('/proc/self/fd/0');
    // Each remote session gets another number: together they are one line.
    if (name.startsWith('/dev/pts/')) return 'remote';
    return name.startsWith('/dev/') ? basename(name) : 'pipe';
  } catch {
    return 'unknown';
  }
}

/** The appliance takes these words by a pipe; elsewhere who runs the console must have the right to. */
function power(what: 'reboot' | 'power-off'): Promise<void> {
  if (statSync(ORDERS, { throwIfNoEntry: false })?.isFIFO() === true) {
    const pipe = openSync(ORDERS, constants.O_WRONLY | constants.O_NONBLOCK);
    writeSync(pipe, `${COMMANDS[what]}\n`);
    closeSync(pipe);
    return Promise.resolve();
  }
  return new Promise((done, fail) => {
    const child = spawn(COMMANDS[what], [], { stdio: 'ignore' });
    child.once('error', fail);
    child.once('exit', (code) =>
      code === 0 ? done() : fail(new Error(`"${COMMANDS[what]}" ended with ${code}`)),
    );
  });
}
