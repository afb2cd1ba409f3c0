// A TOML file as statements, each with where it begins and ends: for the line of a mistake, and to change
// one value without touching anything else. Values are skipped, whatever they are. Pure.

export interface Statement {
  readonly kind: 'table' | 'key' | 'other';
  /** `table` or `table.key`; empty for what is neither. */
  readonly path: string;
  /** 1 is the first. */
  readonly line: number;
  /** Offsets of the whole lines, with their ends. */
  readonly from: number;
  readonly to: number;
  /** Of a key: its value, without the blanks around it and the comment behind it. */
  readonly valueFrom: number;
  readonly valueTo: number;
}

const KEY = /^((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=[ \t]*/;
const HEADER = /^\[\[?([^\]]+)\]/;

export function statementsOf(text: string): Statement[] {
  const statements: Statement[] = [];
  let table = '';
  let line = 1;
  for (let at = 0; at < text.length; ) {
    const to = endOfStatement(text, at);
    const whole = text.slice(at, to);
    const lead = whole.length - whole.trimStart().length;
    const rest = whole.slice(lead);
    const header = HEADER.exec(rest);
    const key = KEY.exec(rest);
    const place = { line, from: at, to };
    if (header !== null) {
      table = bare(header[1]!);
      statements.push({ kind: 'table', path: table, ...place, valueFrom: to, valueTo: to });
    } else if (key !== null) {
      const path = table === '' ? bare(key[1]!) : `${table}.${bare(key[1]!)}`;
      const valueFrom = at + lead + key[0].length;
      statements.push({
        ...{ kind: 'key', path, valueFrom, valueTo: endOfValue(text, valueFrom, to) },
        ...place,
      });
    } else statements.push({ kind: 'other', path: '', ...place, valueFrom: to, valueTo: to });
    line += count(whole);
    at = to;
  }
  return statements;
}

function bare(name: string): string {
  return name
    .split('.')
    .map((part) => part.trim().replace(/^(["'])(.*)\1$/, '$2'))
    .join('.');
}

function count(text: string): number {
  return text.split('\n').length - 1;
}

/** Calls for each letter that is inside no string; answers where `stop` says so, or `to`. */
function scan(
  text: string,
  from: number,
  to: number,
  stop: (letter: string, at: number) => boolean,
): number {
  for (let at = from; at < to; at++) {
    const quote = /^("""|'''|"|')/.exec(text.slice(at, at + 3))?.[0];
    if (quote !== undefined) at = endOfString(text, at + quote.length, quote) - 1;
    else if (stop(text[at]!, at)) return at;
    else if (text[at] === '#') at = indexOrEnd(text, '\n', at) - 1;
  }
  return to;
}

/** Behind the line end that closes the statement at `from`: not inside a string or a list. */
function endOfStatement(text: string, from: number): number {
  let depth = 0;
  const end = scan(text, from, text.length, (letter) => {
    if (letter === '[' || letter === '{') depth += 1;
    else if (letter === ']' || letter === '}') depth -= 1;
    return letter === '\n' && depth <= 0;
  });
  return Math.min(text.length, end + 1);
}

function endOfValue(text: string, from: number, to: number): number {
  let depth = 0;
  const end = scan(text, from, to, (letter) => {
    if (letter === '[' || letter === '{') depth += 1;
    else if (letter === ']' || letter === '}') depth -= 1;
    return letter === '#' && depth <= 0;
  });
  return from + text.slice(from, end).trimEnd().length;
}

function endOfString(text: string, from: number, quote: string): number {
  for (let at = from; at < text.length; at++) {
    if (text[at] === '\\' && quote[0] === '"') at += 1;
    else if (text.startsWith(quote, at)) return at + quote.length;
    else if (text[at] === '\n' && quote.length === 1) return at;
  }
  return text.length;
}

function indexOrEnd(text: string, what: string, from: number): number {
  const at = text.indexOf(what, from);
  return at < 0 ? text.length : at;
}
