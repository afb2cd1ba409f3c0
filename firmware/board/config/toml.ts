// A TOML file as values and the line of each key. The library parses; lines it does not tell, so a
// small scan of our own (toml-scan.ts) finds them. A syntax error costs its line only, so that all are found at once.
import { parse, TomlError } from 'smol-toml';
import { statementsOf } from './toml-scan.ts';

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

/** Where each table and key begins. */
function scanLines(text: string): Map<string, number> {
  const places = new Map<string, number>();
  for (const { kind, path, line } of statementsOf(text))
    if (kind !== 'other' && !places.has(path)) places.set(path, line);
  return places;
}
