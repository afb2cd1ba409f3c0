// Changes one value of a board's TOML file and nothing else: comments, order and blanks stay. What comes
// out is read again and must mean exactly what was wanted; a file written in a way this cannot change is
// refused, never spoilt. Pure.
import { isDeepStrictEqual } from 'node:util';
import { parse, TomlError } from 'smol-toml';
import { type Statement, statementsOf } from './toml-scan.ts';

export type Edited =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly why: string };

type Tables = Record<string, unknown>;

const PATH = /^[\w-]{1,64}(\.[\w-]{1,64})?$/;
const LENGTH_MAX = 256 << 10;

/** `given` as TOML where it is a value of TOML, else as text. Null: it cannot be written down. */
export function asValue(given: string): string | null {
  const text = given.trim();
  if (text === '' || /[^\x20-\x7e]/.test(text)) return null;
  const asToml = parsed(`v = ${text}`);
  // Dates and inline tables are no values of this file; words like them are text.
  if (asToml !== null && isPlain(asToml.v) && Object.keys(asToml).length === 1) return text;
  if (/^["'[{]/.test(text)) return null;
  return JSON.stringify(text);
}

export function setValue(text: string, path: string, value: string): Edited {
  if (!PATH.test(path) || !path.includes('.')) return no(`"${path}" is no key: TABLE.KEY`);
  const before = parsed(text);
  if (before === null) return no('the text is no TOML: "check" says where');
  const wanted = parsed(`v = ${value}`)?.v;
  if (wanted === undefined) return no(`${value} is no value`);
  const [table = '', key = ''] = path.split('.');
  const old = before[table];
  if (old !== undefined && !isTable(old)) return no(`"${table}" is no table`);
  const goal = { ...before, [table]: { ...(old as Tables | undefined), [key]: wanted } };
  return proven(withValue(text, table, path, value), goal);
}

/** A key, or a whole table. */
export function deletePath(text: string, path: string): Edited {
  const before = parsed(text);
  if (before === null) return no('the text is no TOML: "check" says where');
  const [table = '', key] = path.split('.');
  const old = before[table];
  const isThere = key === undefined ? old !== undefined : isTable(old) && Object.hasOwn(old, key);
  if (!isThere) return no(`there is no ${path}`);
  const goal: Tables = { ...before };
  if (key === undefined) delete goal[table];
  else {
    const { [key]: _, ...rest } = old as Tables;
    goal[table] = rest;
  }
  return proven(key === undefined ? withoutTable(text, table) : withoutKey(text, path), goal);
}

/** Every `table.key` that is written down, in the order of the file, with its value as it stands there. */
export function valuesOf(text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const { kind, path, valueFrom, valueTo } of statementsOf(text))
    if (kind === 'key') values.set(path, text.slice(valueFrom, valueTo));
  return values;
}

function withValue(text: string, table: string, path: string, value: string): string {
  const statements = statementsOf(text);
  const there = statements.find((found) => found.kind === 'key' && found.path === path);
  if (there !== undefined)
    return text.slice(0, there.valueFrom) + value + text.slice(there.valueTo);
  const line = `${path.slice(table.length + 1)} = ${value}\n`;
  const section = sectionOf(statements, table);
  const ended = text === '' || text.endsWith('\n') ? text : `${text}\n`;
  if (section.length === 0) return `${ended}${ended === '' ? '' : '\n'}[${table}]\n${line}`;
  // Beside the comment that shows its default, if there is one.
  const hint = section.find(({ kind, from, to }) => {
    const words = text.slice(from, to).trimStart();
    return kind === 'other' && new RegExp(`^#\\s*${path.slice(table.length + 1)}\\s*=`).test(words);
  });
  const last = section.findLast(({ kind }) => kind !== 'other');
  const { to } = hint ?? last ?? section[0]!;
  const head = text.slice(0, to);
  return `${head}${head.endsWith('\n') ? '' : '\n'}${line}${text.slice(to)}`;
}

/** From the header of a table up to the next one. */
function sectionOf(statements: readonly Statement[], table: string): readonly Statement[] {
  const first = statements.findIndex(({ kind, path }) => kind === 'table' && path === table);
  if (first < 0) return [];
  const next = statements.findIndex(({ kind }, n) => n > first && kind === 'table');
  return statements.slice(first, next < 0 ? undefined : next);
}

function withoutKey(text: string, path: string): string {
  const there = statementsOf(text).find(({ kind, path: own }) => kind === 'key' && own === path);
  return there === undefined ? text : text.slice(0, there.from) + text.slice(there.to);
}

/** Comments behind its last key belong to what comes next. */
function withoutTable(text: string, table: string): string {
  const section = sectionOf(statementsOf(text), table);
  const last = section.findLast(({ kind }) => kind !== 'other');
  return last === undefined ? text : text.slice(0, section[0]!.from) + text.slice(last.to);
}

function proven(text: string, goal: Tables): Edited {
  if (text.length > LENGTH_MAX) return no('the file would be too long');
  if (!isDeepStrictEqual(parsed(text), plainly(goal)))
    return no('this file is written in a way that is only changed by hand');
  return { ok: true, text };
}

function parsed(text: string): Tables | null {
  try {
    return plainly(parse(text));
  } catch (error) {
    if (error instanceof TomlError) return null;
    throw error;
  }
}

/** The library makes objects without a prototype of their own; equal is what says the same. */
function plainly(value: Tables): Tables {
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, isTable(item) ? plainly(item) : item]),
  );
}

function isTable(value: unknown): value is Tables {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
  );
}

function isPlain(value: unknown): boolean {
  if (Array.isArray(value)) return value.every(isPlain);
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}

function no(why: string): { readonly ok: false; readonly why: string } {
  return { ok: false, why };
}
