// The commands that ask a running board over its control socket: each says what it asked and how it
// ended, in words or as JSON.
import { join } from 'node:path';
import { ALARM_CODES, isAlarmCode } from '../board/alarms/codes.ts';
import { readConfig } from '../board/config/load.ts';
import { ControlClient, NoBoardError } from '../board/control/client.ts';
import { CONTROL_SOCKET } from '../board/control/doors.ts';
import type { BoardEvent } from '../board/events.ts';
import { isRequestName, type RequestName } from '../board/operator-requests.ts';
import type { Status } from '../board/status.ts';
import { alarmsScreen } from '../console/screens.ts';
import { statusLines } from '../console/status-screen.ts';
import { didYouMean } from '../words/near.ts';
import { parseStrictlyWith } from './arguments.ts';
import { CONTROL_COMMANDS, type ControlCommand } from './control-commands.ts';
import {
  askAndWait,
  requestFields,
  requestHelp,
  requestOptions,
  requestWords,
} from './requests.ts';
import { EXIT, UsageError } from './usage.ts';

interface Values {
  readonly config?: string;
  readonly socket?: string;
  readonly json?: boolean;
  readonly help?: boolean;
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

/** Options beyond the common ones, the word that follows if there is one, and what is special to say. */
interface Shape {
  readonly options: Parameters<typeof parseStrictlyWith>[1];
  readonly word?: string;
  readonly help: string;
}

const READING: Readonly<Record<Exclude<ControlCommand, RequestName>, Shape>> = {
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
};

export async function controlCommand(name: string, args: string[]): Promise<number> {
  const command = name as ControlCommand;
  const shape = shapeOf(command);
  const { values, positionals } = parseStrictlyWith(args, { ...COMMON, ...shape.options });
  const given = values as Values;
  if (given.help) return print(helpOf(command, shape));
  const ask = askerOf(command, given, positionals);
  const path = await socketOf(given);
  const client = await ControlClient.open(path);
  try {
    return await ask(client, path);
  } catch (error) {
    if (!(error instanceof NoBoardError)) throw error;
    throw new NoBoardError(`${path}: ${error.message}`);
  } finally {
    client.close();
  }
}

function shapeOf(command: ControlCommand): Shape {
  if (!isRequestName(command)) return READING[command];
  const word = requestWords(command);
  return {
    options: requestOptions(command),
    ...(word === undefined ? {} : { word }),
    help: requestHelp(command),
  };
}

type Asker = (client: ControlClient, path: string) => Promise<number>;

/** The whole command line is read before a board is asked. Throws a UsageError. */
function askerOf(command: ControlCommand, given: Values, words: readonly string[]): Asker {
  if (isRequestName(command)) {
    const fields = requestFields(command, given, words);
    return (client, path) => askAndWait(client, path, command, fields, given);
  }
  const [first, ...rest] = words;
  if (command === 'ack') {
    if (first === undefined || rest.length > 0) throw new UsageError('say "ack CODE"');
    const code = alarmCode(first);
    return (client) => acknowledge(client, code, given);
  }
  if (first !== undefined) throw new UsageError(`"${first}" is too much`);
  switch (command) {
    case 'status':
      return async (client) => showStatus(await client.status(), given);
    case 'events':
      return (client) => showEvents(client, given);
    case 'alarms':
      return (client) => showAlarms(client, given);
  }
}

function helpOf(command: ControlCommand, { word, help }: Shape): string {
  const place = word === undefined ? '' : ` ${word}`;
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

async function socketOf({ config, socket }: Values): Promise<string> {
  if (socket !== undefined) return socket;
  if (config === undefined) throw new UsageError('give --config FILE or --socket PATH');
  // Mistakes elsewhere in the file are not this command's business.
  const { config: read } = await readConfig(config);
  return join(read.stateDir, CONTROL_SOCKET);
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
