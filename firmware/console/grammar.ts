// Commands as rows of words: which one a line means, what may come next, and what to say when it means
// none. Words may be shortened as long as they are unique. Pure.
import { didYouMean } from '../words/near.ts';

export const ROLES = ['viewer', 'operator', 'admin'] as const;
export type UserRole = (typeof ROLES)[number];

export function mayDo(role: UserRole, needed: UserRole): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}

/**
 * A word as it is, or `<NAME>` that anything fits, or `[NAME]` that may also be left out, or at the end
 * `<NAME...>`: the rest of the line, with its blanks.
 */
export interface Row {
  readonly words: string;
  readonly help: string;
  readonly role: UserRole;
}

export interface NextWord {
  readonly word: string;
  readonly help: string;
}

export type Meaning<R extends Row> =
  | { readonly ok: true; readonly row: R; readonly args: readonly string[] }
  | { readonly ok: false; readonly why: string };

interface Candidate<R extends Row> {
  readonly row: R;
  readonly tokens: readonly string[];
}

interface Walk<R extends Row> {
  readonly found: readonly Candidate<R>[];
  readonly why: string | null;
}

export function meaningOf<R extends Row>(rows: readonly R[], line: string): Meaning<R> {
  const words = wordsOf(line);
  const { found, why } = walk(rows, words);
  if (why !== null) return { ok: false, why };
  const open = found.find(({ tokens }) => isOpen(tokens) && words.length >= tokens.length);
  if (open !== undefined) return { ok: true, row: open.row, args: [restOf(line, open.tokens)] };
  const whole = found.find(
    ({ tokens }) =>
      tokens.length === words.length ||
      (tokens.length === words.length + 1 && tokens.at(-1)!.startsWith('[')),
  );
  if (whole === undefined) {
    const next = nextWords(rows, `${line} `).map(({ word }) => word);
    return { ok: false, why: `say more: ${next.join(', ')}` };
  }
  const args = words.filter((_, n) => !isLiteral(whole.tokens[n]!));
  return { ok: true, row: whole.row, args };
}

/** What the last, perhaps unfinished word of `before` may become. */
export function nextWords<R extends Row>(
  rows: readonly R[],
  before: string,
  groups: Readonly<Record<string, string>> = {},
): NextWord[] {
  const words = wordsOf(before);
  const last = /\s$/.test(before) || before === '' ? '' : (words.pop() ?? '');
  const { found, why } = walk(rows, words);
  if (why !== null) return [];
  const next = new Map<string, string>();
  for (const { row, tokens } of found) {
    const token =
      isOpen(tokens) && words.length >= tokens.length ? '<Enter>' : tokens[words.length];
    if (token === '<Enter>') next.set(token, row.help);
    else if (token === undefined) next.set('<Enter>', row.help);
    else if (!isLiteral(token)) {
      next.set(token.replace('[', '<').replace(']', '>'), row.help);
      if (token.startsWith('[')) next.set('<Enter>', row.help);
    } else if (token.startsWith(last)) {
      const isLast = tokens.length === words.length + 1;
      const group = groups[tokens.slice(0, words.length + 1).join(' ')];
      next.set(token, group ?? (isLast ? row.help : (next.get(token) ?? row.help)));
    }
  }
  if (last !== '') next.delete('<Enter>');
  return [...next]
    .map(([word, help]) => ({ word, help }))
    .sort((one, other) => (one.word < other.word ? -1 : 1));
}

/** What Tab adds, and what is left to choose from. */
export function complete<R extends Row>(
  rows: readonly R[],
  before: string,
): { readonly add: string; readonly choices: readonly string[] } {
  const last = /\s$/.test(before) ? '' : (wordsOf(before).pop() ?? '');
  const words = nextWords(rows, before)
    .map(({ word }) => word)
    .filter((word) => !word.startsWith('<'));
  if (words.length === 1) return { add: `${words[0]!.slice(last.length)} `, choices: [] };
  let common = words[0] ?? '';
  for (const word of words) while (!word.startsWith(common)) common = common.slice(0, -1);
  return { add: common.slice(last.length), choices: words };
}

function walk<R extends Row>(rows: readonly R[], words: readonly string[]): Walk<R> {
  let found: readonly Candidate<R>[] = rows.map((row) => ({ row, tokens: row.words.split(' ') }));
  for (const [n, word] of words.entries()) {
    const literals = new Set(
      found.flatMap(({ tokens }) => (isLiteral(tokens[n]) ? [tokens[n]!] : [])),
    );
    const fits = literals.has(word) ? [word] : [...literals].filter((it) => it.startsWith(word));
    const [only] = fits;
    if (fits.length > 1) return { found: [], why: `"${word}" may be ${fits.join(', ')}` };
    const kept = found.filter(({ tokens }) =>
      isOpen(tokens) && n >= tokens.length
        ? true
        : only === undefined
          ? tokens[n] !== undefined && !isLiteral(tokens[n])
          : tokens[n] === only,
    );
    if (kept.length === 0) {
      const meant = didYouMean(word, [...literals]);
      return { found: [], why: `"${word}" makes no sense here${meant || '; ? helps'}` };
    }
    found = kept;
  }
  return { found, why: null };
}

function isOpen(tokens: readonly string[]): boolean {
  return tokens.at(-1)!.endsWith('...>');
}

/** What the last token stands for: all but the words before it. */
function restOf(line: string, tokens: readonly string[]): string {
  return line.trim().replace(new RegExp(`^(\\S+\\s+){${tokens.length - 1}}`), '');
}

function isLiteral(token: string | undefined): boolean {
  return token !== undefined && !/^[<[]/.test(token);
}

function wordsOf(line: string): string[] {
  return line.trim().split(/\s+/).filter(Boolean);
}
