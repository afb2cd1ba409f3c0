// The commands of the console, each a dialogue. What changes the pair is in requests.ts. Pure.
import { ALARM_CODES, isAlarmCode } from '../board/alarms/codes.ts';
import type { Status } from '../board/status.ts';
import { didYouMean } from '../words/near.ts';
import { configure, confirmConfig, factoryReset, showHistory } from './configure.ts';
import { type Command, type Context, newPassword, statusOr, tellNoBoard } from './context.ts';
import type { UserRole } from './grammar.ts';
import {
  ask,
  type ConfigText,
  call,
  type Dialogue,
  type Done,
  print,
  show,
  type TimeText,
} from './needs.ts';
import { power, requestCommands, requestGroups } from './requests.ts';
import { scadaScreen } from './scada-screen.ts';
import {
  alarmsScreen,
  configScreen,
  disksScreen,
  guestScreen,
  heading,
  linksScreen,
  logScreen,
  redundancyScreen,
  versionsScreen,
} from './screens.ts';
import { setup } from './setup.ts';
import { statusLines } from './status-screen.ts';
import { timeScreen } from './time-screen.ts';

const LOG_LINES = 40;
const LOG_LINES_MAX = 2_000;
const HISTORY_LINES = 50;

export const GROUPS: Readonly<Record<string, string>> = {
  show: 'look at something',
  'show tech-support': 'everything, for the maker',
  'show log': 'what happened',
  'show alarms': 'what is wrong',
  'show config': 'the file of this board',
  confirm: 'a configuration that is on trial',
  set: 'change a value of the candidate',
  delete: 'take a value or a whole table out of it',
  commit: 'put the candidate in force',
  request: 'change what the pair does',
  ...requestGroups(),
  guest: 'the protected machine',
  monitor: 'watch',
  terminal: 'how this terminal shows things',
};

export function commandsFor(role: UserRole): Command[] {
  const rank = { viewer: 0, operator: 1, admin: 2 } as const;
  return COMMANDS.filter((command) => rank[command.role] <= rank[role]);
}

const at = (role: UserRole, words: string, help: string, run: Command['run']): Command => ({
  words,
  help,
  role,
  run,
});

function ofStatus(screen: (status: Status, context: Context) => string): Command['run'] {
  return function* (_args, context) {
    const status = yield* statusOr();
    if (status !== null) yield* show(screen(status, context));
  };
}

function* showLog([given]: readonly string[]): Dialogue {
  const lines = given === undefined ? LOG_LINES : Number(given);
  if (!(Number.isInteger(lines) && lines >= 1 && lines <= LOG_LINES_MAX))
    return yield* print(`say how many lines, 1 to ${LOG_LINES_MAX}\n`);
  const answer = yield* ask({ do: 'events' });
  if (answer.ok) yield* show(logScreen(answer.events ?? [], lines));
  else yield* tellNoBoard(answer);
}

function showAlarms(history: number): Command['run'] {
  return function* () {
    const answer = yield* ask({ do: 'alarms', history });
    if (answer.ok) yield* show(alarmsScreen(answer.alarms ?? [], answer.history ?? []));
    else yield* tellNoBoard(answer);
  };
}

function* ackAlarm([code = '']: readonly string[], { user }: Context): Dialogue {
  const wanted = code.toLowerCase() === 'all' ? 'all' : code.toUpperCase();
  if (wanted !== 'all' && !isAlarmCode(wanted))
    return yield* print(
      `"${code}" is no alarm${didYouMean(wanted, Object.keys(ALARM_CODES)) || '; "show alarms" lists them'}\n`,
    );
  const answer = yield* ask({ do: 'ack', code: wanted, by: user });
  if (!answer.ok) return yield* tellNoBoard(answer);
  const { acked = 0 } = answer;
  yield* print(acked === 0 ? 'nothing to acknowledge\n' : `acknowledged: ${acked}\n`);
}

function* showTime(): Dialogue {
  const answer = yield* ask({ do: 'status' });
  const board = answer.ok ? (answer.status?.clock ?? null) : null;
  yield* show(timeScreen(yield* call<TimeText>({ do: 'time' }), board));
}

function* showConfig(): Dialogue {
  yield* show(configScreen(yield* call<ConfigText>({ do: 'config' })));
}

function techSupport(isBrief: boolean): Command['run'] {
  return function* (_args, context) {
    const parts: string[] = [heading(`Twinstep ${context.version}, tech-support`)];
    const answer = yield* ask({ do: 'status' });
    if (answer.ok && answer.status !== undefined) {
      const { status } = answer;
      parts.push(statusLines(status).join('\n'));
      parts.push(heading('links'), linksScreen(status), heading('disks'), disksScreen(status));
      parts.push(heading('scada'), scadaScreen(status.scada));
      parts.push(heading('versions'), versionsScreen(status, context.version));
      if (!isBrief) parts.push(heading('status'), `${JSON.stringify(status, null, 1)}\n`);
    } else {
      const lines = yield* call<readonly string[]>({ do: 'diagnose' });
      parts.push('the board does not answer\n', lines.join('\n'));
    }
    const board = answer.ok ? (answer.status?.clock ?? null) : null;
    parts.push(heading('time'), timeScreen(yield* call<TimeText>({ do: 'time' }), board));
    const alarms = yield* ask({ do: 'alarms', history: isBrief ? 20 : 500 });
    if (alarms.ok)
      parts.push(heading('alarms'), alarmsScreen(alarms.alarms ?? [], alarms.history ?? []));
    parts.push(heading('config'), configScreen(yield* call<ConfigText>({ do: 'config' })));
    const events = yield* ask({ do: 'events' });
    if (events.ok)
      parts.push(heading('log'), logScreen(events.events ?? [], isBrief ? 100 : LOG_LINES_MAX));
    yield* show(`${parts.join('')}${heading('end')}`);
  };
}

function* guestConsole(): Dialogue {
  const opened = yield* call<Done>({ do: 'open-guest' });
  if (!opened.ok) return yield* print(`no guest console: ${opened.why}\n`);
  yield* print('Connected to COM1 of the guest. Ctrl-] leaves.\n');
  yield { need: 'guest' };
}

function monitor(what: 'status' | 'log'): Command['run'] {
  return function* () {
    if (what === 'log') yield* print('Events as they come; q ends.\n');
    yield { need: 'watch', what };
  };
}

function* setLength([given]: readonly string[], { settings }: Context): Dialogue {
  const rows = Number(given);
  if (!(Number.isInteger(rows) && (rows === 0 || (rows >= 5 && rows <= 200))))
    return yield* print('0 (no pages), or 5 to 200 lines\n');
  settings.rows = rows;
}

function* setWidth([given]: readonly string[], { settings }: Context): Dialogue {
  const columns = Number(given);
  if (!(Number.isInteger(columns) && columns >= 40 && columns <= 250))
    return yield* print('40 to 250 columns\n');
  settings.columns = columns;
}

function* setPassword(user: string, role: UserRole | undefined): Dialogue {
  const password = yield* newPassword(user);
  if (password === null) return yield* print('nothing is changed\n');
  const done = yield* call<Done>({ do: 'set-user', user, role, password });
  yield* print(done.ok ? `the password of ${user} is set\n` : `not done: ${done.why}\n`);
}

function* setUser([user = '', role = '']: readonly string[]): Dialogue {
  if (!/^[a-z][a-z0-9_-]{0,30}$/.test(user))
    return yield* print('a user name: small letters, digits, "_", "-", at most 31\n');
  if (role !== 'viewer' && role !== 'operator' && role !== 'admin')
    return yield* print('a role: viewer, operator or admin\n');
  yield* setPassword(user, role);
}

/** A board that is set up already is changed by "configure". */
function* firstSetup(args: readonly string[], context: Context): Dialogue {
  const { text, file } = yield* call<ConfigText>({ do: 'config' });
  if (text !== '') return yield* print(`Refused: there is a ${file} already: "configure".\n`);
  yield* setup(args, context);
}

function* help(): Dialogue {
  yield* show(`?           what may come next, at any place, without Enter
Tab         completes a word; words may be shortened: "sh st"
Up, Down    earlier lines      Ctrl-A, Ctrl-E   begin, end of the line
Ctrl-U      deletes the line   Ctrl-W, Ctrl-K   deletes a word, the rest
Ctrl-C      stops a command    Ctrl-D, "exit"   logs out
"terminal length 0" switches pages off.

First of all: show status. What is wrong: show alarms. What happened: show log.
`);
}

export const COMMANDS: readonly Command[] = [
  at(
    'viewer',
    'show status',
    'this board, the pair, and may it be switched off: one screen',
    ofStatus((status, { settings }) => `${statusLines(status, settings.columns).join('\n')}\n`),
  ),
  at('viewer', 'show alarms', 'what is wrong now', showAlarms(0)),
  at('viewer', 'show alarms history', 'and what was', showAlarms(HISTORY_LINES)),
  at('viewer', 'show log [LINES]', 'what happened, the newest last', showLog),
  at('viewer', 'show links', 'every path to the other board', ofStatus(linksScreen)),
  at('viewer', 'show guest', 'the protected machine', ofStatus(guestScreen)),
  at('viewer', 'show disks', 'disks of the guest, record of this board', ofStatus(disksScreen)),
  at(
    'viewer',
    'show redundancy',
    'which single fault the pair would survive now',
    ofStatus(redundancyScreen),
  ),
  at(
    'viewer',
    'show scada',
    'what SCADA is told, and where it hangs',
    ofStatus(({ scada }) => scadaScreen(scada)),
  ),
  at('viewer', 'show time', 'the clock of this machine, and who sets it', showTime),
  at(
    'viewer',
    'show versions',
    'firmware here, and whether the boards fit',
    ofStatus((status, { version }) => versionsScreen(status, version)),
  ),
  at('operator', 'show config', 'the file of this board, with its mistakes', showConfig),
  at('operator', 'show config history', 'the versions before it', showHistory),
  at('operator', 'show tech-support', 'all there is', techSupport(false)),
  at(
    'operator',
    'show tech-support brief',
    'what fits through a serial line in seconds',
    techSupport(true),
  ),
  at('viewer', 'monitor status', 'the status screen, live', monitor('status')),
  at('viewer', 'monitor log', 'events as they come', monitor('log')),
  at('operator', 'ack <CODE>', 'acknowledge an alarm, or "all"', ackAlarm),
  at('operator', 'request acknowledge <CODE>', 'the same as "ack"', ackAlarm),
  ...requestCommands(),
  at('operator', 'configure', 'change the file of this board', configure),
  at('admin', 'setup', 'first start: questions, and pairing with the other board', firstSetup),
  at('admin', 'confirm', 'keep the configuration that is on trial', confirmConfig(true)),
  at('admin', 'confirm no', 'take it back at once', confirmConfig(false)),
  at('admin', 'request factory-reset', 'forget configuration, pairing and users', factoryReset),
  at('admin', 'request reboot', 'start this machine anew', power('reboot')),
  at('admin', 'request power-off', 'switch this machine off', power('power-off')),
  at('operator', 'guest console', 'COM1 of the guest; Ctrl-] leaves', guestConsole),
  at('viewer', 'password', 'change your own password', (_args, { user }) =>
    setPassword(user, undefined),
  ),
  at('admin', 'user <NAME> <ROLE>', 'add or change a user: viewer, operator, admin', setUser),
  at('viewer', 'terminal length <LINES>', 'lines of a page; 0: no pages', setLength),
  at('viewer', 'terminal width <COLUMNS>', 'columns of this terminal', setWidth),
  at('viewer', 'help', 'the keys, and where to begin', help),
  // The loop of talk.ts ends itself there.
  at('viewer', 'exit', 'log out', function* () {}),
];
