// The commands that ask a running board over its control socket: each says what it asked and how it
// ended, in words or as JSON.
import { join } from 'node:path';
import { ALARM_CODES, isAlarmCode } from '../board/alarms/codes.ts';
import { CONTROL_SOCKET } from '../board/control/doors.ts';
import { readConfig } from '../board/config/load.ts';
import { ControlClient, NoBoardError } from '../board/control/client.ts';
import type { BoardEvent } from '../board/events.ts';
import type { Status } from '../board/status.ts';
import { alarmsScreen } from '../console/screens.ts';
import { statusLines } from '../console/status-screen.ts';
import { didYouMean } from '../words/near.ts';
import { parseStrictlyWith } from './arguments.ts';
import { CONTROL_COMMANDS, type ControlCommand } from './control-commands.ts';
import { EXIT, UsageError } from './usage.ts';

interface Values {
  readonly config?: string;
  readonly socket?: string;
  readonly json?: boolean;
  readonly help?: boolean;
  readonly force?: boolean;
  readonly follow?: boolean;
  readonly 'no-wait'?: boolean;
  readonly history?: string;
  readonly by?: string;
}

const COMMON = {
  config: { type: 'string' },
  socket: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;
const NO_WAIT = { 'no-wait': { type: 'boolean' } } as const;

/** Options beyond the common ones, the argument if there is one, and what is special to say. */
interface Shape {
  readonly options: Parameters<typeof parseStrictlyWith>[1];
  readonly argument?: readonly [string, string];
  /** What any one word may stand for. */
  readonly word?: string;
  readonly help: string;
}

const SHAPES: Readonly<Record<ControlCommand, Shape>> = {
  status: { options: {}, help: '' },
  events: {
    options: { follow: { type: 'boolean', short: 'f' } },
    help: '  --follow, -f    go on until the board ends\n',
  },
  alarms: {
    options: { history: { type: 'string' } },
    help: '  --history N     the newest N changes too (with --json 20 at least)\n',
  },
  ack: {
    options: { by: { type: 'string' } },
    word: 'CODE',
    help: '  CODE            of the alarm, or "all"\n  --by NAME       who has seen it (the operator)\n',
  },
  'switch-over': { options: NO_WAIT, help: '  --no-wait       do not wait until it is done\n' },
  'test-failover': { options: {}, help: '' },
  maintenance: {
    options: NO_WAIT,
    argument: ['on', 'off'],
    help: '  --no-wait       do not wait until it is done\n',
  },
  'sync-up': { options: {}, argument: ['allow', 'forbid'], help: '' },
  restart: { options: {}, help: '' },
  stop: {
    options: { force: { type: 'boolean' }, ...NO_WAIT },
    help: '  --force         also when the guest then stops\n  --no-wait       do not wait until it has\n',
  },
  'force-lead': { options: {}, help: '' },
};

const WAIT_MS = 15_000;
const LOOK_MS = 50;

export async function controlCommand(name: string, args: string[]): Promise<number> {
  const command = name as ControlCommand;
  const shape = SHAPES[command];
  const { values, positionals } = parseStrictlyWith(args, { ...COMMON, ...shape.options });
  const given = values as Values;
  if (given.help) return print(helpOf(command, shape));
  const argument = argumentOf(command, shape, positionals);
  const code = command === 'ack' ? alarmCode(positionals[0]!) : 'all';
  const path = await socketOf(given);
  const client = await ControlClient.open(path);
  try {
    if (command === 'alarms') return await showAlarms(client, given);
    if (command === 'ack') return await acknowledge(client, code, given);
    return await run(client, command, argument, given);
  } catch (error) {
    if (!(error instanceof NoBoardError)) throw error;
    throw new NoBoardError(`${path}: ${error.message}`);
  } finally {
    client.close();
  }
}

function helpOf(command: ControlCommand, { argument, word, help }: Shape): string {
  const place = [argument?.join('|') ?? word].map((it) => (it === undefined ? '' : ` ${it}`));
  return `usage: twinstep ${command}${place} --config FILE | --socket PATH [OPTIONS]

${CONTROL_COMMANDS[command]}.

  --config FILE   of the board
  --socket PATH   its control socket (state-dir/${CONTROL_SOCKET})
  --json          for machines
${help}
Ends with 0 when it is done, 1 when no board answers, 2 for a command line that makes no sense, 5 when the
board refuses (it says why), 6 when it was begun but is not done in time.
`;
}

function argumentOf(
  command: ControlCommand,
  { argument, word }: Shape,
  positionals: readonly string[],
): boolean {
  const [first, ...rest] = positionals;
  if (word !== undefined) {
    if (first === undefined || rest.length > 0) throw new UsageError(`say "${command} ${word}"`);
    return false;
  }
  if (argument === undefined) {
    if (first !== undefined) throw new UsageError(`"${first}" is too much`);
    return false;
  }
  const [yes, no] = argument;
  if (rest.length > 0 || (first !== yes && first !== no))
    throw new UsageError(`say "${command} ${yes}" or "${command} ${no}"`);
  return first === yes;
}

async function socketOf({ config, socket }: Values): Promise<string> {
  if (socket !== undefined) return socket;
  if (config === undefined) throw new UsageError('give --config FILE or --socket PATH');
  // Mistakes elsewhere in the file are not this command's business.
  const { config: read } = await readConfig(config);
  return join(read.stateDir, CONTROL_SOCKET);
}

async function run(
  client: ControlClient,
  command: Exclude<ControlCommand, 'alarms' | 'ack'>,
  argument: boolean,
  values: Values,
): Promise<number> {
  const force = values.force === true;
  switch (command) {
    case 'status':
      return showStatus(await client.status(), values);
    case 'events':
      return await showEvents(client, values);
    case 'switch-over':
      return await ask(client, { do: command }, values, hasHandedOver);
    case 'maintenance': {
      const done = (now: Status) => (now.role === 'maintenance') === argument;
      return await ask(client, { do: command, on: argument }, values, done);
    }
    case 'sync-up':
      return await ask(client, { do: command, allowed: argument }, values);
    case 'stop':
      return await ask(client, { do: command, force }, values, 'ended');
    case 'restart':
      return await ask(client, { do: command }, values, 'ended');
    case 'test-failover':
    case 'force-lead':
      return await ask(client, { do: command }, values);
  }
}

/** The other board leads with this one in step again. */
function hasHandedOver({ role, pairState }: Status): boolean {
  return role === 'backup' && pairState === 'RUN-Redundant';
}

async function ask(
  client: ControlClient,
  request: { readonly do: string; readonly [field: string]: unknown },
  values: Values,
  until?: 'ended' | ((now: Status) => boolean),
): Promise<number> {
  const begunMs = performance.now();
  const answer = await client.ask(request);
  if (!answer.ok) {
    if (values.json) print(`${JSON.stringify({ ok: false, why: answer.why })}\n`);
    else process.stderr.write(`twinstep ${request.do}: refused: ${answer.why}\n`);
    return EXIT.refused;
  }
  const isDone =
    until === undefined || values['no-wait'] === true || (await waitFor(client, until));
  const tookMs = Math.round(performance.now() - begunMs);
  if (values.json) print(`${JSON.stringify({ ok: true, done: isDone, tookMs })}\n`);
  else if (!isDone)
    process.stderr.write(`twinstep ${request.do}: begun, not done after ${tookMs} ms\n`);
  else
    print(
      `${request.do}: ${until === undefined || values['no-wait'] ? 'taken' : `done in ${tookMs} ms`}\n`,
    );
  return isDone ? EXIT.ok : EXIT.unfinished;
}

async function waitFor(
  client: ControlClient,
  until: 'ended' | ((now: Status) => boolean),
): Promise<boolean> {
  let isEnded = false;
  void client.ended.then(() => {
    isEnded = true;
  });
  for (const endMs = performance.now() + WAIT_MS; performance.now() < endMs; ) {
    if (until === 'ended') {
      if (isEnded) return true;
    } else if (until(await client.status())) return true;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return false;
}

function showStatus(status: Status, { json }: Values): number {
  return print(
    json ? `${JSON.stringify(status, null, 2)}\n` : `${statusLines(status).join('\n')}\n`,
  );
}

const HISTORY_MAX = 500;
const HISTORY_JSON = 20;

async function showAlarms(client: ControlClient, { json, history }: Values): Promise<number> {
  const lines = history === undefined ? (json ? HISTORY_JSON : 0) : Number(history);
  if (!(Number.isInteger(lines) && lines >= 0 && lines <= HISTORY_MAX))
    throw new UsageError(`--history must be a number, 0 to ${HISTORY_MAX}`);
  const answer = await client.ask({ do: 'alarms', history: lines });
  if (!answer.ok) throw new NoBoardError(answer.why);
  const { alarms = [], history: past = [] } = answer;
  return print(
    json ? `${JSON.stringify({ alarms, history: past }, null, 2)}\n` : alarmsScreen(alarms, past),
  );
}

function alarmCode(given: string): string {
  if (given.toLowerCase() === 'all') return 'all';
  const code = given.toUpperCase();
  if (!isAlarmCode(code))
    throw new UsageError(
      `"${given}" is no alarm${didYouMean(code, Object.keys(ALARM_CODES)) || '; "twinstep alarms" lists them'}`,
    );
  return code;
}

async function acknowledge(
  client: ControlClient,
  code: string,
  { json, by }: Values,
): Promise<number> {
  const answer = await client.ask({ do: 'ack', code, ...(by === undefined ? {} : { by }) });
  if (!answer.ok) {
    if (json) print(`${JSON.stringify({ ok: false, why: answer.why })}\n`);
    else process.stderr.write(`twinstep ack: refused: ${answer.why}\n`);
    return EXIT.refused;
  }
  const { acked = 0 } = answer;
  if (json) return print(`${JSON.stringify({ ok: true, acked })}\n`);
  return print(acked === 0 ? 'nothing to acknowledge\n' : `acknowledged: ${acked}\n`);
}

async function showEvents(client: ControlClient, { json, follow }: Values): Promise<number> {
  const show = (event: BoardEvent) => print(json ? `${JSON.stringify(event)}\n` : eventText(event));
  client.onTold = ({ event, notice }) => {
    if (event !== undefined) show(event);
    if (notice !== undefined) process.stderr.write(`twinstep events: ${notice}\n`);
  };
  if (follow) {
    await client.ask({ do: 'subscribe', after: 0 });
    await client.ended;
    return EXIT.ok;
  }
  const answer = await client.ask({ do: 'events' });
  if (answer.ok) for (const event of answer.events ?? []) show(event);
  return EXIT.ok;
}

function eventText({ wallMs, code, severity, text }: BoardEvent): string {
  const time = new Date(wallMs).toISOString().slice(11, 23);
  const mark = severity === 'info' ? '' : `${severity.toUpperCase()} `;
  return `${time} ${mark}${code}: ${text}\n`;
}

function print(text: string): number {
  process.stdout.write(text);
  return EXIT.ok;
}
