// What every dialogue of a session may lean on: who is there and what the board said last, the board's status
// or why there is none, and a new password. Pure.
import type { Status } from '../board/status.ts';
import type { Row, UserRole } from './grammar.ts';
import { ask, type BoardAnswer, call, type Dialogue, print, readSecret, show } from './needs.ts';
import type { Settings } from './terminal.ts';

/** What the session and its surroundings share. */
export interface Session {
  /** Null until somebody has logged in. */
  role: UserRole | null;
  /** Of the board, as it was told last; null: none answers. */
  status: Status | null;
  board: string;
  /** Of the mode, where it has commands of its own; null: those of the role. */
  modeRows: readonly Row[] | null;
  readonly settings: Settings;
}

/** What a command is run with. */
export interface Context {
  readonly user: string;
  readonly role: UserRole;
  readonly version: string;
  readonly settings: Settings;
  readonly session: Session;
}

export interface Command extends Row {
  readonly run: (args: readonly string[], context: Context) => Dialogue;
}

export const PASSWORD_MIN = 8;

/** What the board says of itself; without a board, what can be found out without it. */
export function* statusOr(): Dialogue<Status | null> {
  const answer = yield* ask({ do: 'status' });
  if (answer.ok && answer.status !== undefined) return answer.status;
  yield* tellNoBoard(answer);
  return null;
}

export function* tellNoBoard(answer: BoardAnswer): Dialogue {
  if (answer.ok || answer.isAbsent !== true) {
    yield* print(`The board refuses: ${answer.ok ? 'it gave no answer' : answer.why}\n`);
    return;
  }
  const lines = yield* call<readonly string[]>({ do: 'diagnose' });
  yield* show(`THE BOARD DOES NOT ANSWER: ${answer.why}\n${lines.join('\n')}\n`);
}

/** Asked for twice, again until it will do; null, by an empty one: never mind. */
export function* newPassword(user: string): Dialogue<string | null> {
  for (;;) {
    const first = yield* readSecret(`New password for ${user}: `);
    if (first === '') return null;
    if (first.length < PASSWORD_MIN) yield* print(`at least ${PASSWORD_MIN} letters\n`);
    else if ((yield* readSecret('Once more: ')) === first) return first;
    else yield* print('the two differ\n');
  }
}
