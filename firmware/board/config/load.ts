// The configuration of this board from its file, checked against this host: what it names must be
// there, unless a board starts with it, which waits for its guest's files. Every mistake at once, each
// with its line.
import { constants } from 'node:fs';
import { access, readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { PAIRING_KEY_BYTES } from '../../../watchdog/path-frame.ts';
import { textOf } from '../../host/brought-file.ts';
import { fileNotRaw } from '../../host/disk-format.ts';
import { systemWords } from '../../host/errors.ts';
import { secretTrouble } from '../../host/secret-file.ts';
import { pairHashOf } from './pair-hash.ts';
import { pairingKeyOf } from './pairing-key.ts';
import { type Parsed, parseConfig, withMacs } from './parse.ts';
import type { Problem } from './toml.ts';
import type { BoardConfig } from './types.ts';
import { hashOf } from './versions.ts';

/** All that is wrong with a configuration, a line each. */
export class ConfigError extends Error {
  readonly code = 'E_CONFIG';
  readonly problems: readonly Problem[];

  constructor(file: string, problems: readonly Problem[]) {
    super(problems.map((problem) => problemLine(file, problem)).join('\n'));
    this.problems = problems;
  }
}

export function problemLine(file: string, { line, text }: Problem): string {
  return line === 0 ? `${file}: ${text}` : `${file}:${line}: ${text}`;
}

/** Which configuration this is, so that two can be told apart. */
export interface ConfigVersion {
  /** Of the whole file. */
  readonly hash: string;
  /** Of what must be equal on both boards. */
  readonly pairHash: string;
  readonly changedMs: number;
}

export interface Loaded {
  readonly file: string;
  readonly config: BoardConfig;
  readonly pairingKey: Uint8Array;
  readonly version: ConfigVersion;
}

/** Throws a ConfigError. */
export async function loadConfig(file: string, options: CheckOptions = {}): Promise<Loaded> {
  const text = await readText(file);
  const { mtimeMs } = await stat(file);
  return {
    ...(await checkConfig(file, text, options)),
    ...{ file, version: versionOf(file, text, mtimeMs) },
  };
}

export function versionOf(file: string, text: string, changedMs: number): ConfigVersion {
  const { config } = parseConfig(text, dirname(resolve(file)));
  return { hash: hashOf(text), pairHash: pairHashOf(config), changedMs };
}

export interface CheckOptions {
  /** Of a board that has none on its disk yet. */
  readonly key?: Uint8Array;
  /** Who asks is not the user who will run the board: the guest's files may be closed to it. */
  readonly isAnothers?: boolean;
  /** Of a board that starts: what its guest lives on may come later, and the board says what it lacks. */
  readonly mayLack?: boolean;
}

/** The same for a text that may become this file. Throws a ConfigError. */
export async function checkConfig(
  file: string,
  text: string,
  { key, isAnothers = false, mayLack = false }: CheckOptions = {},
): Promise<Pick<Loaded, 'config' | 'pairingKey'>> {
  const parsed = parseConfig(text, dirname(resolve(file)));
  const { config, document } = parsed;
  const problems = [...parsed.problems];
  const note = (path: string, text: string) =>
    problems.push({ line: document.lineOf(path), text: `[${path.replace('.', '] ')} ${text}` });
  let pairingKey: Uint8Array = new Uint8Array(PAIRING_KEY_BYTES);
  try {
    pairingKey = key ?? (await readKey(config.pairingKeyFile));
  } catch (error) {
    note('board.pairing-key-file', (error as Error).message);
  }
  for (const [key, path] of mayLack ? [] : namedFiles(config)) {
    const trouble = await troubleWith(path, isAnothers);
    if (trouble !== null) note(key, trouble);
  }
  for (const { path, isRaw } of config.guest.disks) {
    const format = isRaw === true ? undefined : fileNotRaw(path);
    if (format !== undefined) note('guest.disks', `${path}: ${format}`);
  }
  if (problems.length > 0)
    throw new ConfigError(
      file,
      problems.sort((one, other) => one.line - other.line),
    );
  return { config: withMacs(config, pairingKey), pairingKey };
}

/** All that keeps a board from starting with this file, in words; empty: nothing. */
export async function problemsOf(file: string): Promise<string[]> {
  try {
    await loadConfig(file);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) return [(error as Error).message];
    return error.problems.map((problem) => problemLine(file, problem));
  }
}

/** For commands that need to know where the board is, not whether it could run. */
export async function readConfig(file: string): Promise<Parsed> {
  return parseConfig(await readText(file), dirname(resolve(file)));
}

async function readText(file: string): Promise<string> {
  try {
    return textOf(await readFile(file));
  } catch (error) {
    throw new ConfigError(file, [{ line: 0, text: systemWords(error) }]);
  }
}

async function readKey(path: string): Promise<Uint8Array> {
  if (path === '') throw new Error('is missing');
  try {
    const bytes = await readFile(path);
    const trouble = secretTrouble(path);
    if (trouble !== null) throw new Error(trouble);
    return pairingKeyOf(bytes);
  } catch (error) {
    throw new Error(`${path}: ${systemWords(error)}`);
  }
}

function namedFiles({ guest }: BoardConfig): [string, string][] {
  return [
    ['guest.kernel', guest.kernel],
    ...(guest.initrd === undefined ? [] : [['guest.initrd', guest.initrd] as [string, string]]),
    ...guest.disks.map(({ path }): [string, string] => ['guest.disks', path]),
  ];
}

async function troubleWith(path: string, mayBeClosed: boolean): Promise<string | null> {
  if (path === '') return null;
  try {
    await access(path, constants.R_OK);
    return null;
  } catch (error) {
    if (mayBeClosed && (error as NodeJS.ErrnoException).code === 'EACCES') return null;
    return `${path}: ${systemWords(error)}`;
  }
}
