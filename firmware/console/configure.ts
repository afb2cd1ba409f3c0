// `configure`: a candidate over the board's file, changed key by key, looked at, and put in force at once or
// on trial. The candidate lives in this session alone. Pure.
import { unifiedDiff } from '../board/config/diff.ts';
import { asValue, deletePath, setValue, valuesOf } from '../board/config/edit.ts';
import { masked, maskedPair } from '../board/config/mask.ts';
import { knownKeys } from '../board/config/parse.ts';
import { TRIAL_MINUTES } from '../board/config/versions.ts';
import type { Status } from '../board/status.ts';
import type { Context } from './context.ts';
import { mayDo, meaningOf, type Row, type UserRole } from './grammar.ts';
import {
  ask,
  type ConfigOpened,
  call,
  type Dialogue,
  type Done,
  Hangup,
  Interrupted,
  type OldConfig,
  print,
  readLine,
  show,
} from './needs.ts';
import { timeOf } from './status-screen.ts';

interface Draft {
  /** As it was when the editing began; null: there was no file. */
  base: string | null;
  text: string;
  readonly context: Context;
}

interface ModeRow extends Row {
  readonly run: (draft: Draft, args: readonly string[]) => Dialogue;
}

const row = (
  role: UserRole,
  words: string,
  help: string,
  run: (draft: Draft, args: readonly string[]) => Dialogue,
): ModeRow => ({ role, words, help, run });

const FIXED: readonly ModeRow[] = [
  row('operator', 'show', 'the candidate, with its mistakes', showCandidate),
  row('operator', 'show history', 'the versions before the one in force', () => showHistory()),
  row('operator', 'compare [N]', 'the candidate against the file, or old version N', compare),
  row('operator', 'check', 'every mistake of the candidate, with its line', check),
  row('operator', 'rollback <N>', 'the candidate becomes old version N', rollback),
  row('operator', 'discard', 'the candidate becomes what is in force', discard),
  row('admin', 'commit', 'put the candidate in force', (draft) => commit(draft, null)),
  row('admin', 'commit confirmed <MINUTES>', 'on trial: it goes unless confirmed', trial),
  // The loop ends itself there.
  row('operator', 'exit', 'leave this mode', function* () {}),
];

export function* configure(_args: readonly string[], context: Context): Dialogue {
  const { user, session } = context;
  const opened = yield* call<ConfigOpened>({ do: 'config-open', user });
  if (!opened.ok) return yield* print(`It cannot be edited: ${opened.why}.\n`);
  yield* print(
    opened.text === null
      ? `There is no ${opened.file} yet: this makes one.\n`
      : `Editing ${opened.file}. "?" helps, "exit" leaves.\n`,
  );
  const draft: Draft = { base: opened.text, text: opened.text ?? '', context };
  for (;;) {
    const rows = rowsFor(draft);
    session.modeRows = rows;
    try {
      const line = (yield { need: 'line', prompt: promptOf(draft), isCommand: true }) as string;
      if (line.trim() === '') continue;
      const meaning = meaningOf<ModeRow>(rows, line);
      if (!meaning.ok) yield* print(`${meaning.why}\n`);
      else if (meaning.row.words !== 'exit') yield* meaning.row.run(draft, meaning.args);
      else if (yield* mayLeave(draft)) break;
    } catch (error) {
      if (error instanceof Hangup || !(error instanceof Interrupted)) throw error;
    }
  }
  yield* call<Done>({ do: 'config-close' });
}

function promptOf({ base, text, context }: Draft): string {
  const { session } = context;
  const name = session.status?.board.name ?? session.board;
  return `${name} configure${text === (base ?? '') ? '' : '*'}# `;
}

function* mayLeave(draft: Draft): Dialogue<boolean> {
  if (draft.text === (draft.base ?? '')) return true;
  yield* print('The candidate has changes that are not in force. Leaving throws them away.\n');
  return (yield* readLine('Leave? [yes/no] ')).trim().toLowerCase() === 'yes';
}

/** A row for each key, so that ? and Tab know them. */
function rowsFor({ text, context }: Draft): ModeRow[] {
  const values = valuesOf(text);
  const keys = [...new Set([...knownKeys(), ...values.keys()])].filter((key) => !/\s/.test(key));
  const tables = new Set([...values.keys()].map((key) => key.split('.')[0]!));
  const now = (key: string) => {
    const value = values.get(key);
    return value === undefined
      ? 'not set'
      : `now ${masked(`${key} = ${value}`).slice(key.length + 3)}`;
  };
  return [
    ...FIXED.filter(({ role }) => mayDo(context.role, role)),
    ...keys.map((key) =>
      row('operator', `set ${key} <VALUE...>`, now(key), (draft, args) => set(draft, key, args)),
    ),
    ...[...values.keys(), ...tables]
      .filter((key) => !/\s/.test(key))
      .map((key) => row('operator', `delete ${key}`, now(key), (draft) => remove(draft, key))),
  ];
}

function* set(draft: Draft, key: string, [given = '']: readonly string[]): Dialogue {
  const value = asValue(given);
  if (value === null)
    return yield* print('That is no value: a number, "text", or ["a", "list"] of such.\n');
  const edited = setValue(draft.text, key, value);
  if (edited.ok) draft.text = edited.text;
  else yield* print(`Not done: ${edited.why}.\n`);
}

function* remove(draft: Draft, key: string): Dialogue {
  const edited = deletePath(draft.text, key);
  if (edited.ok) draft.text = edited.text;
  else yield* print(`Not done: ${edited.why}.\n`);
}

function* showCandidate(draft: Draft): Dialogue {
  const problems = yield* problemsOf(draft);
  yield* show(`${masked(draft.text).trimEnd()}\n\n${problemWords(problems)}`);
}

function* check(draft: Draft): Dialogue {
  yield* show(problemWords(yield* problemsOf(draft)));
}

function* problemsOf({ text }: Draft): Dialogue<readonly string[]> {
  return yield* call<readonly string[]>({ do: 'config-check', text });
}

function problemWords(problems: readonly string[]): string {
  return problems.length === 0
    ? 'The candidate holds.\n'
    : `THE CANDIDATE IS WRONG (${problems.length}):\n${problems.join('\n')}\n`;
}

function* compare(draft: Draft, [given]: readonly string[]): Dialogue {
  const old = given === undefined ? null : yield* oldVersion(given);
  if (given !== undefined && old === null) return;
  const [before, after] = maskedPair(old?.text ?? draft.base ?? '', draft.text);
  const lines = unifiedDiff(before, after);
  if (lines.length === 0) return yield* print('No difference.\n');
  yield* show(
    `--- ${given === undefined ? 'in force' : `version ${given}`}\n+++ candidate\n${lines.join('\n')}\n`,
  );
}

function* oldVersion(given: string): Dialogue<OldConfig | null> {
  const old = yield* call<readonly OldConfig[]>({ do: 'config-history' });
  const found = /^\d{1,3}$/.test(given) ? old[Number(given) - 1] : undefined;
  if (found !== undefined) return found;
  const words = old.length === 0 ? 'there are none yet' : `1 to ${old.length}`;
  yield* print(`Which old version? ${words} ("show history").\n`);
  return null;
}

export function* showHistory(): Dialogue {
  const old = yield* call<readonly OldConfig[]>({ do: 'config-history' });
  if (old.length === 0) return yield* print('There are no versions before this one.\n');
  const lines = old.map(({ replacedMs, by }, n) => {
    const who = by === '0-returned' ? 'went by itself, not confirmed' : `replaced by ${by}`;
    return `${String(n + 1).padStart(3)}  in force until ${timeOf(replacedMs)}, ${who}`;
  });
  yield* show(`${lines.join('\n')}\n"rollback N" in "configure" takes one of them.\n`);
}

function* rollback(draft: Draft, [given = '']: readonly string[]): Dialogue {
  const old = yield* oldVersion(given);
  if (old === null) return;
  draft.text = old.text;
  yield* print(`The candidate is version ${given} now: "compare", then "commit".\n`);
}

function* discard(draft: Draft): Dialogue {
  const { user } = draft.context;
  const opened = yield* call<ConfigOpened>({ do: 'config-open', user });
  if (!opened.ok) return yield* print(`Not done: ${opened.why}.\n`);
  draft.base = opened.text;
  draft.text = opened.text ?? '';
  yield* print('The candidate is what is in force.\n');
}

function* trial(draft: Draft, [given = '']: readonly string[]): Dialogue {
  const { min, max } = TRIAL_MINUTES;
  const minutes = Number(given);
  if (!/^\d+$/.test(given) || minutes < min || minutes > max)
    return yield* print(`For how many minutes? ${min} to ${max}.\n`);
  if (draft.base === null)
    return yield* print('There is nothing to return to: the first configuration is for good.\n');
  yield* commit(draft, minutes);
}

function* commit(draft: Draft, minutes: number | null): Dialogue {
  const { text, base, context } = draft;
  if (text === (base ?? '')) return yield* print('Nothing has changed.\n');
  const problems = yield* problemsOf(draft);
  if (problems.length > 0)
    return yield* show(`${problemWords(problems)}Nothing is changed: it is wrong.\n`);
  if (base !== null && !(yield* isMeant(base, text))) return yield* print('Nothing is changed.\n');
  const { user } = context;
  const done = yield* call<Done>({
    ...{ do: 'config-commit', text, base, user, minutes },
  });
  if (!done.ok) return yield* print(`Nothing is changed: ${done.why}.\n`);
  draft.base = text;
  const kept =
    minutes === null
      ? 'In force.'
      : `On trial. Enter "confirm" within ${minutes} min, or the version before comes back by itself.`;
  yield* print(`${kept} ${effectWords(context.session.status)}\n`);
}

/** What makes a board another one for its peer: allowed, but not by a slip. */
const IDENTITY: Readonly<Record<string, string>> = {
  'board.state-dir':
    'The state folder holds the record of past reigns: in another one this board is new, and waits for an operator.',
  'board.side': 'Two boards of one side do not hear each other: the other one must change as well.',
  'board.pairing-key-file': 'With another key the boards do not hear each other.',
};

function* isMeant(base: string, text: string): Dialogue<boolean> {
  const [before, after] = [valuesOf(base), valuesOf(text)];
  const changed = Object.keys(IDENTITY).filter((key) => before.get(key) !== after.get(key));
  if (changed.length === 0) return true;
  for (const key of changed) yield* print(`${key}: ${IDENTITY[key]}\n`);
  return (yield* readLine('Is that meant? [yes/no] ')).trim().toLowerCase() === 'yes';
}

/** A running board has its configuration in memory: what makes it take another one. */
export function effectWords(status: Status | null): string {
  const head = 'This board takes it at its next start.';
  if (status === null) return `${head} None runs now.`;
  if (status.role === 'protected')
    return `${head} The guest goes on if you "request switch-over" first, then "request restart" here.`;
  return status.safeToRemove.ok || status.guest.state === 'none'
    ? `${head} "request restart" does that now; the guest goes on.`
    : `${head} Not now: ${status.safeToRemove.why}.`;
}

export function confirmConfig(keep: boolean): () => Dialogue {
  return function* () {
    const done = yield* call<Done>({ do: 'config-confirm', keep });
    if (!done.ok) return yield* print(`Not done: ${done.why}.\n`);
    if (keep) return yield* print('It stays.\n');
    yield* print(
      'The version before is in force again. A board that runs with the other one starts anew as soon as that does not stop the guest.\n',
    );
  };
}

/** Never on a board that serves; what tells old reigns from new ones stays. */
export function* factoryReset(_args: readonly string[], { session }: Context): Dialogue {
  const answer = yield* ask({ do: 'status' });
  const status = answer.ok ? (answer.status ?? null) : null;
  if (!answer.ok && answer.isAbsent !== true) return yield* print(`Refused: ${answer.why}.\n`);
  if (status !== null && !status.safeToRemove.ok)
    return yield* print(`Refused: ${status.safeToRemove.why}.\n`);
  const name = status?.board.name ?? session.board;
  yield* print(
    `Configuration, its old versions, pairing key and users of ${name} go for good. The guest's disks and the record of past reigns stay.\n`,
  );
  const given = (yield* readLine(`Type the name of the board (${name}) to go on: `)).trim();
  if (given !== name) return yield* print('Nothing is done.\n');
  const done = yield* call<Done>({ do: 'factory-reset' });
  if (!done.ok) return yield* print(`Not done to its end: ${done.why}. Enter it again.\n`);
  if (status !== null) {
    const stopped = yield* ask({ do: 'stop' });
    if (!stopped.ok) yield* print(`The board runs on from memory: ${stopped.why}.\n`);
  }
  yield* print('This board is bare. Log out: the next session sets it up.\n');
}
