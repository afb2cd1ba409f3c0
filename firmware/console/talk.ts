// One session: who is there, then a prompt, a command, a prompt. The prompt says which board this is, what
// it does and how the pair is, each time anew. Pure.
import { roleWord } from '../board/role-words.ts';
import { commandsFor } from './commands.ts';
import { type Command, type Context, newPassword, type Session } from './context.ts';
import { meaningOf, type Row, type UserRole } from './grammar.ts';
import {
  type Begun,
  call,
  type Dialogue,
  type Done,
  Hangup,
  Interrupted,
  type LoginAnswer,
  print,
  readLine,
  readSecret,
} from './needs.ts';
import { setup } from './setup.ts';

/** What may be typed now. */
export function rowsOf({ modeRows, role }: Session): readonly Row[] {
  return modeRows ?? (role === null ? [] : commandsFor(role));
}

const TRIES = 3;

export function* talk(session: Session): Dialogue {
  const begun = yield* call<Begun>({ do: 'begin' });
  session.board = begun.board;
  yield* print(`\nTwinstep ${begun.version}  ${begun.board}  ${begun.line}\n`);
  const user = begun.hasUsers ? yield* login() : yield* firstUser();
  if (user === null) return;
  session.role = user.role;
  const context: Context = {
    ...user,
    version: begun.version,
    settings: session.settings,
    session,
  };
  yield* print('? shows what may be typed, "show status" how things are.\n');
  if (begun.isBare && user.role === 'admin') yield* firstStart(context);
  yield* commandLoop(session, context);
}

function* firstStart(context: Context): Dialogue {
  yield* print('This board is bare: it has no configuration and no partner.\n');
  try {
    const given = yield* readLine('Set it up now, together with the other one? [yes/no] ');
    if (given.trim().toLowerCase() === 'yes') yield* setup([], context);
    else yield* print('"setup" does it later.\n');
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    yield* print('Nothing is written. "setup" begins anew.\n');
  }
}

interface User {
  readonly user: string;
  readonly role: UserRole;
}

function* login(): Dialogue<User | null> {
  for (let tries = 0; tries < TRIES; ) {
    try {
      const user = (yield* readLine('login: ')).trim();
      if (user === '') continue;
      tries += 1;
      const password = yield* readSecret('Password: ');
      const answer = yield* call<LoginAnswer>({ do: 'login', user, password });
      if (answer.ok) return { user, role: answer.role };
      yield* print(`${answer.why}\n`);
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
    }
  }
  return null;
}

/** Nobody can log in yet: whoever stands at a new board makes the first user. */
function* firstUser(): Dialogue<User | null> {
  yield* print('This board has no users yet. Set the password of "admin".\n');
  const user = 'admin';
  let password: string | null = null;
  while (password === null) password = yield* newPassword(user);
  const done = yield* call<Done>({ do: 'set-user', user, role: 'admin', password });
  if (done.ok) return { user, role: 'admin' };
  yield* print(`not done: ${done.why}\n`);
  return null;
}

function* commandLoop(session: Session, context: Context): Dialogue {
  const rows = commandsFor(context.role);
  for (;;) {
    try {
      const prompt = promptOf(session);
      const line = (yield { need: 'line', prompt, isCommand: true }) as string;
      if (line.trim() === '') continue;
      const meaning = meaningOf<Command>(rows, line);
      if (!meaning.ok) {
        yield* print(`${meaning.why}\n`);
        continue;
      }
      if (meaning.row.words === 'exit') return;
      yield* meaning.row.run(meaning.args, context);
    } catch (error) {
      if (error instanceof Hangup || !(error instanceof Interrupted)) throw error;
    } finally {
      session.modeRows = null;
    }
  }
}

export function promptOf({ status, board, role }: Session): string {
  const mark = role === 'viewer' ? '>' : '#';
  if (status === null) return `${board} NO-BOARD${mark} `;
  const trial = status.config?.trial ?? null;
  const left = trial === null ? '' : ` TRIAL ${Math.ceil(trial.leftMs / 60_000)}min`;
  return `${status.board.name} ${roleWord(status.role)} ${status.pairState}${left}${mark} `;
}
