// A TOML file as values and the line of each key. The library parses; lines it does not tell, so a
// small scan of our own finds them. A syntax error costs its line only, so that all are found at once.
import { parse, TomlError } from 'smol-toml';

export interface Problem {
  /** 1 is the first; 0: no line to point at. */
  readonly line: number;
  readonly text: string;
}

export interface TomlDocument {
  readonly values: Readonly<Record<string, unknown>>;
  /** Of `table` or `table.key`; the table's own line for a key that is not written down. */
  lineOf(path: string): number;
  readonly syntax: readonly Problem[];
}

const SYNTAX_ERRORS_MAX = 20;

export function readToml(text: string): TomlDocument {
  const lines = text.split('\n');
  const syntax: Problem[] = [];
  let values: Record<string, unknown> = {};
  for (;;) {
    try {
      values = parse(lines.join('\n'));
      break;
    } catch (error) {
      if (!(error instanceof TomlError)) throw error;
      syntax.push({ line: error.line, text: inWords(error) });
      const at = blameable(lines, error.line);
      if (at === null || syntax.length >= SYNTAX_ERRORS_MAX) break;
      lines[at] = '';
    }
  }
  const places = scanLines(lines.join('\n'));
  const lineOf = (path: string): number => {
    const dot = path.lastIndexOf('.');
    return places.get(path) ?? (dot < 0 ? 0 : lineOf(path.slice(0, dot)));
  };
  return { values, lineOf, syntax };
}

/** The library blames the place where it noticed: at the end of a file that is the line before. */
function blameable(lines: readonly string[], line: number): number | null {
  for (let at = Math.min(line, lines.length) - 1; at >= 0; at--) {
    if (lines[at]!.trim() !== '') return at;
  }
  return null;
}

function inWords(error: TomlError): string {
  const [first = error.message] = error.message.split('\n');
  return `not TOML: ${first.replace(/^Invalid TOML document: /, '')}`;
}

/** Where each table and key begins. Values are skipped, whatever they are. */
function scanLines(text: string): Map<string, number> {
  const places = new Map<string, number>();
  let table = '';
  let line = 1;
  let at = 0;
  while (at < text.length) {
    const end = endOfStatement(text, at);
    const statement = text.slice(at, end);
    const lead = /^\s*/.exec(statement)?.[0] ?? '';
    const found = line + count(lead);
    const header = /^\[\[?([^\]]+)\]/.exec(statement.trimStart());
    const key = /^((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=/.exec(
      statement.trimStart(),
    );
    if (header !== null) {
      table = bare(header[1]!);
      if (!places.has(table)) places.set(table, found);
    } else if (key !== null) {
      const path = table === '' ? bare(key[1]!) : `${table}.${bare(key[1]!)}`;
      if (!places.has(path)) places.set(path, found);
    }
    line += count(statement);
    at = end;
  }
  return places;
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

/** Behind the line end that closes the statement at `from`: not inside a string or a list. */
function endOfStatement(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const quote = /^("""|'''|"|')/.exec(text.slice(at, at + 3))?.[0];
    if (quote !== undefined) at = endOfString(text, at + quote.length, quote) - 1;
    else if (text[at] === '#') at = indexOrEnd(text, '\n', at) - 1;
    else if (text[at] === '[' || text[at] === '{') depth += 1;
    else if (text[at] === ']' || text[at] === '}') depth -= 1;
    else if (text[at] === '\n' && depth <= 0) return at + 1;
  }
  return text.length;
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
