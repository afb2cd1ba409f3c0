// Takes the keys of a table one by one, each with its rule; what is wrong is noted and a harmless
// value handed on, so that one run finds every mistake. A key nobody asked for is unknown.
import { isIPv4 } from 'node:net';
import { isAbsolute, join } from 'node:path';
import { nearest } from '../../words/near.ts';
import type { Problem, TomlDocument } from './toml.ts';

export class ConfigReader {
  readonly problems: Problem[];
  readonly document: TomlDocument;
  /** Relative paths in the file start here. */
  readonly folder: string;
  readonly asked = new Map<string, Set<string>>();

  constructor(document: TomlDocument, folder: string) {
    this.document = document;
    this.folder = folder;
    this.problems = [...document.syntax];
  }

  table(name: string): TableReader {
    this.asked.set(name, new Set());
    const value = this.document.values[name];
    if (value !== undefined && !isTable(value))
      this.problem(name, `"${name}" must be a table: [${name}]`);
    return new TableReader(this, name, isTable(value) ? value : {});
  }

  problem(path: string, text: string): void {
    this.problems.push({ line: this.document.lineOf(path), text });
  }

  /** After the last key is read. Answers all problems in the order of the file. */
  finish(): Problem[] {
    for (const [table, value] of Object.entries(this.document.values)) {
      const keys = this.asked.get(table);
      if (keys === undefined) this.problem(table, this.unknownTable(table));
      else if (isTable(value)) this.unknownKeys(table, Object.keys(value), keys);
    }
    // A line that could not be read may well have held what is missing.
    const unread = this.document.syntax.length > 0;
    const told = unread
      ? this.problems.filter(({ text }) => !text.endsWith(MISSING))
      : this.problems;
    return told.sort((one, other) => one.line - other.line);
  }

  private unknownTable(name: string): string {
    for (const [table, keys] of this.asked) {
      if (keys.has(name)) return `unknown table "${name}"; "${name}" is a key of [${table}]`;
    }
    return `unknown table "${name}"; ${suggest(name, [...this.asked.keys()])}`;
  }

  private unknownKeys(table: string, found: readonly string[], keys: ReadonlySet<string>): void {
    for (const key of found.filter((name) => !keys.has(name))) {
      const elsewhere = [...this.asked].find(([, others]) => others.has(key))?.[0];
      const hint = elsewhere === undefined ? this.near(key, keys) : `it belongs to [${elsewhere}]`;
      this.problem(`${table}.${key}`, `unknown key "${key}" in [${table}]; ${hint}`);
    }
  }

  private near(key: string, keys: ReadonlySet<string>): string {
    if (nearest(key, [...keys]) === undefined)
      for (const [table, others] of this.asked) {
        const word = nearest(key, [...others]);
        if (word !== undefined) return `did you mean "${word}" of [${table}]?`;
      }
    return suggest(key, [...keys]);
  }
}

const MISSING = 'is missing';

export class TableReader {
  private readonly reader: ConfigReader;
  private readonly name: string;
  private readonly values: Readonly<Record<string, unknown>>;

  constructor(reader: ConfigReader, name: string, values: Readonly<Record<string, unknown>>) {
    this.reader = reader;
    this.name = name;
    this.values = values;
  }

  /** Undefined: not written down. */
  raw(key: string): unknown {
    this.reader.asked.get(this.name)!.add(key);
    return this.values[key];
  }

  problem(key: string, text: string): void {
    this.reader.problem(`${this.name}.${key}`, `[${this.name}] ${key} ${text}`);
  }

  optionalText(key: string): string | undefined {
    const value = this.raw(key);
    if (value === undefined) return undefined;
    if (typeof value === 'string' && value !== '') return value;
    this.problem(key, value === '' ? 'is empty' : 'must be text in quotes');
    return undefined;
  }

  text(key: string, usual?: string): string {
    const value = this.optionalText(key);
    if (value !== undefined) return value;
    if (usual === undefined && this.raw(key) === undefined) this.problem(key, MISSING);
    return usual ?? '';
  }

  /** Text of a certain form; `form` says in words which. */
  matching(key: string, pattern: RegExp, form: string): string {
    const value = this.text(key);
    if (value !== '' && !pattern.test(value)) this.problem(key, `"${value}" must be ${form}`);
    return value;
  }

  path(key: string, usual?: string): string {
    return this.absolute(this.text(key, usual));
  }

  optionalPath(key: string): string | undefined {
    const value = this.optionalText(key);
    return value === undefined ? undefined : this.absolute(value);
  }

  absolute(path: string): string {
    return path === '' || isAbsolute(path) ? path : join(this.reader.folder, path);
  }

  address(key: string): string {
    const value = this.text(key);
    if (value !== '' && !isIPv4(value))
      this.problem(key, `"${value}" must be an IPv4 address, as 192.168.10.2`);
    return value;
  }

  choice<T extends string>(key: string, choices: readonly T[], usual?: T): T {
    const value = this.text(key, usual);
    const found = choices.find((choice) => choice === value);
    if (found === undefined && value !== '')
      this.problem(key, `"${value}" must be ${orList(choices)}`);
    return found ?? usual ?? choices[0]!;
  }

  whole(key: string, range: { min: number; max: number }, usual: number): number {
    const value = this.raw(key);
    if (value === undefined) return usual;
    const { min, max } = range;
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max)
      return value;
    this.problem(key, `must be a whole number, ${min} to ${max}`);
    return usual;
  }

  flag(key: string, usual: boolean): boolean {
    const value = this.raw(key);
    if (value === undefined || typeof value === 'boolean') return value ?? usual;
    this.problem(key, 'must be true or false, without quotes');
    return usual;
  }

  /** One text or a list of them. */
  texts(key: string): string[] {
    const value = this.raw(key);
    if (value === undefined) return [];
    const list = Array.isArray(value) ? value : [value];
    if (list.every((item) => typeof item === 'string' && item !== '')) return list;
    this.problem(key, 'must be text in quotes, or a list of such');
    return [];
  }
}

function isTable(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.getPrototypeOf(value) !== Date.prototype &&
    !Array.isArray(value)
  );
}

export function orList(words: readonly string[]): string {
  const quoted = words.map((word) => `"${word}"`);
  return quoted.length < 2
    ? quoted.join('')
    : `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`;
}

function suggest(given: string, known: readonly string[]): string {
  const word = nearest(given, known);
  return word === undefined ? `known: ${known.join(', ')}` : `did you mean "${word}"?`;
}
